"""Reads and writes a plain response."""

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
from callgate.wire.codec.losses import Losses
from callgate.wire.codec.openai_responses.read import FORMAT
from callgate.wire.codec.replies import (
    arguments_of,
    broken,
    finish_of,
    note_thought,
    texts,
    unsayable,
)
from callgate.wire.codec.tool_ids import ALPHABETS, ToolIds, mint
from callgate.wire.failures import quote
from callgate.wire.openai_responses import usage_of
from callgate.wire.replies import member, object_of, objects, text, unreadable

INCOMPLETE: Final[Mapping[str, Finish]] = {
    "max_output_tokens": "length",
    "content_filter": "content_filter",
}
"""Source: openai-python 3.57, ``IncompleteDetails.reason``; its other two, ``max_messages`` and
``steered``, end no answer."""

WORDS: Final[Mapping[Finish, str | None]] = {
    "stop": None,
    "stop_sequence": None,
    "tool_calls": None,
    "length": "max_output_tokens",
    "context": "max_output_tokens",
    "refusal": "content_filter",
    "content_filter": "content_filter",
}
"""Why a response is incomplete, by how it ended; None for one that is complete."""

NOT_MINE: Final = "only the provider that made it can read it"


def write_usage(usage: Usage) -> dict[str, Any]:
    """Return usage as this format counts it."""
    input, output = usage.total_input_tokens, usage.total_output_tokens
    written = usage.cache_write_tokens + usage.cache_write_long_tokens
    return {
        "input_tokens": input,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": written,
        },
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": input + output,
    }


def finish_in(response: dict[str, Any]) -> Finish:
    """Return why a response ended.

    Raises:
        BrokenReply: It failed, was cancelled, or ended in a way that is no end of an answer.
    """
    status = response.get("status")
    if status == "completed":
        return "stop"
    reason = member(response, "incomplete_details").get("reason")
    finish = INCOMPLETE.get(reason) if isinstance(reason, str) else None
    if status == "incomplete" and finish is not None:
        return finish
    error = member(response, "error")
    told = quote(error, b"") if error else str(reason)
    msg = f"the provider ended the response as {status!r}: {told}"
    raise broken(msg)


def read_reply(body: bytes, origin: Origin) -> Completion:
    """Read a response."""
    page = object_of(body)
    if not isinstance(page.get("output"), list):
        problem = "is no response"
        raise unreadable(problem, body)
    losses = Losses()
    parts = tuple(_parts(objects(page["output"]), origin, losses))
    finish = finish_of(
        finish_in(page),
        calls=any(isinstance(part, ToolUse) for part in parts),
        refused=any(isinstance(part, Refusal) for part in parts),
    )
    return Completion(
        id=text(page, "id") or origin.seed,
        model=text(page, "model") or "",
        parts=parts,
        finish=finish,
        usage=usage_of(member(page, "usage")),
        service_tier=text(page, "service_tier"),
        losses=tuple(losses),
    )


def _parts(items: list[dict[str, Any]], origin: Origin, losses: Losses) -> Iterator[Part]:
    calls = 0
    for n, item in enumerate(items):
        match item.get("type"):
            case "message":
                yield from _words(item, f"$.output[{n}]", losses)
            case "function_call":
                yield read_use(item, mint(origin.seed, calls), origin)
                calls += 1
            case "reasoning":
                yield read_thought(item, origin)
            case kind:
                raw = msgspec.Raw(msgspec.json.encode(item))
                yield Opaque(format=FORMAT, kind=str(kind), raw=raw, minted_by=origin.minter)


def _words(item: dict[str, Any], where: str, losses: Losses) -> Iterator[Part]:
    for at, part in enumerate(objects(item.get("content"))):
        if part.get("annotations"):
            note_annotations(f"{where}.content[{at}].annotations", losses)
        refusal, words = text(part, "refusal"), text(part, "text")
        if refusal is not None:
            yield Refusal(text=refusal)
        elif words is not None:
            yield Text(text=words)


def note_annotations(where: str, losses: Losses) -> None:
    """Note that a text rests on sources."""
    why = "no other format says it in the same way"
    losses.add("citations", where, what="annotations", why=why)


def read_use(item: dict[str, Any], spare_id: str, origin: Origin) -> ToolUse:
    """Return a call."""
    name = text(item, "name")
    if name is None:
        msg = "the provider's response calls a tool without a name"
        raise broken(msg)
    return ToolUse(
        id=text(item, "call_id") or text(item, "id") or spare_id,
        name=name,
        arguments=arguments_of(item.get("arguments")),
        minted_by=origin.minter,
    )


