"""Reads a request to generate content into the canonical form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, cast

import msgspec

from callgate.wire.codec import Home
from callgate.wire.codec.canonical import (
    File,
    Image,
    Mode,
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
from callgate.wire.codec.gemini_generate_content import shapes
from callgate.wire.codec.losses import Losses
from callgate.wire.codec.replies import broken, object_in
from callgate.wire.codec.schemas import from_gemini
from callgate.wire.codec.shapes import read, written
from callgate.wire.codec.tool_ids import ALPHABETS, mint, unhold
from callgate.wire.codec.turns import instructions
from callgate.wire.document import decoded, malformed

NO_SIGNATURE: Final = "skip_thought_signature_validator"
"""The signature of a call that Gemini did not make.

Source: Google's guide to thought signatures; without any, its newer models refuse the request.
"""

MODES: Final[Mapping[str, Mode]] = {
    "auto": "auto",
    "mode_unspecified": "auto",
    "validated": "auto",
    "any": "required",
    "none": "none",
}

TIERS: Final = {"standard": "default", "flex": "flex", "priority": "priority"}
JSON: Final = "application/json"
SAYING: Final = frozenset({"output", "result", "error"})
"""Where a result stands alone, by custom."""

_NOTHING_SAID: Final = shapes.GenerationConfig()


class Reader:
    """Reads one conversation."""

    __slots__ = ("_calls", "_home", "_waiting", "losses")

    def __init__(self, home: Home, losses: Losses) -> None:
        self._home = home
        self._calls = 0
        self._waiting: dict[str, list[str]] = {}
        """The ids of calls that have no result yet, by the name of their tool."""
        self.losses = losses

    def turns(self, contents: list[shapes.Content]) -> tuple[Turn, ...]:
        """Return the turns of a conversation; what a model said in a row is one."""
        turns: list[Turn] = []
        said: list[Part] = []
        for n, content in enumerate(contents):
            parts = self.parts(content.parts or (), "$.contents[{}].parts[{}]", n)
            if content.role == "model":
                said += parts
                continue
            if said:
                turns.append(Turn(role="assistant", parts=_joined(said)))
                said = []
            turns.append(Turn(role="user", parts=parts))
        if said:
            turns.append(Turn(role="assistant", parts=_joined(said)))
        return tuple(turns)

    def parts(self, parts: Sequence[shapes.Part], where: str, *at: int) -> tuple[Part, ...]:
        """Return the parts of a content; one that this version does not know has been noted.

        Args:
            parts: What it holds.
            where: The place of each, with braces for numbers.
            at: The numbers of the content.
        """
        known: list[Part] = []
        for n, part in enumerate(parts):
            # Most parts are words, which need no place: none of them is ever lost.
            if part.text is not None and part.thought_signature is None and not part.thought:
                known.append(Text(text=part.text))
            else:
                read = self._part(part, where.format(*at, n))
                if read is not None:
                    known.append(read)
        return tuple(known)

    def _part(self, part: shapes.Part, where: str) -> Part | None:
        if part.text is not None:
            return self._text(part, where)
        if part.function_call is not None:
            return self._use(part.function_call, part.thought_signature)
        if part.function_response is not None:
            return self._result(part.function_response, where)
        if part.inline_data is not None:
            return self._blob(part.inline_data, where)
        if part.file_data is not None:
            return self._file(part.file_data)
        return None

    def _text(self, part: shapes.Part, where: str) -> Text | Thinking:
        signature = part.thought_signature
        if part.thought:
            minter = self._home.minter
            return Thinking(text=part.text or "", signature=signature, minted_by=minter)
        if signature is not None and signature != NO_SIGNATURE:
            what, why = "the signature of a text", "only who signed it can read it"
            self.losses.add("thinking", f"{where}.thoughtSignature", what=what, why=why)
        return Text(text=part.text or "")

    def _use(self, call: shapes.FunctionCall, signature: str | None) -> ToolUse:
        id = unhold(call.id, ALPHABETS["gemini"]) if call.id else mint("gemini", self._calls)
        self._calls += 1
        self._waiting.setdefault(call.name, []).append(id)
        args = written(call.args)
        return ToolUse(
            id=id,
            name=call.name,
            arguments="{}" if args is None else bytes(args).decode(),
            signature=None if signature == NO_SIGNATURE else signature,
            minted_by=self._home.minter,
        )

    def _result(self, result: shapes.FunctionResponse, where: str) -> ToolResult:
        words, is_error = _words(result.response)
        parts: list[Text | Image | File] = [Text(text=each) for each in words]
        for n, part in enumerate(result.parts or ()):
            place = f"{where}.functionResponse.parts[{n}]"
            if part.inline_data is not None:
                blob = self._blob(part.inline_data, place)
                parts += [] if blob is None else [blob]
            elif part.file_data is not None:
                parts.append(self._file(part.file_data))
        return ToolResult(
            use_id=self._answered(result),
            name=result.name,
            parts=tuple(parts),
            is_error=is_error,
        )

    def _answered(self, result: shapes.FunctionResponse) -> str:
        """Return the id of the call that a result answers: its own, else the oldest by name."""
        waiting = self._waiting.get(result.name, [])
        if result.id:
            id = unhold(result.id, ALPHABETS["gemini"])
            if id in waiting:
                waiting.remove(id)
            return id
        if not waiting:
            msg = f"a functionResponse answers no call of {result.name!r}"
            raise malformed(msg, code="wrong_field")
        return waiting.pop(0)

    def _blob(self, blob: shapes.Blob, where: str) -> Image | File | None:
        kind, name = blob.mime_type, blob.display_name
        if kind.startswith("image/"):
            return Image(media_type=kind, data=blob.data)
        if kind.startswith(("audio/", "video/")):
            why = "only this format takes sound and films"
            self.losses.add("audio", where, what=kind, why=why)
            return None
        return File(media_type=kind, data=blob.data, name=name)

    def _file(self, file: shapes.FileData) -> Image | File:
        minter, kind = self._home.minter, file.mime_type
        if kind is not None and kind.startswith("image/"):
            return Image(media_type=kind, file_id=file.file_uri, minted_by=minter)
        return File(
            media_type=kind, file_id=file.file_uri, minted_by=minter, name=file.display_name
        )


def _joined(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Return what a model said, with the pieces of each text and thought put together."""
    if len(parts) == 1 and not (isinstance(parts[0], Text) and not parts[0].text):
        return (parts[0],)
    return tuple(_joining(parts))


