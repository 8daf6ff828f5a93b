"""Reads a request for a response into the canonical form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from callgate.wire.codec import Home, data_urls
from callgate.wire.codec.canonical import (
    RESULT_PARTS,
    File,
    Image,
    Mode,
    Opaque,
    Params,
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
from callgate.wire.codec.openai_responses import shapes
from callgate.wire.codec.openai_responses.shapes import ECHO
from callgate.wire.codec.shapes import NOTHING, Strange, read, written
from callgate.wire.codec.tool_ids import ALPHABETS, unhold
from callgate.wire.codec.turns import FAILED, UNNAMED, Turns, instructions
from callgate.wire.document import malformed

FORMAT: Final = "openai_responses"
NOT_OURS: Final = "the provider runs or describes it itself; no other provider has it"
MODES: Final[Mapping[str, Mode]] = {"auto": "auto", "none": "none", "required": "required"}
ROLES: Final[Mapping[str, Role]] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "developer",
}

Content: TypeAlias = Text | Refusal | Image | File | Opaque
"""What a message or the result of a tool holds."""

_TOP: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])

_NOTHING_SAID: Final = shapes.TextConfig()


class Reader:
    """Reads the items of one conversation into turns."""

    __slots__ = ("_home", "_names", "_turns", "losses", "system")

    def __init__(self, home: Home, losses: Losses) -> None:
        self._home = home
        self._names: dict[str, str] = {}
        self._turns = Turns()
        self.system: list[Text] = []
        self.losses = losses

    def turns(self, items: str | Sequence[shapes.Item] | None) -> tuple[Turn, ...]:
        """Return the turns; instructions that stand first are in ``system``."""
        if isinstance(items, str):
            return (Turn(role="user", parts=(Text(text=items),)),)
        for n, item in enumerate(items or ()):
            self._item(item, f"$.input[{n}]")
        return self._turns.all()

    def _item(self, item: shapes.Item, where: str) -> None:
        match item.type:
            case "message":
                self._message(item, where)
            case "function_call":
                self._turns.say(self._use(item, where))
            case "function_call_output":
                self._turns.answer(self._result(item, where))
            case "reasoning":
                self._turns.say(self._thought(item))
            case kind:
                raw = msgspec.Raw(msgspec.json.encode(item.strange))
                minter = self._home.minter
                self._turns.say(Opaque(format=FORMAT, kind=kind, raw=raw, minted_by=minter))

    def _message(self, item: shapes.Item, where: str) -> None:
        role = ROLES.get(item.role or "")
        if role is None:
            msg = f"a message cannot have the role {item.role!r}, at {where}.role"
            raise malformed(msg, code="wrong_field")
        parts = self._parts(item.content)
        if role == "assistant":
            for part in parts:
                self._turns.say(part)
        elif role == "user" or not self._turns.is_empty:
            self._turns.add(role, parts)
        else:
            self.system += instructions(parts, f"{where}.content", self.losses)

    def _use(self, item: shapes.Item, where: str) -> ToolUse:
        if not item.call_id or not item.name:
            msg = f"a function_call needs call_id and name, at {where}"
            raise malformed(msg, code="wrong_field")
        id = unhold(item.call_id, ALPHABETS[FORMAT])
        self._names[id] = item.name
        arguments = (item.arguments or "").strip() or "{}"
        return ToolUse(id=id, name=item.name, arguments=arguments, minted_by=self._home.minter)

    def _result(self, item: shapes.Item, where: str) -> ToolResult:
        if not item.call_id:
            msg = f"a function_call_output needs call_id, at {where}"
            raise malformed(msg, code="wrong_field")
        id = unhold(item.call_id, ALPHABETS[FORMAT])
        parts = [
            part if isinstance(part, RESULT_PARTS) else Text(text=part.text)
            for part in self._parts(item.output)
        ]
        failed = len(parts) > 1 and parts[0] == Text(text=FAILED)
        return ToolResult(
            use_id=id,
            name=self._names.get(id, ""),
            parts=tuple(parts[1:] if failed else parts),
            is_error=failed,
        )

    def _thought(self, item: shapes.Item) -> Thinking:
        said = [part.text for part in item.summary or ()]
        if isinstance(item.content, list):
            said += [part.text for part in item.content if isinstance(part, shapes.ReasoningText)]
        return Thinking(
            text="\n\n".join(said),
            signature=item.encrypted_content,
            is_redacted=not said and item.encrypted_content is not None,
            minted_by=self._home.minter,
        )

    def _parts(self, content: str | Sequence[shapes.Content] | None) -> tuple[Content, ...]:
        if isinstance(content, str):
            return (Text(text=content),)
        return tuple([self._part(part) for part in content or ()])

    def _part(self, part: shapes.Content) -> Content:
        minter = self._home.minter
        match part:
            case shapes.RefusalPart():
                return Refusal(text=part.refusal)
            case shapes.InputImage():
                return self._image(part)
            case shapes.InputFile():
                return self._file(part)
            case Strange():
                return Opaque(format=FORMAT, kind=part.kind, raw=part.raw, minted_by=minter)
            case _:
                return Text(text=part.text)

    def _image(self, image: shapes.InputImage) -> Image:
        detail = None if image.detail == "auto" else image.detail
        if image.file_id is not None:
            return Image(file_id=image.file_id, minted_by=self._home.minter, detail=detail)
        url = image.image_url or ""
        held = data_urls.parse(url)
        if held is None:
            return Image(url=url, detail=detail)
        return Image(media_type=held[0], data=held[1], detail=detail)

    def _file(self, file: shapes.InputFile) -> File:
        name = None if file.filename == UNNAMED else file.filename
        if file.file_id is not None:
            return File(file_id=file.file_id, name=name, minted_by=self._home.minter)
        if file.file_url is not None:
            return File(url=file.file_url, name=name)
        data = file.file_data or ""
        held = data_urls.parse(data)
        media_type, data = ("application/pdf", data) if held is None else held
        return File(media_type=media_type, data=data, name=name)


def read_request(body: bytes, home: Home) -> Prompt:
    """Read a request."""
    request, losses = read(body, shapes.Request)
    reader = Reader(home, losses)
    turns = reader.turns(request.input)
    first = () if request.instructions is None else (Text(text=request.instructions),)
    if request.store is not False:
        name = "storage" if request.store is None else "state"
        why = "the target cannot find it again by its id"
        losses.add(name, "$.store", what="store", why=why)
    page = _TOP.decode(body)
    return Prompt(
        model=request.model,
        system=(*first, *reader.system),
        turns=turns,
        tools=tuple(_tools(request.tools, losses)) if request.tools else (),
        params=_params(request, losses),
        stream=bool(request.stream),
        echo={key: raw for key, raw in page.items() if key in ECHO and raw not in NOTHING},
        losses=tuple(losses),
    )


def _tools(tools: list[shapes.Tool], losses: Losses) -> Iterator[Tool]:
    for n, tool in enumerate(tools):
        if tool.type != "function" or tool.name is None:
            losses.add("tool", f"$.tools[{n}]", what=tool.type, why=NOT_OURS)
            continue
        yield Tool(
            name=tool.name,
            description=tool.description,
            parameters=written(tool.parameters),
            # What is left out is exact here, unlike in every other format.
            strict=True if tool.strict is None else tool.strict,
        )


def _params(request: shapes.Request, losses: Losses) -> Params:
    """Return how to answer."""
    choice = request.tool_choice
    config = request.text or _NOTHING_SAID
    effort = None if request.reasoning is None else request.reasoning.effort
    if request.user and request.safety_identifier and request.user != request.safety_identifier:
        losses.add("metadata", "$.user", what="user", why="safety_identifier names somebody else")
    return Params(
        output_tokens=request.max_output_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        tool_choice=None if choice is None else _choice(choice, losses),
        parallel=request.parallel_tool_calls,
        shape=_shape(config.format),
        reasoning=None if effort is None else Reasoning(effort=effort),
        verbosity=config.verbosity,
        service_tier=request.service_tier,
        user=request.safety_identifier or request.user,
        metadata=written(request.metadata),
    )


def _choice(choice: str | shapes.Choice, losses: Losses) -> ToolChoice | None:
    if isinstance(choice, str):
        mode = MODES.get(choice)
        if mode is not None:
            return ToolChoice(mode=mode)
    elif choice.type == "function" and choice.name is not None:
        return ToolChoice(mode="required", names=(choice.name,))
    elif choice.type == "allowed_tools":
        mode = MODES.get(choice.mode or "")
        tools = choice.tools or []
        names = [tool.name for tool in tools if tool.name is not None]
        if mode is not None and len(names) == len(tools):
            return ToolChoice(mode=mode, names=tuple(names))
    losses.add("tool_choice", "$.tool_choice", what=str(choice)[:80], why=NOT_OURS)
    return None


def _shape(format: shapes.Format | None) -> AnswerShape | None:
    if format is None or format.type == "text":
        return None
    if format.type == "json_object":
        return AnswerShape()
    if format.type != "json_schema":
        msg = f"an answer of the type {format.type!r} is not known, at $.text.format.type"
        raise malformed(msg, code="wrong_field")
    return AnswerShape(
        schema=written(format.schema),
        name=format.name,
        description=format.description,
        strict=format.strict,
    )
