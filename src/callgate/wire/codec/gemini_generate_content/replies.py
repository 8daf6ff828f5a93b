"""Reads and writes a plain reply with generated content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from callgate.call import Usage
from callgate.wire.codec import Client, Origin, Written
from callgate.wire.codec.canonical import (
    Completion,
    Finish,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolUse,
)
from callgate.wire.codec.gemini_generate_content.read import NO_SIGNATURE, arguments_in
from callgate.wire.codec.losses import Loss, Losses
from callgate.wire.codec.replies import (
    broken,
    finish_of,
    note_thought,
    object_in,
    unsayable,
)
from callgate.wire.codec.tool_ids import ALPHABETS, ToolIds, mint
from callgate.wire.gemini_generate_content import FINISH, is_blocked, usage_of
from callgate.wire.replies import member, object_of, objects, text, unreadable

FORMAT: Final = "gemini_generate_content"

WORDS: Final[Mapping[Finish, str]] = {
    "stop": "STOP",
    "stop_sequence": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "context": "MAX_TOKENS",
    "refusal": "SAFETY",
    "content_filter": "SAFETY",
}

CUT: Final = frozenset({"length", "context"})
NOT_MINE: Final = "only the provider that made it can read it"


def write_usage(usage: Usage) -> dict[str, Any]:
    """Return usage as this format counts it."""
    told = {
        "promptTokenCount": usage.total_input_tokens,
        "candidatesTokenCount": usage.output_tokens,
        "totalTokenCount": usage.total_input_tokens + usage.total_output_tokens,
    }
    if usage.cache_read_tokens:
        told["cachedContentTokenCount"] = usage.cache_read_tokens
    if usage.reasoning_tokens:
        told["thoughtsTokenCount"] = usage.reasoning_tokens
    return told


def finish_in(word: object) -> Finish:
    """Return why a candidate ended.

    Raises:
        BrokenReply: The model failed, or nobody knows what its word means.
    """
    finish = FINISH.get(word) if isinstance(word, str) else None
    if finish is None:
        msg = f"the provider ended the reply with {word!r}, which is no end of an answer"
        raise broken(msg)
    return finish


def read_reply(body: bytes, origin: Origin) -> Completion:
    """Read a reply."""
    page = object_of(body)
    candidates = objects(page.get("candidates"))
    losses = Losses()
    for n in range(1, len(candidates)):
        losses.append(another_answer(n))
    if not candidates and not is_blocked(member(page, "promptFeedback")):
        problem = "has no candidate"
        raise unreadable(problem, body)
    first = candidates[0] if candidates else {}
    content = member(first, "content")
    parts = tuple(_parts(objects(content.get("parts")), origin, losses))
    told: Finish = finish_in(first.get("finishReason")) if candidates else "content_filter"
    note_sources(first, losses)
    return Completion(
        id=text(page, "responseId") or origin.seed,
        model=text(page, "modelVersion") or "",
        parts=parts,
        finish=finish_of(
            told, calls=any(isinstance(part, ToolUse) for part in parts), refused=False
        ),
        usage=usage_of(member(page, "usageMetadata")),
        losses=tuple(losses),
    )


def another_answer(n: int) -> Loss:
    """Return the loss of an answer besides the first one."""
    why = "a reply has one answer in other formats"
    return Loss(name="choices", where=f"$.candidates[{n}]", what="a further answer", why=why)


def note_sources(candidate: dict[str, Any], losses: Losses) -> None:
    """Note that an answer rests on sources."""
    for key in ("groundingMetadata", "citationMetadata"):
        if candidate.get(key):
            why = "no other format says it in the same way"
            losses.add("citations", f"$.candidates[0].{key}", what=key, why=why)


def _parts(parts: list[dict[str, Any]], origin: Origin, losses: Losses) -> Iterator[Part]:
    calls = 0
    for n, part in enumerate(parts):
        said = read_part(part, mint(origin.seed, calls), origin)
        if isinstance(said, ToolUse):
            calls += 1
        if isinstance(said, Text):
            note_signature(part, f"$.candidates[0].content.parts[{n}]", losses)
            if not said.text:
                continue
        yield said


def note_signature(part: dict[str, Any], where: str, losses: Losses) -> None:
    """Note the signature of a text, which no other part can carry."""
    if part.get("thoughtSignature"):
        why = "only who signed it can read it"
        losses.add("thinking", where, what="the signature of a text", why=why)


def read_part(
    part: dict[str, Any], spare_id: str, origin: Origin
) -> Text | Thinking | ToolUse | Opaque:
    """Return a part of a reply."""
    minter, signature = origin.minter, text(part, "thoughtSignature")
    signature = None if signature == NO_SIGNATURE else signature
    words, call = part.get("text"), part.get("functionCall")
    if isinstance(words, str):
        if part.get("thought"):
            return Thinking(text=words, signature=signature, minted_by=minter)
        return Text(text=words)
    if call is not None:
        told = member(part, "functionCall")
        name = text(told, "name")
        if name is None or told.get("partialArgs") or told.get("willContinue"):
            msg = "the provider's reply calls a tool without a name, or in pieces"
            raise broken(msg)
        return ToolUse(
            id=text(told, "id") or spare_id,
            name=name,
            arguments=arguments_in(told.get("args")),
            signature=signature,
            minted_by=minter,
        )
    raw = msgspec.Raw(msgspec.json.encode(part))
    kind = next(iter(part), "part")
    return Opaque(format=FORMAT, kind=kind, raw=raw, minted_by=minter)


class PartWriter:
    """Writes the parts of one reply."""

    __slots__ = ("_client", "_ids", "_signed", "losses")

    def __init__(self, client: Client, losses: Losses) -> None:
        self._client = client
        self._ids = ToolIds(ALPHABETS[client.tool_ids or "gemini"])
        self._signed = False
        self.losses = losses

    def use(self, use: ToolUse, args: msgspec.Raw) -> dict[str, Any]:
        """Return a call; the first one is signed, so that it can be sent back to Gemini."""
        call = {"id": self._ids.write(use.id), "name": use.name, "args": args}
        part: dict[str, Any] = {"functionCall": call}
        minter = self._client.minter
        if use.signature is not None and minter is not None and use.minted_by == minter:
            part["thoughtSignature"] = use.signature
        elif not self._signed:
            part["thoughtSignature"] = NO_SIGNATURE
        self._signed = True
        return part

    def thought(self, part: Thinking, where: str) -> Iterator[dict[str, Any]]:
        """Yield a thought, for a client that can send it back to who thought it."""
        minter = self._client.minter
        if minter is None or part.minted_by != minter:
            note_thought(part, where, self.losses)
            return
        signed = {} if part.signature is None else {"thoughtSignature": part.signature}
        yield {"text": part.text, "thought": True, **signed}


def arguments_for(use: ToolUse, arguments: str, *, is_cut: bool) -> msgspec.Raw | None:
    """Return the arguments of a call as an object; None where the output limit has cut them.

    Raises:
        BrokenReply: They are no object, and nothing has cut them.
    """
    told = object_in(arguments)
    if told is None and not is_cut:
        msg = f"the model called {use.name} with arguments that are no JSON object"
        raise broken(msg)
    return told


def note_cut(name: str, where: str, losses: Losses) -> None:
    """Note a call that the output limit has cut."""
    why = "the output limit cut the arguments, and half an object is none"
    losses.add("arguments", where, what=f"a call of {name}", why=why)


def write_reply(completion: Completion, client: Client) -> Written:
    """Write a reply."""
    losses = Losses(completion.losses)
    writer = PartWriter(client, losses)
    parts: list[dict[str, Any]] = []
    for n, part in enumerate(completion.parts):
        where = f"$.parts[{n}]"
        if isinstance(part, Text | Refusal):
            parts.append({"text": part.text})
        elif isinstance(part, ToolUse):
            is_cut = completion.finish in CUT
            args = arguments_for(part, part.arguments, is_cut=is_cut)
            if args is None:
                note_cut(part.name, where, losses)
            else:
                parts.append(writer.use(part, args))
        elif isinstance(part, Thinking):
            parts += writer.thought(part, where)
        else:
            losses.add("opaque", where, what=type(part).__name__.lower(), why=NOT_MINE)
    candidate = write_candidate(parts, finish=completion.finish)
    page: dict[str, Any] = {"candidates": [candidate]}
    if completion.usage is not None:
        page["usageMetadata"] = write_usage(completion.usage)
    page["modelVersion"] = completion.model
    page["responseId"] = completion.id or client.seed
    return Written(body=msgspec.json.encode(page), losses=tuple(losses))


def write_candidate(parts: list[dict[str, Any]], *, finish: Finish | None = None) -> dict[str, Any]:
    """Return a candidate; one that goes on has no reason to finish.

    Raises:
        BrokenReply: The format has no word for how it ended.

    Source:
        google-genai 3.6, ``chats``: a reply with an event without parts is no valid one, and
        neither it nor what it answers goes into the history that the next request sends.
    """
    told = parts or [{"text": ""}]
    candidate: dict[str, Any] = {"content": {"parts": told, "role": "model"}}
    if finish is not None:
        if finish not in WORDS:
            raise unsayable(finish, FORMAT)
        candidate["finishReason"] = WORDS[finish]
    candidate["index"] = 0
    return candidate
