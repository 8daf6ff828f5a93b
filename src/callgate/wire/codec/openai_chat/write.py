"""Writes a chat request from the canonical form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from callgate.wire.codec import Target, Written, data_urls
from callgate.wire.codec.canonical import (
    File,
    Image,
    Opaque,
    Params,
    Part,
    Prompt,
    Refusal,
    Shape,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)
from callgate.wire.codec.losses import Losses
from callgate.wire.codec.params import (
    EFFORTS,
    note_cache,
    note_prefill,
    note_reasoning,
    note_tool_names,
    plain_params,
)
from callgate.wire.codec.schemas import EMPTY, note_strict
from callgate.wire.codec.tool_ids import ALPHABETS, ToolIds
from callgate.wire.codec.turns import FAILED, UNNAMED

NO_FLAG: Final = {"type": "text", "text": FAILED}


class Writer:
    """Writes one conversation."""

    __slots__ = ("_ids", "_target", "losses")

    def __init__(self, target: Target, losses: Losses) -> None:
        self._target = target
        self._ids = ToolIds(ALPHABETS[target.tool_ids or "openai"])
        self.losses = losses

    def messages(self, prompt: Prompt) -> list[dict[str, Any]]:
        """Return every message."""
        messages: list[dict[str, Any]] = []
        if prompt.system:
            content = _collapsed([{"type": "text", "text": part.text} for part in prompt.system])
            messages.append({"role": "system", "content": content})
        for n, turn in enumerate(prompt.turns):
            if turn.role == "assistant":
                messages += self._said(turn, n)
            else:
                messages += self._asked(turn, n)
        return messages

    def _asked(self, turn: Turn, n: int) -> Iterator[dict[str, Any]]:
        """Yield the results of a turn, as they must follow their calls, and then its words."""
        beside: list[dict[str, Any]] = []
        shown: list[dict[str, Any]] = []
        for at, part in enumerate(turn.parts):
            if isinstance(part, Text):
                # Most parts are words, which need no place: none of them is ever lost.
                shown.append({"type": "text", "text": part.text})
            elif isinstance(part, ToolResult):
                yield self._result(part, f"$.turns[{n}].parts[{at}]", beside)
            else:
                shown += self._shown(part, f"$.turns[{n}].parts[{at}]")
        if beside or shown:
            yield {"role": turn.role, "content": _collapsed(beside + shown)}

    def _result(
        self, result: ToolResult, where: str, beside: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Return a result; what is no text goes into the user's words after it."""
        words: list[dict[str, Any]] = [NO_FLAG] if result.is_error else []
        for at, part in enumerate(result.parts):
            if isinstance(part, Text):
                words.append({"type": "text", "text": part.text})
                continue
            place = f"{where}.parts[{at}]"
            why = "the result of a tool is text alone here; it would stand among the user's words"
            shown = self._shown(part, place)
            if shown:
                self.losses.add("tool_image", place, what=type(part).__name__.lower(), why=why)
                told = f"What the tool {result.name} gave back besides text:"
                beside += [{"type": "text", "text": told}, *shown]
        if result.is_error and len(words) == 1:
            words.append({"type": "text", "text": ""})
        content = _collapsed(words) if words else ""
        id = self._ids.write(result.use_id)
        return {"role": "tool", "tool_call_id": id, "content": content}

    def _shown(self, part: Part, where: str) -> list[dict[str, Any]]:
        """Return a part of what is said to the model."""
        match part:
            case Text():
                return [{"type": "text", "text": part.text}]
            case Image():
                return self._image(part, where)
            case File():
                return self._file(part, where)
            case Refusal():
                return [{"type": "text", "text": part.text}]
            case _:
                note_private(part, where, self.losses)
                return []

    def _image(self, image: Image, where: str) -> list[dict[str, Any]]:
        if "images" in self._target.lacks:
            self.losses.add("image", where, what="image", why="the model takes no images")
            return []
        url = image.url if image.data is None else data_urls.write(image.media_type, image.data)
        if url is None:
            why = "an image that was sent before has no id in this format"
            self.losses.add("image", where, what="file_id", why=why)
            return []
        detail = {} if image.detail is None else {"detail": image.detail}
        return [{"type": "image_url", "image_url": {"url": url, **detail}}]

    def _file(self, file: File, where: str) -> list[dict[str, Any]]:
        named = {} if file.name is None else {"filename": file.name}
        if file.text is not None:
            if named:
                why = "a plain text goes over as words, which have no name"
                self.losses.add("document", f"{where}.name", what=str(file.name), why=why)
            return [{"type": "text", "text": file.text}]
        if file.data is not None and "documents" not in self._target.lacks:
            data = data_urls.write(file.media_type, file.data)
            name = {"filename": file.name or UNNAMED}
            return [{"type": "file", "file": {"file_data": data, **name}}]
        if file.file_id is not None and file.minted_by == self._target.minter:
            return [{"type": "file", "file": {"file_id": file.file_id, **named}}]
        why = "the format takes no documents by their address, nor by the id of another provider"
        self.losses.add("document", where, what="url" if file.url else "file_id", why=why)
        return []

    def _said(self, turn: Turn, n: int) -> Iterator[dict[str, Any]]:
        """Yield what the model said; nothing if nothing of it goes over."""
        message: dict[str, Any] = {"role": "assistant", "content": None}
        words: list[dict[str, Any]] = []
        calls: list[dict[str, Any]] = []
        for at, part in enumerate(turn.parts):
            where = f"$.turns[{n}].parts[{at}]"
            if isinstance(part, ToolUse):
                calls.append(self._use(part, where))
            elif isinstance(part, Thinking):
                self._thought(part, where, message)
            else:
                if calls:
                    why = "texts stand before calls in this format"
                    self.losses.add("order", where, what="a text after a call", why=why)
                words += self._worded(part, where)
        if words:
            message["content"] = _collapsed(words)
        if calls:
            message["tool_calls"] = calls
        if words or calls:
            yield message

    def _worded(self, part: Part, where: str) -> list[dict[str, Any]]:
        match part:
            case Refusal():
                return [{"type": "refusal", "refusal": part.text}]
            case Text():
                return [{"type": "text", "text": part.text}]
            case _:
                note_private(part, where, self.losses)
                return []

    def _use(self, use: ToolUse, where: str) -> dict[str, Any]:
        call: dict[str, Any] = {
            "id": self._ids.write(use.id),
            "type": "function",
            "function": {"name": use.name, "arguments": use.arguments},
        }
        if use.signature is not None:
            if use.minted_by == self._target.minter:
                call["extra_content"] = {"google": {"thought_signature": use.signature}}
            else:
                why = "only who signed it can read it"
                self.losses.add("thinking", where, what="the signature of a call", why=why)
        return call

    def _thought(self, part: Thinking, where: str, message: dict[str, Any]) -> None:
        field = self._target.thinking_field
        if field is None or part.is_redacted:
            why = "the format has no place for what a model thought"
            self.losses.add("thinking", where, what="thinking", why=why)
            return
        message[field] = message.get(field, "") + part.text
        if part.signature is not None:
            why = "the format has no place for a signature"
            self.losses.add("thinking", where, what="the signature of a thought", why=why)


