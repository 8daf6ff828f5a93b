"""Reads and writes a plain chat reply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from callgate.call import Usage
from callgate.wire.codec import Client, Origin, Written
from callgate.wire.codec.canonical import (
    Completion,
    Finish,
    Minter,
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
    texts,
    unsayable,
    words_of,
)
from callgate.wire.codec.tool_ids import ALPHABETS, ToolIds, mint
from callgate.wire.openai_chat import usage_of
from callgate.wire.replies import member, object_of, objects, text, unreadable

FINISH: Final[Mapping[str, Finish]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
}
"""Source: openai-python 3.57, ``Choice.finish_reason``; ``function_call`` is of a call that has no
id, and every other word is none that a client could act on."""

WORDS: Final[Mapping[Finish, str]] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "context": "length",
    "tool_calls": "tool_calls",
    "refusal": "content_filter",
    "content_filter": "content_filter",
}
"""What this format calls the end of a reply; it has no word for one that pauses."""


def finish_in(word: object) -> Finish:
    """Return why a reply ended.

    Raises:
        BrokenReply: It did not end by itself, or nobody knows what its word means.
    """
    finish = FINISH.get(word) if isinstance(word, str) else None
    if finish is None:
        msg = f"the provider ended the reply with {word!r}, which is no end of an answer"
        raise broken(msg)
    return finish


def finish_word(finish: Finish, *, refused: bool) -> str:
    """Return what this format calls the end of a reply.

    Raises:
        BrokenReply: It has no word for it.
    """
    if finish == "refusal" and refused:
        return "stop"
    word = WORDS.get(finish)
    if word is None:
        raise unsayable(finish, "openai_chat")
    return word


def read_reply(body: bytes, origin: Origin) -> Completion:
    """Read a reply."""
    page = object_of(body)
    choices = objects(page.get("choices"))
    if not choices:
        problem = "has no choice"
        raise unreadable(problem, body)
    losses = Losses()
    for n in range(1, len(choices)):
        why = "a reply has one answer in other formats"
        losses.add("choices", f"$.choices[{n}]", what="a further answer", why=why)
    parts = tuple(_parts(member(choices[0], "message"), origin, losses))
    finish = finish_of(
        finish_in(choices[0].get("finish_reason")),
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


def _parts(message: dict[str, Any], origin: Origin, losses: Losses) -> Iterator[Part]:
    thought = text(message, "reasoning_content") or text(message, "reasoning")
    if thought:
        yield Thinking(text=thought, minted_by=origin.minter)
    content = message.get("content")
    for words in [content] if isinstance(content, str) else texts(content):
        if words:
            yield Text(text=words)
    refusal = text(message, "refusal")
    if refusal:
        yield Refusal(text=refusal)
    for key, lost in (("annotations", "citations"), ("audio", "audio")):
        if message.get(key):
            why = "no other format says it in the same way"
            losses.add(lost, f"$.choices[0].message.{key}", what=key, why=why)
    for n, call in enumerate(objects(message.get("tool_calls"))):
        yield read_use(call, mint(origin.seed, n), origin.minter)


def read_use(call: dict[str, Any], spare_id: str, minter: Minter) -> ToolUse:
    """Return a call as a reply has it; one without an id gets one."""
    function = member(call, "function")
    name = text(function, "name")
    if name is None:
        msg = "the provider's reply calls a tool without a name"
        raise broken(msg)
    google = member(member(call, "extra_content"), "google")
    return ToolUse(
        id=text(call, "id") or spare_id,
        name=name,
        arguments=arguments_of(function.get("arguments")),
        signature=text(google, "thought_signature"),
        minted_by=minter,
    )


def write_reply(completion: Completion, client: Client) -> Written:
    """Write a reply."""
    losses = Losses(completion.losses)
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    refusals = [part.text for part in completion.parts if isinstance(part, Refusal)]
    if refusals:
        message["refusal"] = "".join(refusals)
    if any(isinstance(part, Text) for part in completion.parts):
        message["content"] = words_of(completion)
    ids = ToolIds(ALPHABETS[client.tool_ids or "openai"])
    calls = [
        {
            "id": ids.write(part.id),
            "type": "function",
            "function": {"name": part.name, "arguments": part.arguments},
            **signature_of(part, client),
        }
        for part in completion.parts
        if isinstance(part, ToolUse)
    ]
    if calls:
        message["tool_calls"] = calls
    _write_thoughts(message, completion, client, losses)
    word = finish_word(completion.finish, refused=bool(refusals))
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": word}
    page: dict[str, Any] = {
        "id": completion.id or client.seed,
        "object": "chat.completion",
        "created": client.created,
        "model": completion.model,
        "choices": [choice],
    }
    if completion.usage is not None:
        page["usage"] = write_usage(completion.usage)
    return Written(body=msgspec.json.encode(page), losses=tuple(losses))


def signature_of(use: ToolUse, client: Client) -> dict[str, Any]:
    """Return the signature of a call, for a client that can send it back where it belongs."""
    if use.signature is None or use.minted_by != client.minter:
        return {}
    return {"extra_content": {"google": {"thought_signature": use.signature}}}


def _write_thoughts(
    message: dict[str, Any], completion: Completion, client: Client, losses: Losses
) -> None:
    for n, part in enumerate(completion.parts):
        if not isinstance(part, Thinking):
            continue
        if client.thinking_field is None or part.is_redacted:
            note_thought(part, f"$.parts[{n}]", losses)
        else:
            told = message.get(client.thinking_field, "")
            message[client.thinking_field] = told + part.text


def write_usage(usage: Usage) -> dict[str, Any]:
    """Return usage as this format counts it: with what a cache held, and with what was thought."""
    prompt, completion = usage.total_input_tokens, usage.total_output_tokens
    written = usage.cache_write_tokens + usage.cache_write_long_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": written,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