def _joining(parts: Sequence[Part]) -> Iterator[Part]:
    """Yield the same piece by piece.

    Source:
        google-genai 3.6, ``chats``: the history of a stream has a content for each of its events.
    """
    for kind, run in groupby(parts, type):
        if kind is Text:
            text = "".join([part.text for part in run if isinstance(part, Text)])
            if text:
                yield Text(text=text)
        elif kind is Thinking:
            yield from _whole(part for part in run if isinstance(part, Thinking))
        else:
            yield from run


def _whole(thoughts: Iterable[Thinking]) -> Iterator[Thinking]:
    """Yield thoughts put together from their pieces, of which the last one is signed, if any."""
    pieces: list[Thinking] = []
    for thought in thoughts:
        pieces.append(thought)
        if thought.signature is not None:
            yield _of(pieces)
            pieces = []
    if pieces:
        yield _of(pieces)


def _of(pieces: Sequence[Thinking]) -> Thinking:
    text = "".join([piece.text for piece in pieces])
    return msgspec.structs.replace(pieces[-1], text=text)


def _words(response: msgspec.Raw) -> tuple[list[str], bool]:
    """Return what a tool said, and whether it failed: by custom ``output`` or ``error`` says it."""
    raw = written(response)
    if raw is None:
        return [], False
    page: Any = decoded("functionResponse.response", raw)
    if page == {}:
        return [], False
    if isinstance(page, dict) and len(cast("dict[str, Any]", page)) == 1:
        [(key, value)] = cast("dict[str, Any]", page).items()
        told: list[Any] = [*cast("Any", value)] if isinstance(value, list) else [value]
        if key in SAYING and all(isinstance(each, str) for each in told):
            return told, key == "error"
    return [bytes(raw).decode()], False


