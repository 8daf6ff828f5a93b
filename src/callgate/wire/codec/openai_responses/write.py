"""Writes a request for a response from the canonical form."""

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
from callgate.wire.codec.openai_responses.read import FORMAT
from callgate.wire.codec.params import (
    EFFORTS,
    note_cache,
    note_prefill,
    note_reasoning,
    note_stops,
    note_tool_names,
    plain_params,
)
from callgate.wire.codec.schemas import EMPTY, note_strict
from callgate.wire.codec.tool_ids import ALPHABETS, ToolIds
from callgate.wire.codec.turns import FAILED, UNNAMED

LEAST_OUTPUT: Final = 16
"""Source: OpenAI's API reference (``max_output_tokens``: at least 16)."""

FIELDS: Final = {
    "temperature": "temperature",
    "top_p": "top_p",
    "parallel": "parallel_tool_calls",
    "service_tier": "service_tier",
    "user": "user",
    "metadata": "metadata",
}
"""The fields of the canonical form that this format has too, with the same meaning."""

APART: Final = frozenset({"verbosity"})
NOT_MINE: Final = "only the provider that made it can read it"


class Writer:
    """Writes one conversation."""

    __slots__ = ("_ids", "_target", "losses")

    def __init__(self, target: Target, losses: Losses) -> None:
        self._target = target
        self._ids = ToolIds(ALPHABETS[target.tool_ids or FORMAT])
        self.losses = losses

    def items(self, prompt: Prompt) -> Iterator[Any]:
        """Yield the items of the conversation, without the first instruction."""
        later = prompt.system[1:]
        if later:
            content = [{"type": "input_text", "text": part.text} for part in later]
            yield {"type": "message", "role": "system", "content": content}
        for n, turn in enumerate(prompt.turns):
            if turn.role == "assistant":
                yield from self._said(turn, n)
            else:
                yield from self._asked(turn, n)

    def _asked(self, turn: Turn, n: int) -> Iterator[dict[str, Any]]:
        """Yield the results of a turn, and then its words."""
        content: list[dict[str, Any]] = []
        for at, part in enumerate(turn.parts):
            if isinstance(part, Text):
                # Most parts are words, which need no place: none of them is ever lost.
                content.append({"type": "input_text", "text": part.text})
            elif isinstance(part, ToolResult):
                yield self._result(part, f"$.turns[{n}].parts[{at}]")
            else:
                content += self._shown(part, f"$.turns[{n}].parts[{at}]")
        if content:
            yield {"type": "message", "role": turn.role, "content": _collapsed(content)}

    def _result(self, result: ToolResult, where: str) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        if result.is_error:
            content.append({"type": "input_text", "text": FAILED})
        for at, part in enumerate(result.parts):
            content += self._shown(part, f"{where}.parts[{at}]")
        if result.is_error and len(content) == 1:
            content.append({"type": "input_text", "text": ""})
        id = self._ids.write(result.use_id)
        output = _collapsed(content) if content else ""
        return {"type": "function_call_output", "call_id": id, "output": output}

    def _said(self, turn: Turn, n: int) -> Iterator[Any]:
        """Yield what the model said: words, calls and thoughts are items of their own."""
        words: list[dict[str, Any]] = []
        for at, part in enumerate(turn.parts):
            if isinstance(part, Text):
                words.append({"type": "output_text", "text": part.text})
            elif isinstance(part, Refusal):
                words.append({"type": "refusal", "refusal": part.text})
            else:
                yield from _worded(words)
                yield from self._other(part, f"$.turns[{n}].parts[{at}]")
        yield from _worded(words)

    def _other(self, part: Part, where: str) -> Iterator[Any]:
        """Yield a part of what the model said that is no words."""
        minted_here = getattr(part, "minted_by", None) == self._target.minter
        if isinstance(part, ToolUse):
            if part.signature is not None:
                what = "the signature of a call"
                self.losses.add("thinking", where, what=what, why=NOT_MINE)
            id = self._ids.write(part.id)
            told = {"call_id": id, "name": part.name, "arguments": part.arguments}
            yield {"type": "function_call", **told}
        elif isinstance(part, Thinking) and part.signature is not None and minted_here:
            summary = [{"type": "summary_text", "text": part.text}] if part.text else []
            kept = {"summary": summary, "encrypted_content": part.signature}
            yield {"type": "reasoning", **kept}
        elif isinstance(part, Opaque) and part.format == FORMAT and minted_here:
            yield part.raw
        else:
            name = "thinking" if isinstance(part, Thinking) else "opaque"
            what = part.kind if isinstance(part, Opaque) else type(part).__name__.lower()
            self.losses.add(name, where, what=what, why=NOT_MINE)

    def _shown(self, part: Part, where: str) -> list[dict[str, Any]]:
        """Return a part of what is said to the model."""
        match part:
            case Text() | Refusal():
                return [{"type": "input_text", "text": part.text}]
            case Image():
                return self._image(part, where)
            case File():
                return self._file(part, where)
            case _:
                what = part.kind if isinstance(part, Opaque) else type(part).__name__.lower()
                self.losses.add("opaque", where, what=what, why=NOT_MINE)
                return []

    def _image(self, image: Image, where: str) -> list[dict[str, Any]]:
        detail = image.detail or "auto"
        if image.file_id is not None and image.minted_by == self._target.minter:
            return [{"type": "input_image", "detail": detail, "file_id": image.file_id}]
        url = image.url if image.data is None else data_urls.write(image.media_type, image.data)
        if url is None or "images" in self._target.lacks:
            why = "the target takes no images, or not by the id of another provider"
            self.losses.add("image", where, what="file_id" if image.file_id else "image", why=why)
            return []
        return [{"type": "input_image", "detail": detail, "image_url": url}]

    def _file(self, file: File, where: str) -> list[dict[str, Any]]:
        named = {} if file.name is None else {"filename": file.name}
        if file.text is not None:
            if named:
                why = "a plain text goes over as words, which have no name"
                self.losses.add("document", f"{where}.name", what=str(file.name), why=why)
            return [{"type": "input_text", "text": file.text}]
        if file.data is not None and "documents" not in self._target.lacks:
            data = data_urls.write(file.media_type, file.data)
            name = {"filename": file.name or UNNAMED}
            return [{"type": "input_file", "file_data": data, **name}]
        if file.url is not None and "documents" not in self._target.lacks:
            return [{"type": "input_file", "file_url": file.url, **named}]
        if file.file_id is not None and file.minted_by == self._target.minter:
            return [{"type": "input_file", "file_id": file.file_id, **named}]
        why = "the target takes no documents, or not by the id of another provider"
        self.losses.add("document", where, what="file_id" if file.file_id else "file", why=why)
        return []


