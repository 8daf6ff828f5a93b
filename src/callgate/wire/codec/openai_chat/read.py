"""Reads a chat request into the canonical form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from callgate.wire.codec import Home, data_urls
from callgate.wire.codec.canonical import (
    RESULT_PARTS,
    File,
    Image,
    Mode,
    Opaque,
    Params,
    Part,
    Prompt,
    Reasoning,
    Refusal,
    Role,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)
from callgate.wire.codec.canonical import Shape as AnswerShape
from callgate.wire.codec.losses import Losses
from callgate.wire.codec.openai_chat import shapes
from callgate.wire.codec.shapes import Strange, read, written
from callgate.wire.codec.tool_ids import ALPHABETS, unhold
from callgate.wire.codec.turns import FAILED, UNNAMED, Turns, instructions
from callgate.wire.document import malformed

NOT_OURS: Final = "the provider runs or describes it itself; no other provider has it"
MODES: Final[Mapping[str, Mode]] = {"auto": "auto", "none": "none", "required": "required"}

Inner = (
    shapes.TextPart
    | shapes.ImagePart
    | shapes.FilePart
    | shapes.AudioPart
    | shapes.RefusalPart
    | Strange
)


class Reader:
    """Reads one request."""

    __slots__ = ("_home", "_names", "_turns", "losses")

    def __init__(self, home: Home, losses: Losses) -> None:
        self._home = home
        self._names: dict[str, str] = {}
        self._turns = Turns()
        self.losses = losses

    def conversation(
        self, messages: list[shapes.Message]
    ) -> tuple[tuple[Text, ...], tuple[Turn, ...]]:
        """Return the instructions that stand first, and the turns after them."""
        system: list[Text] = []
        for n, message in enumerate(messages):
            if isinstance(message, shapes.ToolMessage):
                self._result(message, n)
            elif isinstance(message, shapes.System):
                parts = self._parts(message.content, n)
                if self._turns.is_empty:
                    where = f"$.messages[{n}].content"
                    system += instructions(parts, where, self.losses)
                else:
                    newer = isinstance(message, shapes.Developer)
                    role: Role = "developer" if newer else "system"
                    self._turns.add(role, parts)
            elif isinstance(message, shapes.User):
                self._turns.add("user", self._parts(message.content, n))
            else:
                self._turns.add("assistant", tuple(self._said(message, n)))
        return tuple(system), self._turns.all()

    def _said(self, message: shapes.Assistant, n: int) -> Iterator[Part]:
        """Yield what the model said, in the order in which it must have said it."""
        thought = message.reasoning_content or message.reasoning
        if thought:
            yield Thinking(text=thought, minted_by=self._home.minter)
        calls = message.tool_calls or []
        if message.content or (message.content == "" and not calls and not message.refusal):
            yield from self._parts(message.content, n)
        if message.refusal:
            yield Refusal(text=message.refusal)
        for at, call in enumerate(calls):
            yield self._use(call, f"$.messages[{n}].tool_calls[{at}]")

    def _use(self, call: shapes.Call, where: str) -> ToolUse | Opaque:
        if call.function is None:
            return self._opaque(call.type, msgspec.Raw(msgspec.json.encode(call.strange)))
        if not call.id:
            msg = f"the call of a tool has no id, at {where}.id"
            raise malformed(msg, code="wrong_field")
        id = unhold(call.id, ALPHABETS["openai"])
        self._names[id] = call.function.name
        google = None if call.extra_content is None else call.extra_content.google
        return ToolUse(
            id=id,
            name=call.function.name,
            arguments=call.function.arguments.strip() or "{}",
            signature=None if google is None else google.thought_signature,
            minted_by=self._home.minter,
        )

    def _result(self, message: shapes.ToolMessage, n: int) -> None:
        """Add a result to those of the calls beside it: in the canonical form they are one turn."""
        parts = [part for part in self._parts(message.content, n) if isinstance(part, RESULT_PARTS)]
        failed = len(parts) > 1 and parts[0] == Text(text=FAILED)
        id = unhold(message.tool_call_id, ALPHABETS["openai"])
        result = ToolResult(
            use_id=id,
            name=self._names.get(id, ""),
            parts=tuple(parts[1:] if failed else parts),
            is_error=failed,
        )
        self._turns.answer(result)

    def _parts(self, content: str | Sequence[Inner] | None, n: int) -> tuple[Part, ...]:
        if isinstance(content, str):
            return (Text(text=content),)
        parts = [
            self._part(part, f"$.messages[{n}].content[{at}]")
            for at, part in enumerate(content or ())
        ]
        return tuple([part for part in parts if part is not None])

    def _part(self, part: Inner, where: str) -> Part | None:
        match part:
            case shapes.TextPart():
                return Text(text=part.text)
            case shapes.ImagePart():
                return self._image(part.image_url)
            case shapes.FilePart():
                return self._file(part.file, where)
            case shapes.RefusalPart():
                return Refusal(text=part.refusal)
            case shapes.AudioPart():
                self.losses.add("audio", where, what="input_audio", why="only this format takes it")
                return None
            case Strange():
                return self._opaque(part.kind, part.raw)

    def _opaque(self, kind: str, raw: msgspec.Raw) -> Opaque:
        return Opaque(format="openai_chat", kind=kind, raw=raw, minted_by=self._home.minter)

    def _image(self, image: shapes.ImageUrl) -> Image:
        detail = None if image.detail == "auto" else image.detail
        held = data_urls.parse(image.url)
        if held is None:
            return Image(url=image.url, detail=detail)
        return Image(media_type=held[0], data=held[1], detail=detail)

    def _file(self, file: shapes.FileBody, where: str) -> File:
        name = None if file.filename == UNNAMED else file.filename
        if file.file_id is not None:
            return File(file_id=file.file_id, name=name, minted_by=self._home.minter)
        if file.file_data is None:
            msg = f"a file needs file_data or file_id, at {where}.file"
            raise malformed(msg, code="wrong_field")
        held = data_urls.parse(file.file_data)
        media_type, data = ("application/pdf", file.file_data) if held is None else held
        return File(media_type=media_type, data=data, name=name)


def read_request(body: bytes, home: Home) -> Prompt:
    """Read a request."""
    request, losses = read(body, shapes.Request)
    reader = Reader(home, losses)
    system, turns = reader.conversation(request.messages)
    options = request.stream_options
    return Prompt(
        model=request.model,
        system=system,
        turns=turns,
        tools=tuple(_tools(request.tools, losses)) if request.tools else (),
        params=_params(request, losses),
        stream=bool(request.stream),
        wants_usage=options is not None and bool(options.include_usage),
        losses=tuple(losses),
    )


def _tools(tools: list[shapes.Tool], losses: Losses) -> Iterator[Tool]:
    for n, tool in enumerate(tools):
        function = tool.function
        if function is None:
            losses.add("tool", f"$.tools[{n}]", what=tool.type, why=NOT_OURS)
            continue
        yield Tool(
            name=function.name,
            description=function.description,
            parameters=written(function.parameters),
            strict=function.strict,
        )


def _params(request: shapes.Request, losses: Losses) -> Params:
    """Return how to answer."""
    stop = request.stop
    limit, older = request.max_completion_tokens, request.max_tokens
    choice = request.tool_choice
    effort = request.reasoning_effort
    if request.user and request.safety_identifier and request.user != request.safety_identifier:
        losses.add("metadata", "$.user", what="user", why="safety_identifier names somebody else")
    return Params(
        output_tokens=older if limit is None else limit,
        temperature=request.temperature,
        top_p=request.top_p,
        seed=request.seed,
        presence_penalty=request.presence_penalty or None,
        frequency_penalty=request.frequency_penalty or None,
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        tool_choice=None if choice is None else read_choice(choice, losses),
        parallel=request.parallel_tool_calls,
        shape=_shape(request.response_format),
        reasoning=None if effort is None else Reasoning(effort=effort),
        verbosity=request.verbosity,
        service_tier=request.service_tier,
        user=request.safety_identifier or request.user,
        metadata=written(request.metadata),
    )


def read_choice(choice: str | shapes.Choice, losses: Losses) -> ToolChoice | None:
    """Return which tools may or must be called."""
    if isinstance(choice, str):
        mode = MODES.get(choice)
        if mode is not None:
            return ToolChoice(mode=mode)
    elif choice.function is not None:
        return ToolChoice(mode="required", names=(choice.function.name,))
    elif choice.allowed_tools is not None:
        mode = MODES.get(choice.allowed_tools.mode)
        names = [tool.function.name for tool in choice.allowed_tools.tools if tool.function]
        if mode is not None and len(names) == len(choice.allowed_tools.tools):
            return ToolChoice(mode=mode, names=tuple(names))
    losses.add("tool_choice", "$.tool_choice", what=str(choice)[:80], why=NOT_OURS)
    return None


def _shape(format: shapes.ResponseFormat | None) -> AnswerShape | None:
    if format is None or format.type == "text":
        return None
    if format.type == "json_object":
        return AnswerShape()
    if format.type != "json_schema" or format.json_schema is None:
        msg = f"an answer of the type {format.type!r} is not known, at $.response_format.type"
        raise malformed(msg, code="wrong_field")
    schema = format.json_schema
    return AnswerShape(
        schema=written(schema.schema),
        name=schema.name,
        description=schema.description,
        strict=schema.strict,
    )