def read_request(body: bytes, home: Home) -> Prompt:
    """Read a request; its model, and whether it wants a stream, stand in its address."""
    request, losses = read(body, shapes.Request)
    reader = Reader(home, losses)
    system = request.system_instruction
    place = "$.systemInstruction.parts"
    first = () if system is None else reader.parts(system.parts or (), f"{place}[{{}}]")
    return Prompt(
        model=home.model,
        system=tuple(instructions(first, place, losses)),
        turns=reader.turns(request.contents),
        tools=tuple(_tools(request.tools or ())),
        params=_params(request, losses),
        stream=home.stream,
        losses=tuple(losses),
    )


def _tools(tools: Sequence[shapes.Tool]) -> Iterator[Tool]:
    for tool in tools:
        for function in tool.function_declarations or ():
            schema = written(function.parameters_json_schema)
            older = written(function.parameters)
            if schema is None and older is not None:
                schema = from_gemini(older)
            yield Tool(name=function.name, description=function.description, parameters=schema)


def _params(request: shapes.Request, losses: Losses) -> Params:
    """Return how to answer."""
    config = request.generation_config or _NOTHING_SAID
    tier = request.service_tier
    return Params(
        output_tokens=config.max_output_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        top_k=_top_k(config.top_k, losses),
        seed=config.seed,
        presence_penalty=config.presence_penalty or None,
        frequency_penalty=config.frequency_penalty or None,
        stop=tuple(config.stop_sequences or ()),
        tool_choice=_choice(request.tool_config, losses),
        shape=_shape(config, losses),
        reasoning=_reasoning(config.thinking_config),
        service_tier=None if tier is None else _tier(tier.lower(), losses),
    )


def _top_k(top_k: float | None, losses: Losses) -> int | None:
    if top_k is None:
        return None
    if not top_k.is_integer():
        why = "other formats count whole tokens"
        losses.add("sampling", "$.generationConfig.topK", what=f"topK={top_k}", why=why)
    return int(top_k)


def _tier(tier: str, losses: Losses) -> str | None:
    if tier not in {*TIERS, "unspecified"}:
        why = "this version does not know what it stands for elsewhere"
        losses.add("service_tier", "$.serviceTier", what=tier[:80], why=why)
    return TIERS.get(tier)


def _choice(config: shapes.ToolConfig | None, losses: Losses) -> ToolChoice | None:
    calling = None if config is None else config.function_calling_config
    if calling is None or (calling.mode is None and not calling.allowed_function_names):
        return None
    word = (calling.mode or "auto").lower()
    if word == "validated":
        why = "other formats hold a model to the schema of one tool, not of all"
        where = "$.toolConfig.functionCallingConfig.mode"
        losses.add("strict", where, what="VALIDATED", why=why)
    mode = MODES.get(word)
    if mode is None:
        msg = f"a mode {calling.mode!r} is not known, at $.toolConfig.functionCallingConfig.mode"
        raise malformed(msg, code="wrong_field")
    return ToolChoice(mode=mode, names=tuple(calling.allowed_function_names or ()))


def _shape(config: shapes.GenerationConfig, losses: Losses) -> AnswerShape | None:
    kind = config.response_mime_type
    if kind in {None, "text/plain"}:
        return None
    if kind != JSON:
        why = "no other format answers so"
        losses.add("schema", "$.generationConfig.responseMimeType", what=str(kind), why=why)
        return None
    schema, older = written(config.response_json_schema), written(config.response_schema)
    if schema is None and older is not None:
        schema = from_gemini(older)
    return AnswerShape() if schema is None else AnswerShape(schema=schema, strict=True)


def _reasoning(config: shapes.ThinkingConfig | None) -> Reasoning | None:
    """Return how the model should think: by a level, or by tokens, of which -1 is its own choice."""
    if config is None:
        return None
    if config.thinking_level is not None:
        return Reasoning(effort=config.thinking_level.lower())
    budget = config.thinking_budget
    if budget is None:
        return None
    if budget < 0:
        return Reasoning(is_adaptive=True)
    return Reasoning(effort="none") if budget == 0 else Reasoning(budget_tokens=budget)


def arguments_in(value: Any) -> str:
    """Return the arguments of a call of a reply as JSON.

    Raises:
        BrokenReply: They are no object: the tool would run with none.
    """
    if value is None:
        return "{}"
    told = msgspec.json.encode(value).decode()
    if object_in(told) is None:
        msg = "the provider's reply calls a tool with arguments that are no object"
        raise broken(msg)
    return told
