"""Writes a request for a message from the canonical form."""

from __future__ import annotations

from base64 import b64decode
from typing import Any, Final

import msgspec

from callgate.wire.codec import Target, Written
from callgate.wire.codec.anthropic_messages.read import FORMAT
from callgate.wire.codec.canonical import (
    File,
    Image,
    Opaque,
    Params,
    Part,
    Prompt,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)
from callgate.wire.codec.losses import Losses
from callgate.wire.codec.params import (
    note_prefill,
    note_reasoning,
    note_tool_names,
    plain_params,
)
from callgate.wire.codec.replies import object_in
from callgate.wire.codec.schemas import EMPTY
from callgate.wire.codec.tool_ids import ALPHABETS, ToolIds
from callgate.wire.document import decoded, malformed

IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
"""Source: anthropic-python 2.13, ``Base64ImageSourceParam.media_type``."""

EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
LEAST_BUDGET: Final = 1_024
"""Source: anthropic-python 2.13, ``ThinkingConfigEnabledParam.budget_tokens``."""

FIELDS: Final = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k"}
INSTRUCTING: Final = frozenset({"system", "developer"})
APART: Final = frozenset({"parallel", "user", "service_tier"})
OF_A_TEXT: Final = frozenset({"type", "text"})
NOT_MINE: Final = "only the provider that made it can read it"