def note_private(part: Part, where: str, losses: Losses) -> None:
    """Note a part that only its maker can read."""
    kind = part.kind if isinstance(part, Opaque) else type(part).__name__.lower()
    name = "thinking" if isinstance(part, Thinking) else "opaque"
    losses.add(name, where, what=kind, why="only the provider that made it can read it")


def _collapsed(parts: Sequence[dict[str, Any]]) -> Any:
    """Return a lone text as a string, as nearly every client and server writes it."""
    if len(parts) == 1 and parts[0]["type"] == "text":
        return parts[0]["text"]
    return list(parts)


def write_request(prompt: Prompt, target: Target) -> Written:
    """Write a request."""
    losses = Losses(prompt.losses)
    writer = Writer(target, losses)
    request: dict[str, Any] = {"model": target.model, "messages": writer.messages(prompt)}
    if prompt.tools:
        request["tools"] = [_tool(tool, n, losses) for n, tool in enumerate(prompt.tools)]
        note_tool_names(prompt.tools, losses)
    note_cache(prompt, losses)
    note_prefill(prompt, losses)
    _write_params(request, prompt.params, target, losses)
    if prompt.stream:
        request["stream"] = True
        if "stream_options" not in target.lacks:
            request["stream_options"] = {"include_usage": True}
    return Written(body=msgspec.json.encode(request), losses=tuple(losses))


def _tool(tool: Tool, n: int, losses: Losses) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = EMPTY if tool.parameters is None else tool.parameters
    strict = tool.strict
    if strict:
        strict = note_strict(tool.parameters, strict, f"$.tools[{n}].parameters", losses)
    if strict is not None:
        function["strict"] = strict
    return {"type": "function", "function": function}


def _write_params(request: dict[str, Any], params: Params, target: Target, losses: Losses) -> None:
    """Add how to answer."""
    limit = params.output_tokens
    request[target.limit_field] = target.output_tokens if limit is None else limit
    request.update(plain_params(params, FIELDS, target, losses))
    if params.stop:
        _write_stop(request, params, target, losses)
    if params.tool_choice is not None:
        request["tool_choice"] = _choice(params.tool_choice)
    if params.shape is not None:
        request["response_format"] = _format(params.shape, losses)
    if params.reasoning is not None:
        effort = note_reasoning(params.reasoning, EFFORTS, losses)
        if effort is not None:
            request["reasoning_effort"] = effort


FIELDS: Final = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "parallel": "parallel_tool_calls",
    "verbosity": "verbosity",
    "service_tier": "service_tier",
    "user": "user",
    "metadata": "metadata",
}
"""The fields of the canonical form that this format has too, with the same meaning."""

MOST_STOPS: Final = 4
"""Source: OpenAI's API reference (``stop``: up to 4 sequences)."""


def _write_stop(request: dict[str, Any], params: Params, target: Target, losses: Losses) -> None:
    most = 0 if "stop" in target.lacks else MOST_STOPS
    if most:
        request["stop"] = params.stop[:most]
    for n, stop in enumerate(params.stop[most:], start=most):
        why = f"the target takes {most} of them"
        losses.add("stop", f"$.params.stop[{n}]", what=stop, why=why)


def _choice(choice: ToolChoice) -> Any:
    if not choice.names:
        return choice.mode
    named = [{"type": "function", "function": {"name": name}} for name in choice.names]
    if choice.mode == "required" and len(named) == 1:
        return named[0]
    return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": named}}


def _format(shape: Shape, losses: Losses) -> dict[str, Any]:
    if shape.schema is None:
        return {"type": "json_object"}
    told: dict[str, Any] = {"name": shape.name or "answer", "schema": shape.schema}
    if shape.description is not None:
        told["description"] = shape.description
    strict = note_strict(shape.schema, shape.strict, "$.params.shape.schema", losses)
    if strict is not None:
        told["strict"] = strict
    return {"type": "json_schema", "json_schema": told}
