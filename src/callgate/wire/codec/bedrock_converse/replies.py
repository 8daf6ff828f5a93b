"""Reads a plain reply of Converse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from callgate.wire.bedrock_converse import told_tier, usage_of
from callgate.wire.codec import Origin
from callgate.wire.codec.canonical import (
    Completion,
    Finish,
    Opaque,
    Part,
    Text,
    Thinking,
    ToolUse,
)
from callgate.wire.codec.losses import Losses
from callgate.wire.codec.replies import arguments_of, broken, finish_of, texts
from callgate.wire.codec.tool_ids import mint
from callgate.wire.replies import member, object_of, objects, text, unreadable

FORMAT: Final = "bedrock_converse"

FINISH: Final[Mapping[str, Finish]] = {
    "end_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "model_context_window_exceeded": "context",
}
"""Those that end an answer; ``malformed_tool_use`` and ``malformed_model_output`` end none.

Source: botocore 1.44, ``StopReason``.
"""


def finish_in(word: object) -> Finish:
    """Return why a reply ended.

    Raises:
        BrokenReply: Its word stands for no answer, or for nothing that is known.
    """
    finish = FINISH.get(word) if isinstance(word, str) else None
    if finish is None:
        msg = f"the provider ended the reply with {word!r}, which is no end of an answer"
        raise broken(msg)
    return finish


def stopped_by(page: dict[str, Any]) -> str | None:
    """Return the text that ended a reply, where the model tells it in a field of its own."""
    return text(member(page, "additionalModelResponseFields"), "stop_sequence")


def read_reply(body: bytes, origin: Origin) -> Completion:
    """Read a reply, which names neither itself nor its model."""
    page = object_of(body)
    message = member(member(page, "output"), "message")
    if not isinstance(message.get("content"), list):
        problem = "is no message"
        raise unreadable(problem, body)
    losses = Losses()
    parts = tuple(_parts(objects(message["content"]), origin, losses))
    calls = any(isinstance(part, ToolUse) for part in parts)
    return Completion(
        id=origin.seed,
        model=origin.model,
        parts=parts,
        finish=finish_of(finish_in(page.get("stopReason")), calls=calls, refused=False),
        stop_sequence=stopped_by(page),
        usage=usage_of(member(page, "usage")),
        service_tier=told_tier(page),
        losses=tuple(losses),
    )


def _parts(blocks: list[dict[str, Any]], origin: Origin, losses: Losses) -> Iterator[Part]:
    calls = 0
    for n, block in enumerate(blocks):
        part = _part(block, mint(origin.seed, calls), origin)
        if "citationsContent" in block:
            note_citations(f"$.content[{n}]", losses)
        if isinstance(part, ToolUse):
            calls += 1
        if not (isinstance(part, Text) and not part.text):
            yield part


def _part(block: dict[str, Any], spare_id: str, origin: Origin) -> Part:
    if "text" in block:
        return Text(text=text(block, "text") or "")
    if "citationsContent" in block:
        return Text(text="".join(texts(member(block, "citationsContent").get("content"))))
    use = member(block, "toolUse")
    if use and use.get("type") is None:
        made = read_use(use, spare_id, origin)
        return msgspec.structs.replace(made, arguments=arguments_of(use.get("input")))
    if "reasoningContent" in block:
        return _thought(member(block, "reasoningContent"), origin)
    kind = next(iter(block), "nothing")
    raw = msgspec.Raw(msgspec.json.encode(block))
    return Opaque(format=FORMAT, kind=kind, raw=raw, minted_by=origin.minter)


def read_use(use: dict[str, Any], spare_id: str, origin: Origin) -> ToolUse:
    """Return a call without its arguments.

    Raises:
        BrokenReply: It has no name.
    """
    name = text(use, "name")
    if name is None:
        msg = "the provider's reply calls a tool without a name"
        raise broken(msg)
    return ToolUse(id=text(use, "toolUseId") or spare_id, name=name, minted_by=origin.minter)


def _thought(content: dict[str, Any], origin: Origin) -> Thinking:
    hidden = text(content, "redactedContent")
    if hidden is not None:
        return Thinking(text="", signature=hidden, is_redacted=True, minted_by=origin.minter)
    told = member(content, "reasoningText")
    return Thinking(
        text=text(told, "text") or "", signature=text(told, "signature"), minted_by=origin.minter
    )


def note_citations(where: str, losses: Losses) -> None:
    """Note that a text rests on sources."""
    why = "no other format says it in the same way"
    losses.add("citations", where, what="citations", why=why)