class Writer:
    """Writes one conversation."""

    __slots__ = ("_held", "_ids", "_target", "losses", "system")

    def __init__(self, target: Target, losses: Losses) -> None:
        self._target = target
        self._ids = ToolIds(ALPHABETS[target.tool_ids or "anthropic"])
        self._held: list[tuple[int, list[dict[str, Any]], tuple[int, int]]] = []
        """Instructions that wait for their place: the number of the turn, the blocks, and where
        they stood."""
        self.system: list[dict[str, Any]] = []
        self.losses = losses

    def messages(self, prompt: Prompt) -> list[dict[str, Any]]:
        """Return the messages; turns of one side that follow each other are one."""
        self.system = [_text(part) for part in prompt.system if part.text.strip()]
        messages: list[dict[str, Any]] = []
        for n, turn in enumerate(prompt.turns):
            blocks = self._blocks(turn, n)
            if not blocks:
                continue
            if turn.role in INSTRUCTING:
                self._instruct(blocks, n, messages)
                continue
            if turn.role == "assistant":
                self._place(messages)
            if messages and messages[-1]["role"] == turn.role:
                messages[-1]["content"] += blocks
            else:
                messages.append({"role": turn.role, "content": blocks})
        self._place(messages)
        if not messages:
            msg = "the request has no words but instructions; Anthropic needs a message"
            raise malformed(msg, code="wrong_field")
        for message in messages:
            message["content"] = _collapsed(message["content"])
        return messages

    def _instruct(
        self, blocks: list[dict[str, Any]], n: int, messages: list[dict[str, Any]]
    ) -> None:
        """Hold an instruction until its place comes; before the first word it has it at once."""
        if not messages:
            self.system += blocks
        elif "system_turns" in self._target.lacks:
            self._hoist(blocks, n)
        else:
            self._held.append((n, blocks, _length(messages)))

    def _place(self, messages: list[dict[str, Any]]) -> None:
        """Put the instructions that are held where they may stand: last before the model speaks.

        Source:
            Anthropic's guide on system messages within a conversation: they follow the user, and
            the model follows them or nobody ("role 'system' must precede an 'assistant' message
            or end the array", anthropics/claude-code#73821).
        """
        held, self._held = self._held, []
        if held and messages[-1]["role"] != "user":
            for n, blocks, _ in held:
                self._hoist(blocks, n)
        elif held:
            for n, _, stood in held:
                if stood != _length(messages):
                    why = "here it stands after the user's words, before the model answers"
                    what = "an instruction"
                    self.losses.add("instruction_order", f"$.turns[{n}]", what=what, why=why)
            content = [block for _, blocks, _ in held for block in blocks]
            messages.append({"role": "system", "content": content})

    def _hoist(self, blocks: list[dict[str, Any]], n: int) -> None:
        why = "the target takes instructions at the beginning only; it would stand there"
        self.losses.add("place", f"$.turns[{n}]", what="an instruction", why=why)
        self.system += blocks

    def _blocks(self, turn: Turn, n: int) -> list[dict[str, Any]]:
        """Return what a turn holds: results first, as they must follow their calls."""
        blocks: list[dict[str, Any]] = []
        results: list[dict[str, Any]] = []
        for at, part in enumerate(turn.parts):
            if isinstance(part, Text):
                # Most parts are words, which need no place: none of them is ever lost.
                block = _text(part) if part.text.strip() else None
            else:
                block = self._block(part, f"$.turns[{n}].parts[{at}]")
            if block is not None:
                is_first = turn.role == "user" and isinstance(part, ToolResult)
                (results if is_first else blocks).append(block)
        return results + blocks if results else blocks

    def _block(self, part: Part, where: str) -> dict[str, Any] | None:
        """Return a part; None for words that are none, which the provider refuses."""
        match part:
            case Text():
                return _text(part) if part.text.strip() else None
            case ToolUse():
                return self._use(part, where)
            case ToolResult():
                return self._result(part, where)
            case Image():
                return self._image(part, where)
            case File():
                return self._file(part, where)
            case _:
                return self._private(part, where)

    def _use(self, use: ToolUse, where: str) -> dict[str, Any]:
        told = object_in(use.arguments)
        if told is None:
            why = "the format takes an object; the words would stand in one"
            self.losses.add("arguments", where, what=f"a call of {use.name}", why=why)
            told = msgspec.Raw(msgspec.json.encode({"arguments": use.arguments}))
        if use.signature is not None:
            why = "only who signed it can read it"
            self.losses.add("thinking", where, what="the signature of a call", why=why)
        block = {"type": "tool_use", "id": self._ids.write(use.id), "name": use.name, "input": told}
        return _cached(block, use.cache)

    def _result(self, result: ToolResult, where: str) -> dict[str, Any]:
        id = self._ids.write(result.use_id)
        block: dict[str, Any] = {"type": "tool_result", "tool_use_id": id}
        blocks = [
            _text(part)
            if isinstance(part, Text) and part.text.strip()
            else self._block(part, f"{where}.parts[{n}]")
            for n, part in enumerate(result.parts)
        ]
        content = [each for each in blocks if each is not None]
        if content:
            block["content"] = _collapsed(content)
        if result.is_error:
            block["is_error"] = True
        return _cached(block, result.cache)

    def _private(self, part: Refusal | Thinking | Opaque, where: str) -> dict[str, Any] | None:
        """Return a part that only who made it can read, if it goes there, or words that declined."""
        if isinstance(part, Refusal):
            return {"type": "text", "text": part.text} if part.text.strip() else None
        if isinstance(part, Thinking):
            return self._thought(part, where)
        if part.format == FORMAT and part.minted_by == self._target.minter:
            opaque: dict[str, Any] = decoded(part.kind, part.raw)
            return opaque
        self.losses.add("opaque", where, what=part.kind, why=NOT_MINE)
        return None

    def _thought(self, part: Thinking, where: str) -> dict[str, Any] | None:
        if part.signature is None or part.minted_by != self._target.minter:
            why = "a thought goes only to who made it, with its signature"
            self.losses.add("thinking", where, what="thinking", why=why)
            return None
        if part.is_redacted:
            return {"type": "redacted_thinking", "data": part.signature}
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}

    def _image(self, image: Image, where: str) -> dict[str, Any] | None:
        if image.detail is not None:
            why = "the format has no such field"
            self.losses.add("image_detail", where, what=image.detail, why=why)
        if image.data is not None and image.media_type in IMAGES:
            kept = {"type": "base64", "media_type": image.media_type, "data": image.data}
        elif image.url is not None:
            kept = {"type": "url", "url": image.url}
        elif image.file_id is not None and image.minted_by == self._target.minter:
            kept = {"type": "file", "file_id": image.file_id}
        else:
            why = f"the format takes {', '.join(sorted(IMAGES))}, and no id of another provider"
            what = image.media_type or ("file_id" if image.file_id else "image")
            self.losses.add("image", where, what=what, why=why)
            return None
        return _cached({"type": "image", "source": kept}, image.cache)

    def _file(self, file: File, where: str) -> dict[str, Any] | None:
        source = self._source(file)
        if source is None:
            why = "the format takes PDF and plain text, and no id of another provider"
            what = file.media_type or ("file_id" if file.file_id else "file")
            self.losses.add("document", where, what=what, why=why)
            return None
        block = {"type": "document", "source": source}
        if file.name is not None:
            block["title"] = file.name
        return _cached(block, file.cache)

    def _source(self, file: File) -> dict[str, Any] | None:
        if file.text is not None:
            return {"type": "text", "media_type": "text/plain", "data": file.text}
        if file.data is not None:
            if file.media_type == "application/pdf":
                return {"type": "base64", "media_type": file.media_type, "data": file.data}
            return _plain_text(file)
        if file.url is not None:
            return {"type": "url", "url": file.url}
        if file.file_id is not None and file.minted_by == self._target.minter:
            return {"type": "file", "file_id": file.file_id}
        return None