def read_thought(item: dict[str, Any], origin: Origin) -> Thinking:
    """Return what a model thought, in full or in short."""
    said = texts(item.get("content")) or texts(item.get("summary"))
    sealed = text(item, "encrypted_content")
    return Thinking(
        text="\n\n".join(said),
        signature=sealed,
        is_redacted=not said and sealed is not None,
        minted_by=origin.minter,
    )


def write_reply(completion: Completion, client: Client) -> Written:
    """Write a response."""
    losses = Losses(completion.losses)
    ids = ToolIds(ALPHABETS[client.tool_ids or FORMAT])
    output: list[Any] = []
    for n, part in enumerate(completion.parts):
        where = f"$.parts[{n}]"
        if isinstance(part, Text | Refusal):
            output.append(write_words(part, item_id("msg", client, len(output))))
        elif isinstance(part, ToolUse):
            id = item_id("fc", client, len(output))
            output.append(write_use(part, id, ids.write(part.id), part.arguments))
        elif isinstance(part, Thinking):
            if part.signature is not None and part.minted_by == client.minter:
                output.append(write_thought(part, item_id("rs", client, len(output))))
            else:
                note_thought(part, where, losses)
        else:
            losses.add("opaque", where, what=type(part).__name__.lower(), why=NOT_MINE)
    refused = any(isinstance(part, Refusal) for part in completion.parts)
    page = write_response(client, completion.model, output)
    page.update(write_end(completion.finish, completion.usage, refused=refused))
    return Written(body=msgspec.json.encode(page), losses=tuple(losses))


def item_id(prefix: str, client: Client, n: int) -> str:
    """Return the id of an item of a response."""
    return f"{prefix}_{client.seed}_{n}"


def write_words(part: Text | Refusal, id: str, *, status: str = "completed") -> dict[str, Any]:
    """Return a message."""
    content = [write_part(part, part.text)] if status == "completed" else []
    return {"id": id, "type": "message", "status": status, "role": "assistant", "content": content}


def write_part(part: Text | Refusal, words: str) -> dict[str, Any]:
    """Return the content of a message."""
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": words}
    return {"type": "output_text", "text": words, "annotations": [], "logprobs": []}


def write_use(
    use: ToolUse, id: str, call_id: str, arguments: str, *, status: str = "completed"
) -> dict[str, Any]:
    """Return a call."""
    told = {"call_id": call_id, "name": use.name, "arguments": arguments}
    return {"id": id, "type": "function_call", "status": status, **told}


def write_thought(part: Thinking, id: str) -> dict[str, Any]:
    """Return what a model thought, for a client that can send it back to who thought it."""
    summary = [{"type": "summary_text", "text": part.text}] if part.text else []
    sealed = part.signature
    return {"id": id, "type": "reasoning", "summary": summary, "encrypted_content": sealed}


def write_response(client: Client, model: str, output: list[Any]) -> dict[str, Any]:
    """Return a response that has begun; it repeats what its request said."""
    echo = client.echo
    return {
        "id": f"resp_{client.seed}",
        "object": "response",
        "created_at": client.created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": echo.get("instructions"),
        "max_output_tokens": echo.get("max_output_tokens"),
        "metadata": echo.get("metadata") or {},
        "model": model,
        "output": output,
        "parallel_tool_calls": echo.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "reasoning": echo.get("reasoning"),
        "store": False,
        "temperature": echo.get("temperature"),
        "text": echo.get("text", {"format": {"type": "text"}}),
        "tool_choice": echo.get("tool_choice", "auto"),
        "tools": echo.get("tools", []),
        "top_p": echo.get("top_p"),
        "truncation": echo.get("truncation", "disabled"),
        "usage": None,
        "user": echo.get("user"),
    }


def write_end(finish: Finish, usage: Usage | None, *, refused: bool) -> dict[str, Any]:
    """Return how a response ended.

    Raises:
        BrokenReply: The format has no word for it.
    """
    if finish not in WORDS:
        raise unsayable(finish, FORMAT)
    reason = None if finish == "refusal" and refused else WORDS[finish]
    return {
        "status": "completed" if reason is None else "incomplete",
        "incomplete_details": None if reason is None else {"reason": reason},
        "usage": None if usage is None else write_usage(usage),
    }