def _worded(words: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the words so far as a message, and begin anew."""
    if words:
        yield {"type": "message", "role": "assistant", "content": list(words)}
        words.clear()


def _collapsed(parts: Sequence[dict[str, Any]]) -> Any:
    """Return a lone text as a string."""
    if len(parts) == 1 and parts[0]["type"] == "input_text":
        return parts[0]["text"]
    return list(parts)


def write_request(prompt: Prompt, target: Target) -> Written:
    """Write a request; the provider keeps nothing of it."""
    losses = Losses(prompt.losses)
    writer = Writer(target, losses)
    request: dict[str, Any] = {"model": target.model}
    if prompt.system:
        request["instructions"] = prompt.system[0].text
    request["input"] = list(writer.items(prompt))
    if prompt.tools:
        request["tools"] = [_tool(tool, n, losses) for n, tool in enumerate(prompt.tools)]
        note_tool_names(prompt.tools, losses)
    note_cache(prompt, losses)
    note_prefill(prompt, losses)
    _write_params(request, prompt.params, target, losses)
    request["store"] = False
    if prompt.stream:
        request["stream"] = True
    return Written(body=msgspec.json.encode(request), losses=tuple(losses))


def _tool(tool: Tool, n: int, losses: Losses) -> dict[str, Any]:
    told: dict[str, Any] = {"type": "function", "name": tool.name}
    if tool.description is not None:
        told["description"] = tool.description
    told["parameters"] = EMPTY if tool.parameters is None else tool.parameters
    # Here a tool that does not say is exact, and its schema would be refused if it cannot be.
    told["strict"] = bool(
        tool.strict
        and note_strict(tool.parameters, tool.strict, f"$.tools[{n}].parameters", losses)
    )
    return told


def _write_params(request: dict[str, Any], params: Params, target: Target, losses: Losses) -> None:
    """Add how to answer."""
    limit = target.output_tokens if params.output_tokens is None else params.output_tokens
    if limit < LEAST_OUTPUT:
        why = f"the format takes {LEAST_OUTPUT} or more"
        losses.add("output_limit", "$.params.output_tokens", what=str(limit), why=why)
    request["max_output_tokens"] = max(limit, LEAST_OUTPUT)
    request.update(plain_params(params, FIELDS, target, losses, apart=APART))
    note_stops(params, losses)
    if params.tool_choice is not None:
        request["tool_choice"] = _choice(params.tool_choice)
    config: dict[str, Any] = {}
    if params.shape is not None:
        config["format"] = _format(params.shape, losses)
    if params.verbosity is not None:
        config["verbosity"] = params.verbosity
    if config:
        request["text"] = config
    if params.reasoning is not None:
        effort = note_reasoning(params.reasoning, EFFORTS, losses)
        if effort is not None:
            request["reasoning"] = {"effort": effort}


def _choice(choice: ToolChoice) -> Any:
    if not choice.names:
        return choice.mode
    named = [{"type": "function", "name": name} for name in choice.names]
    if choice.mode == "required" and len(named) == 1:
        return named[0]
    return {"type": "allowed_tools", "mode": choice.mode, "tools": named}


def _format(shape: Shape, losses: Losses) -> dict[str, Any]:
    if shape.schema is None:
        return {"type": "json_object"}
    told: dict[str, Any] = {"type": "json_schema", "name": shape.name or "answer"}
    if shape.description is not None:
        told["description"] = shape.description
    told["schema"] = shape.schema
    told["strict"] = bool(note_strict(shape.schema, shape.strict, "$.params.shape.schema", losses))
    return told