def _plain_text(file: File) -> dict[str, Any] | None:
    if not (file.media_type or "").startswith("text/"):
        return None
    try:
        words = b64decode(file.data or "", validate=True).decode()
    except ValueError:
        return None
    return {"type": "text", "media_type": "text/plain", "data": words}


def _text(part: Text) -> dict[str, Any]:
    block = {"type": "text", "text": part.text}
    return block if part.cache is None else _cached(block, part.cache)


def _cached(block: dict[str, Any], cache: msgspec.Raw | None) -> dict[str, Any]:
    if cache is not None:
        block["cache_control"] = cache
    return block


def _length(messages: list[dict[str, Any]]) -> tuple[int, int]:
    """Return how much stands in messages that are not none: so many, and so much in the last."""
    return len(messages), len(messages[-1]["content"])


def _collapsed(blocks: list[dict[str, Any]]) -> Any:
    """Return a lone text as a string, where nothing else hangs on it."""
    if len(blocks) == 1 and blocks[0].keys() == OF_A_TEXT:
        return blocks[0]["text"]
    return blocks


def write_request(prompt: Prompt, target: Target) -> Written:
    """Write a request."""
    losses = Losses(prompt.losses)
    writer = Writer(target, losses)
    messages = writer.messages(prompt)
    limit = prompt.params.output_tokens
    limit = target.output_tokens if limit is None else limit
    request: dict[str, Any] = {"model": target.model, "max_tokens": limit}
    if writer.system:
        request["system"] = _collapsed(writer.system)
    request["messages"] = messages
    if prompt.tools:
        request["tools"] = [_tool(tool) for tool in prompt.tools]
        note_tool_names(prompt.tools, losses)
        _write_choice(request, prompt.params, losses)
    note_prefill(prompt, losses)
    _write_params(request, prompt.params, target, losses)
    if prompt.stream:
        request["stream"] = True
    return Written(body=msgspec.json.encode(request), losses=tuple(losses))


def _tool(tool: Tool) -> dict[str, Any]:
    told: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        told["description"] = tool.description
    told["input_schema"] = EMPTY if tool.parameters is None else tool.parameters
    if tool.strict is not None:
        told["strict"] = tool.strict
    return _cached(told, tool.cache)


def _write_choice(request: dict[str, Any], params: Params, losses: Losses) -> None:
    """Add which tools may be called, and whether several at once: one field says both here."""
    choice, parallel = params.tool_choice, params.parallel
    told: dict[str, Any] = {"type": "auto"}
    if choice is not None:
        told["type"] = "any" if choice.mode == "required" else choice.mode
        if len(choice.names) == 1 and choice.mode == "required":
            told = {"type": "tool", "name": choice.names[0]}
        elif choice.names:
            why = "the format knows one tool or all of them"
            what = ", ".join(choice.names)[:80]
            losses.add("tool_choice", "$.params.tool_choice.names", what=what, why=why)
    if parallel is not None and told["type"] != "none":
        told["disable_parallel_tool_use"] = not parallel
    if choice is not None or parallel is not None:
        request["tool_choice"] = told


