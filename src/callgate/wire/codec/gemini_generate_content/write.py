"""Writes a request to generate content from the canonical form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from callgate.wire.codec import Target, Written
from callgate.wire.codec.canonical import (
    File,
    Image,
    Opaque,
    Params,
    Part,
    Prompt,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)
from callgate.wire.codec.gemini_generate_content.read import JSON, NO_SIGNATURE, TIERS
from callgate.wire.codec.losses import Losses
from callgate.wire.codec.params import note_cache, note_prefill, note_reasoning, plain_params
from callgate.wire.codec.replies import object_in
from callgate.wire.codec.schemas import for_gemini
from callgate.wire.codec.tool_ids import ALPHABETS, ToolIds
from callgate.wire.document import malformed

FIELDS: Final = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
"""The fields of the canonical form that this format has too, with the same meaning."""

LEVELS: Final = ("minimal", "low", "medium", "high", "xhigh")
LEVEL_BUDGETS: Final = {
    "minimal": 512,
    "low": 2_048,
    "medium": 8_192,
    "high": 24_576,
    "xhigh": 32_768,
}
"""Tokens of thought that come nearest to a level, for a model that knows only tokens."""

TIER_WORDS: Final = {canonical: word for word, canonical in TIERS.items()}
MOST_STOPS: Final = 5
"""Source: Gemini's API reference (``stopSequences``: up to 5)."""

APART: Final = frozenset({"service_tier"})
NOT_MINE: Final = "only the provider that made it can read it"


