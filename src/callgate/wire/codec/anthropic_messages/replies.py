"""Reads and writes a plain message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from callgate.call import Usage
from callgate.wire.anthropic_messages import FAST, usage_of
from callgate.wire.codec import Client, Origin, Written
from callgate.wire.codec.anthropic_messages.read import FORMAT
from callgate.wire.codec.canonical import (
    Completion,
    Finish,
    Minter,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolUse,
)
from callgate.wire.codec.losses import Losses
from callgate.wire.codec.replies import (
    arguments_of,
    broken,
    finish_of,
    note_thought,
    object_in,
    unsayable,
)
from callgate.wire.codec.tool_ids import ALPHABETS, ToolIds, mint
from callgate.wire.replies import member, object_of, objects, text, unreadable

FINISH: Final[Mapping[str, Finish]] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "context",
    "tool_use": "tool_calls",
    "refusal": "refusal",
    "pause_turn": "pause",
}
"""Source: anthropic-python 2.13, ``StopReason``."""

WORDS: Final[Mapping[Finish, str]] = {
    **{finish: word for word, finish in FINISH.items()},
    "content_filter": "refusal",
}

CUT: Final = frozenset({"length", "context"})
"""Ends that may cut the arguments of a call."""

NOT_MINE: Final = "only the provider that made it can read it"


def finish_in(word: object) -> Finish:
    """Return why a message ended.

    Raises:
        BrokenReply: Nobody knows what its word means.
    """
    finish = FINISH.get(word) if isinstance(word, str) else None
    if finish is None:
        msg = f"the provider ended the message with {word!r}, which is no end of an answer"
        raise broken(msg)
    return finish


def finish_word(finish: Finish, stop_sequence: str | None) -> str:
    """Return what this format calls the end of a message."""
    word = WORDS.get(finish)
    if word is None:
        raise unsayable(finish, FORMAT)
    return "end_turn" if finish == "stop_sequence" and stop_sequence is None else word


def read_reply(body: bytes, origin: Origin) -> Completion:
    """Read a message."""
    page = object_of(body)
    if not isinstance(page.get("content"), list):
        problem = "is no message"
        raise unreadable(problem, body)
    losses = Losses()
    parts = tuple(_parts(objects(page["content"]), origin, losses))
    usage = member(page, "usage")
    calls = any(isinstance(part, ToolUse) for part in parts)
    return Completion(
        id=text(page, "id") or origin.seed,
        model=text(page, "model") or "",
        parts=parts,
        finish=finish_of(finish_in(page.get("stop_reason")), calls=calls, refused=False),
        stop_sequence=text(page, "stop_sequence"),
        usage=usage_of(usage),
        service_tier=FAST if usage.get("speed") == FAST else text(usage, "service_tier"),
        losses=tuple(losses),
    )


def _parts(blocks: list[dict[str, Any]], origin: Origin, losses: Losses) -> Iterator[Part]:
    calls = 0
    for n, block in enumerate(blocks):
        if block.get("citations"):
            note_citations(f"$.content[{n}].citations", losses)
        part = read_block(block, mint(origin.seed, calls), origin.minter)
        if isinstance(part, ToolUse):
            calls += 1
            part = msgspec.structs.replace(part, arguments=arguments_of(block.get("input")))
        if not (isinstance(part, Text) and not part.text):
            yield part


def read_block(block: dict[str, Any], spare_id: str, minter: Minter) -> Part:
    """Return a block, without the arguments of a call."""
    match block.get("type"):
        case "text":
            return Text(text=text(block, "text") or "")
        case "tool_use":
            name = text(block, "name")
            if name is None:
                msg = "the provider's message calls a tool without a name"
                raise broken(msg)
            return ToolUse(id=text(block, "id") or spare_id, name=name, minted_by=minter)
        case "thinking":
            signature = text(block, "signature")
            thought = text(block, "thinking") or ""
            return Thinking(text=thought, signature=signature, minted_by=minter)
        case "redacted_thinking":
            data = text(block, "data")
            return Thinking(text="", signature=data, is_redacted=True, minted_by=minter)
        case kind:
            raw = msgspec.Raw(msgspec.json.encode(block))
            return Opaque(format=FORMAT, kind=str(kind), raw=raw, minted_by=minter)


def note_citations(where: str, losses: Losses) -> None:
    """Note that a text rests on sources."""
    why = "no other format says it in the same way"
    losses.add("citations", where, what="citations", why=why)


def write_reply(completion: Completion, client: Client) -> Written:
    """Write a message."""
    losses = Losses(completion.losses)
    stop = completion.stop_sequence
    page: dict[str, Any] = {
        "id": completion.id or client.seed,
        "type": "message",
        "role": "assistant",
        "model": completion.model,
        "content": list(_blocks(completion, client, losses)),
        "stop_reason": finish_word(completion.finish, stop),
        "stop_sequence": stop,
        "usage": write_usage(completion.usage),
    }
    return Written(body=msgspec.json.encode(page), losses=tuple(losses))


def _blocks(completion: Completion, client: Client, losses: Losses) -> Iterator[dict[str, Any]]:
    ids = ToolIds(ALPHABETS[client.tool_ids or "anthropic"])
    for n, part in enumerate(completion.parts):
        where = f"$.parts[{n}]"
        if isinstance(part, Text | Refusal):
            if part.text:
                yield {"type": "text", "text": part.text}
        elif isinstance(part, ToolUse):
            told = _input(part, completion.finish, where, losses)
            if told is not None:
                id = ids.write(part.id)
                yield {"type": "tool_use", "id": id, "name": part.name, "input": told}
        elif isinstance(part, Thinking):
            yield from write_thought(part, client, where, losses)
        else:
            losses.add("opaque", where, what=type(part).__name__.lower(), why=NOT_MINE)


def _input(use: ToolUse, finish: Finish, where: str, losses: Losses) -> msgspec.Raw | None:
    """Return the arguments of a call; None where the output limit has cut them.

    Raises:
        BrokenReply: They are no object, and nothing has cut them.
    """
    told = object_in(use.arguments)
    if told is None:
        if finish not in CUT:
            msg = f"the model called {use.name} with arguments that are no JSON object"
            raise broken(msg)
        why = "the output limit cut the arguments, and half an object is none"
        losses.add("arguments", where, what=f"a call of {use.name}", why=why)
    return told


def write_thought(
    part: Thinking, client: Client, where: str, losses: Losses
) -> Iterator[dict[str, Any]]:
    """Yield a thought, for a client that can send it back to who made it."""
    if not part.signature or part.minted_by is None or part.minted_by != client.minter:
        note_thought(part, where, losses)
    elif part.is_redacted:
        yield {"type": "redacted_thinking", "data": part.signature}
    else:
        yield {"type": "thinking", "thinking": part.text, "signature": part.signature}


def write_usage(usage: Usage | None) -> dict[str, Any]:
    """Return usage as this format counts it: the input without what a cache held.

    The format has no way to say that it is unknown; then it is all zero, as before the first token.
    """
    known = usage or Usage()
    written = known.cache_write_tokens + known.cache_write_long_tokens
    told: dict[str, Any] = {
        "input_tokens": known.input_tokens,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": known.cache_read_tokens,
        "output_tokens": known.total_output_tokens,
    }
    if known.cache_write_long_tokens:
        told["cache_creation"] = {
            "ephemeral_5m_input_tokens": known.cache_write_tokens,
            "ephemeral_1h_input_tokens": known.cache_write_long_tokens,
        }
    if known.reasoning_tokens:
        told["output_tokens_details"] = {"thinking_tokens": known.reasoning_tokens}
    return told
