"""Reads a request for a message into the canonical form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from callgate.wire.codec import Home
from callgate.wire.codec.anthropic_messages import shapes
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
from callgate.wire.codec.shapes import Strange, read, written
from callgate.wire.codec.tool_ids import ALPHABETS, unhold
from callgate.wire.codec.turns import instructions
from callgate.wire.document import malformed

FORMAT: Final = "anthropic_messages"
NOT_OURS: Final = "the provider runs or describes it itself; no other provider has it"
MODES: Final[Mapping[str, Mode]] = {
    "auto": "auto",
    "none": "none",
    "any": "required",
    "tool": "required",
}

_NOTHING_SAID: Final = shapes.OutputConfig()


class Reader:
    """Reads one request."""

    __slots__ = ("_home", "_names", "losses")

    def __init__(self, home: Home, losses: Losses) -> None:
        self._home = home
        self._names: dict[str, str] = {}
        self.losses = losses

    def turns(
        self, messages: list[shapes.User | shapes.Assistant | shapes.System]
    ) -> Iterator[Turn]:
        """Yield the turns of a conversation."""
        for n, message in enumerate(messages):
            parts = self.parts(message.content, f"$.messages[{n}].content")
            match message:
                case shapes.User():
                    yield Turn(role="user", parts=parts)
                case shapes.Assistant():
                    yield Turn(role="assistant", parts=parts)
                case shapes.System():
                    yield Turn(role="system", parts=parts)

    def parts(self, content: str | Sequence[shapes.Block] | None, where: str) -> tuple[Part, ...]:
        """Return the parts of a content."""
        if isinstance(content, str):
            return (Text(text=content),)
        return tuple(
            [self._part(block, f"{where}[{at}]") for at, block in enumerate(content or ())]
        )

    def _part(self, block: shapes.Block, where: str) -> Part:
        match block:
            case shapes.TextBlock():
                return Text(text=block.text, cache=written(block.cache_control))
            case shapes.ToolUseBlock():
                return self._use(block)
            case shapes.ToolResultBlock():
                return self._result(block, where)
            case shapes.ImageBlock():
                return self._image(block, where)
            case shapes.DocumentBlock():
                return self._document(block, where)
            case _:
                return self._private(block)

    def _private(
        self, block: shapes.ThinkingBlock | shapes.RedactedBlock | Strange
    ) -> Thinking | Opaque:
        """Return a part that only its maker can read."""
        minter = self._home.minter
        if isinstance(block, Strange):
            return Opaque(format=FORMAT, kind=block.kind, raw=block.raw, minted_by=minter)
        if isinstance(block, shapes.RedactedBlock):
            return Thinking(text="", signature=block.data, is_redacted=True, minted_by=minter)
        signature = block.signature or None
        return Thinking(text=block.thinking, signature=signature, minted_by=minter)

    def _use(self, block: shapes.ToolUseBlock) -> ToolUse:
        id = unhold(block.id, ALPHABETS["anthropic"])
        self._names[id] = block.name
        return ToolUse(
            id=id,
            name=block.name,
            arguments=bytes(block.input).decode(),
            minted_by=self._home.minter,
            cache=written(block.cache_control),
        )

    def _result(self, block: shapes.ToolResultBlock, where: str) -> ToolResult:
        parts = self.parts(block.content, f"{where}.content")
        id = unhold(block.tool_use_id, ALPHABETS["anthropic"])
        return ToolResult(
            use_id=id,
            name=self._names.get(id, ""),
            parts=tuple(part for part in parts if isinstance(part, RESULT_PARTS)),
            is_error=bool(block.is_error),
            cache=written(block.cache_control),
        )

    def _image(self, block: shapes.ImageBlock, where: str) -> Image:
        source = block.source
        if source.data is None and source.url is None and source.file_id is None:
            raise _no_source(where)
        return Image(
            media_type=source.media_type,
            data=source.data,
            url=source.url,
            file_id=source.file_id,
            minted_by=None if source.file_id is None else self._home.minter,
            cache=written(block.cache_control),
        )

    def _document(self, block: shapes.DocumentBlock, where: str) -> File | Opaque:
        source, cache = block.source, written(block.cache_control)
        if source.type == "text":
            return File(media_type="text/plain", text=source.data, name=block.title, cache=cache)
        if source.type == "content":
            raw = msgspec.Raw(msgspec.json.encode(block))
            minter = self._home.minter
            return Opaque(format=FORMAT, kind="document of parts", raw=raw, minted_by=minter)
        if source.data is None and source.url is None and source.file_id is None:
            raise _no_source(where)
        return File(
            media_type=source.media_type,
            data=source.data,
            url=source.url,
            file_id=source.file_id,
            minted_by=None if source.file_id is None else self._home.minter,
            name=block.title,
            cache=cache,
        )


def _no_source(where: str) -> Exception:
    msg = f"a source needs data, url or file_id, at {where}.source"
    return malformed(msg, code="wrong_field")


def read_request(body: bytes, home: Home) -> Prompt:
    """Read a request."""
    request, losses = read(body, shapes.Request)
    reader = Reader(home, losses)
    system = instructions(reader.parts(request.system, "$.system"), "$.system", losses)
    return Prompt(
        model=request.model,
        system=tuple(system),
        turns=tuple(reader.turns(request.messages)),
        tools=tuple(_tools(request.tools, losses)) if request.tools else (),
        params=_params(request, losses),
        stream=bool(request.stream),
        losses=tuple(losses),
    )


def _tools(tools: list[shapes.Tool], losses: Losses) -> Iterator[Tool]:
    for n, tool in enumerate(tools):
        if tool.type not in {None, "custom"}:
            losses.add("tool", f"$.tools[{n}]", what=str(tool.type), why=NOT_OURS)
            continue
        yield Tool(
            name=tool.name,
            description=tool.description,
            parameters=written(tool.input_schema),
            strict=tool.strict,
            cache=written(tool.cache_control),
        )


def _params(request: shapes.Request, losses: Losses) -> Params:
    """Return how to answer."""
    choice = request.tool_choice
    config = request.output_config or _NOTHING_SAID
    alone = None if choice is None else choice.disable_parallel_tool_use
    return Params(
        output_tokens=request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        stop=tuple(request.stop_sequences or ()),
        tool_choice=None if choice is None else _choice(choice),
        parallel=None if alone is None else not alone,
        shape=_shape(config.format),
        reasoning=_reasoning(request.thinking, config.effort, losses),
        service_tier=_tier(request),
        user=None if request.metadata is None else request.metadata.user_id,
    )


def _choice(choice: shapes.Choice) -> ToolChoice:
    mode = MODES.get(choice.type)
    if mode is None or (choice.type == "tool") != (choice.name is not None):
        msg = f"a choice of tools of the type {choice.type!r} is not known, at $.tool_choice"
        raise malformed(msg, code="wrong_field")
    return ToolChoice(mode=mode, names=() if choice.name is None else (choice.name,))


def _shape(format: shapes.OutputFormat | None) -> AnswerShape | None:
    if format is None:
        return None
    if format.type != "json_schema":
        msg = f"an answer of the type {format.type!r} is not known, at $.output_config.format.type"
        raise malformed(msg, code="wrong_field")
    return AnswerShape(schema=written(format.schema), strict=True)


def _reasoning(
    thinking: shapes.Thinking | None, effort: str | None, losses: Losses
) -> Reasoning | None:
    """Return how the model should think: two fields say it here."""
    if thinking is None:
        return None if effort is None else Reasoning(effort=effort)
    if thinking.type == "disabled":
        if effort is not None:
            why = "other formats know one effort, for thoughts and words together"
            losses.add("effort", "$.output_config.effort", what=effort, why=why)
        return Reasoning(effort="none")
    if thinking.type not in {"enabled", "adaptive"}:
        why = "no other format lets a model think so"
        losses.add("effort", "$.thinking.type", what=thinking.type, why=why)
    return Reasoning(
        effort=effort,
        budget_tokens=thinking.budget_tokens,
        is_adaptive=thinking.budget_tokens is None,
    )


def _tier(request: shapes.Request) -> str | None:
    if request.speed == "fast":
        return "fast"
    return "default" if request.service_tier == "standard_only" else request.service_tier