class Writer:
    """Writes one conversation."""

    __slots__ = ("_ids", "_target", "losses", "system")

    def __init__(self, target: Target, losses: Losses) -> None:
        self._target = target
        self._ids = ToolIds(ALPHABETS[target.tool_ids or "gemini"])
        self.system: list[dict[str, Any]] = []
        self.losses = losses

    def contents(self, prompt: Prompt) -> list[dict[str, Any]]:
        """Return the contents; turns of one side that follow each other are one."""
        self.system = [{"text": part.text} for part in prompt.system]
        contents: list[dict[str, Any]] = []
        for n, turn in enumerate(prompt.turns):
            parts = list(self._parts(turn, n))
            if turn.role in {"system", "developer"}:
                why = "the format takes instructions at the beginning only; it would stand there"
                self.losses.add("place", f"$.turns[{n}]", what="an instruction", why=why)
                self.system += parts
                continue
            role = "model" if turn.role == "assistant" else "user"
            if parts and contents and contents[-1]["role"] == role:
                contents[-1]["parts"] += parts
            elif parts:
                contents.append({"role": role, "parts": parts})
        if not contents:
            msg = "the request has no words but instructions; Gemini needs a content"
            raise malformed(msg, code="wrong_field")
        return contents

    def _parts(self, turn: Turn, n: int) -> Iterator[dict[str, Any]]:
        """Yield what a turn holds; its first call is signed, as newer models insist."""
        signed = False
        later: list[dict[str, Any]] = []
        for at, part in enumerate(turn.parts):
            if isinstance(part, Text):
                # Most parts are words, which need no place: none of them is ever lost.
                yield {"text": part.text}
            elif isinstance(part, ToolUse):
                yield self._use(part, f"$.turns[{n}].parts[{at}]", is_first=not signed)
                signed = True
            elif isinstance(part, ToolResult):
                yield self._result(part, f"$.turns[{n}].parts[{at}]", later)
            else:
                yield from self._shown(part, f"$.turns[{n}].parts[{at}]")
        yield from later

    def _use(self, use: ToolUse, where: str, *, is_first: bool) -> dict[str, Any]:
        told = object_in(use.arguments)
        if told is None:
            why = "the format takes an object; the words would stand in one"
            self.losses.add("arguments", where, what=f"a call of {use.name}", why=why)
            told = msgspec.Raw(msgspec.json.encode({"arguments": use.arguments}))
        call: dict[str, Any] = {"name": use.name, "args": told}
        if "ids" not in self._target.lacks:
            call = {"id": self._ids.write(use.id), **call}
        part: dict[str, Any] = {"functionCall": call}
        if use.signature is not None and use.minted_by == self._target.minter:
            part["thoughtSignature"] = use.signature
            return part
        if use.signature is not None:
            self.losses.add("thinking", where, what="the signature of a call", why=NOT_MINE)
        if is_first and "signatures" not in self._target.lacks:
            part["thoughtSignature"] = NO_SIGNATURE
        return part

    def _result(
        self, result: ToolResult, where: str, beside: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Return a result; a model that takes words only gets its pictures beside it."""
        words = [part.text for part in result.parts if isinstance(part, Text)]
        told: Any = words[0] if len(words) == 1 else words
        key = "error" if result.is_error else "output"
        response: dict[str, Any] = {"name": result.name, "response": {key: told} if words else {}}
        if result.is_error and not words:
            response["response"] = {"error": []}
        if "ids" not in self._target.lacks:
            response = {"id": self._ids.write(result.use_id), **response}
        shown: list[dict[str, Any]] = []
        for at, part in enumerate(result.parts):
            if not isinstance(part, Text):
                shown += self._shown(part, f"{where}.parts[{at}]")
            elif shown:
                why = "words and pictures of a result stand in different fields"
                self.losses.add("order", f"{where}.parts[{at}]", what="a text", why=why)
        if shown and "tool_images" in self._target.lacks:
            why = "the model takes words alone from a tool; they would stand beside its result"
            self.losses.add("tool_image", where, what=f"{len(shown)} parts", why=why)
            beside += shown
        elif shown:
            response["parts"] = shown
        return {"functionResponse": response}

    def _shown(self, part: Part, where: str) -> list[dict[str, Any]]:
        match part:
            case Text() | Refusal():
                return [{"text": part.text}]
            case Image():
                return self._media(part, where, "image")
            case File(text=str(words)):
                if part.name is not None:
                    why = "a plain text goes over as words, which have no name"
                    self.losses.add("document", f"{where}.name", what=part.name, why=why)
                return [{"text": words}]
            case File():
                return self._media(part, where, "document")
            case Thinking() if part.minted_by == self._target.minter:
                signed = {} if part.signature is None else {"thoughtSignature": part.signature}
                return [{"text": part.text, "thought": True, **signed}]
            case _:
                name = "thinking" if isinstance(part, Thinking) else "opaque"
                what = part.kind if isinstance(part, Opaque) else type(part).__name__.lower()
                self.losses.add(name, where, what=what, why=NOT_MINE)
                return []

    def _media(self, part: Image | File, where: str, lost: str) -> list[dict[str, Any]]:
        """Return a picture or document by its bytes, or by an address of the provider's own."""
        named = {}
        if isinstance(part, File) and part.name is not None:
            named = {"displayName": part.name}
        if isinstance(part, Image) and part.detail is not None:
            why = "the format has no such field"
            self.losses.add("image_detail", where, what=part.detail, why=why)
        if part.data is not None and part.media_type is not None:
            return [{"inlineData": {"mimeType": part.media_type, "data": part.data, **named}}]
        if part.file_id is not None and part.minted_by == self._target.minter:
            typed = {} if part.media_type is None else {"mimeType": part.media_type}
            return [{"fileData": {"fileUri": part.file_id, **typed, **named}}]
        why = "the format takes bytes of a known type, or what was sent to this provider before"
        self.losses.add(
            lost, where, what="url" if part.url else "file_id" if part.file_id else lost, why=why
        )
        return []


def write_request(prompt: Prompt, target: Target) -> Written:
    """Write a request; its model, and the wish for a stream, go into its address."""
    losses = Losses(prompt.losses)
    writer = Writer(target, losses)
    request: dict[str, Any] = {"contents": writer.contents(prompt)}
    if writer.system:
        request["systemInstruction"] = {"parts": writer.system}
    if prompt.tools:
        declared = [_tool(tool, n, losses) for n, tool in enumerate(prompt.tools)]
        request["tools"] = [{"functionDeclarations": declared}]
    choice = prompt.params.tool_choice
    if choice is not None:
        calling = _choice(choice, losses)
        request["toolConfig"] = {"functionCallingConfig": calling}
    note_cache(prompt, losses)
    note_prefill(prompt, losses)
    request["generationConfig"] = _config(prompt.params, target, losses)
    tier = prompt.params.service_tier
    if tier in TIER_WORDS:
        request["serviceTier"] = TIER_WORDS[tier]
    elif tier not in {None, "auto"}:
        why = "the provider has no such tier"
        losses.add("service_tier", "$.params.service_tier", what=str(tier), why=why)
    return Written(body=msgspec.json.encode(request), losses=tuple(losses))


def _tool(tool: Tool, n: int, losses: Losses) -> dict[str, Any]:
    told: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        told["description"] = tool.description
    if tool.parameters is not None:
        where = f"$.tools[{n}].parameters"
        told["parametersJsonSchema"] = for_gemini(tool.parameters, where, losses)
    if tool.strict:
        why = "the format does not hold a model to the schema of a tool"
        losses.add("strict", f"$.tools[{n}].strict", what="strict", why=why)
    return told


def _choice(choice: ToolChoice, losses: Losses) -> dict[str, Any]:
    mode = {"auto": "AUTO", "none": "NONE", "required": "ANY"}[choice.mode]
    if not choice.names:
        return {"mode": mode}
    if choice.mode == "required":
        return {"mode": mode, "allowedFunctionNames": choice.names}
    why = "the format names tools only where one of them must be called"
    what = ", ".join(choice.names)[:80]
    losses.add("tool_choice", "$.params.tool_choice.names", what=what, why=why)
    return {"mode": mode}


def _config(params: Params, target: Target, losses: Losses) -> dict[str, Any]:
    """Return how to answer."""
    limit = target.output_tokens if params.output_tokens is None else params.output_tokens
    config: dict[str, Any] = {"maxOutputTokens": limit}
    config.update(plain_params(params, FIELDS, target, losses, apart=APART))
    if params.stop:
        _write_stop(config, params, target, losses)
    _write_shape(config, params, losses)
    if params.reasoning is not None:
        thinking = _thinking(params.reasoning, target, losses)
        if thinking:
            config["thinkingConfig"] = thinking
    return config


def _write_stop(config: dict[str, Any], params: Params, target: Target, losses: Losses) -> None:
    most = 0 if "stop" in target.lacks else MOST_STOPS
    if most:
        config["stopSequences"] = params.stop[:most]
    for n, stop in enumerate(params.stop[most:], start=most):
        why = f"the target takes {most} of them"
        losses.add("stop", f"$.params.stop[{n}]", what=repr(stop), why=why)


def _write_shape(config: dict[str, Any], params: Params, losses: Losses) -> None:
    shape = params.shape
    if shape is None:
        return
    where = "$.params.shape"
    config["responseMimeType"] = JSON
    if shape.schema is not None:
        config["responseJsonSchema"] = for_gemini(shape.schema, f"{where}.schema", losses)
    if shape.name is not None:
        why = "the format has no name for a schema"
        losses.add("label", f"{where}.name", what=shape.name, why=why)
    if shape.description is not None:
        why = "the format has no description for a schema"
        losses.add("schema", f"{where}.description", what="description", why=why)


def _thinking(reasoning: Reasoning, target: Target, losses: Losses) -> dict[str, Any]:
    """Return how the model should think: by tokens where they are named, else by a level."""
    if reasoning.effort == "none" or reasoning.budget_tokens == 0:
        return {"thinkingBudget": 0}
    if reasoning.effort is None:
        if reasoning.budget_tokens is not None:
            return {"thinkingBudget": reasoning.budget_tokens}
        return {"thinkingBudget": -1} if reasoning.is_adaptive else {}
    level = note_reasoning(reasoning, LEVELS, losses) or "high"
    if "thinking_level" not in target.lacks:
        return {"thinkingLevel": level}
    why = f"the model knows tokens, not levels; {LEVEL_BUDGETS[level]} come nearest"
    losses.add("effort", "$.params.reasoning.effort", what=level, why=why)
    return {"thinkingBudget": LEVEL_BUDGETS[level]}