def _write_params(request: dict[str, Any], params: Params, target: Target, losses: Losses) -> None:
    """Add how to answer."""
    request.update(plain_params(params, FIELDS, target, losses, apart=APART))
    if params.temperature is not None and params.temperature > 1 and "temperature" in request:
        why = "the format knows 0 to 1; 1 would go"
        what = str(params.temperature)
        losses.add("sampling", "$.params.temperature", what=what, why=why)
        request["temperature"] = 1.0
    if params.stop:
        _write_stop(request, params, target, losses)
    if params.user is not None:
        request["metadata"] = {"user_id": params.user}
    _write_tier(request, params, losses)
    _write_shape(request, params, losses)
    if params.reasoning is not None:
        _write_reasoning(request, params, losses)


def _write_stop(request: dict[str, Any], params: Params, target: Target, losses: Losses) -> None:
    taken = [] if "stop" in target.lacks else [stop for stop in params.stop if stop.strip()]
    for n, stop in enumerate(params.stop):
        if stop not in taken:
            why = "the target takes no stop of white space alone, or none at all"
            losses.add("stop", f"$.params.stop[{n}]", what=repr(stop), why=why)
    if taken:
        request["stop_sequences"] = taken


def _write_tier(request: dict[str, Any], params: Params, losses: Losses) -> None:
    match params.service_tier:
        case None:
            pass
        case "auto":
            request["service_tier"] = "auto"
        case "default":
            request["service_tier"] = "standard_only"
        case "fast":
            request["speed"] = "fast"
        case other:
            why = "the provider has no such tier"
            losses.add("service_tier", "$.params.service_tier", what=other, why=why)


def _write_shape(request: dict[str, Any], params: Params, losses: Losses) -> None:
    shape = params.shape
    if shape is None:
        return
    where = "$.params.shape"
    if shape.schema is None:
        why = "the format knows JSON after a schema only"
        losses.add("json_mode", where, what="json_object", why=why)
        return
    if shape.name is not None:
        why = "the format has no name for a schema"
        losses.add("label", f"{where}.name", what=shape.name, why=why)
    if shape.description is not None:
        why = "the format has no description for a schema"
        losses.add("schema", f"{where}.description", what="description", why=why)
    format = {"type": "json_schema", "schema": shape.schema}
    request.setdefault("output_config", {})["format"] = format


def _write_reasoning(request: dict[str, Any], params: Params, losses: Losses) -> None:
    """Add how the model should think; a budget, where there is one, else an effort."""
    reasoning = params.reasoning
    if reasoning is None:
        return
    if reasoning.effort == "none" or reasoning.budget_tokens == 0:
        request["thinking"] = {"type": "disabled"}
        return
    if reasoning.effort is not None:
        alone = msgspec.structs.replace(reasoning, budget_tokens=None)
        effort = note_reasoning(alone, EFFORTS, losses)
        request.setdefault("output_config", {})["effort"] = effort
    if reasoning.budget_tokens is None and not reasoning.is_adaptive:
        return
    forced = request.get("tool_choice", {}).get("type") in {"any", "tool"}
    most = request["max_tokens"] - 1
    if forced or (reasoning.budget_tokens is not None and most < LEAST_BUDGET):
        why = "the provider takes no thoughts with a forced tool, nor within so few tokens"
        losses.add("effort", "$.params.reasoning", what="thinking", why=why)
        return
    _write_thinking(request, reasoning.budget_tokens, most, losses)


def _write_thinking(request: dict[str, Any], budget: int | None, most: int, losses: Losses) -> None:
    """Add a budget for thoughts, as far as the provider takes it."""
    if budget is None:
        request["thinking"] = {"type": "adaptive"}
    else:
        taken = min(max(budget, LEAST_BUDGET), most)
        if taken != budget:
            why = f"the provider takes {LEAST_BUDGET} up to the output limit; {taken} would go"
            where = "$.params.reasoning.budget_tokens"
            losses.add("effort", where, what=f"budget_tokens={budget}", why=why)
        request["thinking"] = {"type": "enabled", "budget_tokens": taken}
    if request.get("temperature", 1) != 1 or "top_k" in request:
        why = "the provider takes no sampling while a model thinks"
        losses.add("sampling", "$.params", what="temperature or top_k", why=why)
        request.pop("temperature", None)
        request.pop("top_k", None)
