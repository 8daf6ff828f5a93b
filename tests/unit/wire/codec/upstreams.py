"""Streams as the providers of every format send them."""

from __future__ import annotations

import json
from typing import Any, Final

from callgate.testing.simulator.formats.event_frames import event_frame
from tests.unit.wire.codec.translating import BEDROCK, CHAT, GEMINI, MESSAGES, RESPONSES

DONE: Final = b"data: [DONE]\n\n"


def chat_event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    """Return a piece of a chat stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    page = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt"}
    return (
        b"data: "
        + json.dumps({**page, "choices": [choice], "usage": None}, ensure_ascii=False).encode()
        + b"\n\n"
    )


def chat_calls(*pieces: tuple[int | None, str | None, str | None, str | None]) -> bytes:
    """Return pieces of calls: index, id, name, arguments; what is None is left out."""
    calls: list[dict[str, Any]] = []
    for index, id, name, arguments in pieces:
        function = {"name": name, "arguments": arguments}
        told = {"index": index, "id": id, "type": "function" if id else None}
        call: dict[str, Any] = {key: value for key, value in told.items() if value is not None}
        call["function"] = {key: value for key, value in function.items() if value is not None}
        calls.append(call)
    return chat_event({"tool_calls": calls})


def chat_stream(*pieces: bytes, finish: str = "stop") -> bytes:
    """Return a whole chat stream."""
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    page = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt"}
    last = b"data: " + json.dumps({**page, "choices": [], "usage": usage}).encode() + b"\n\n"
    opening = chat_event({"role": "assistant", "content": ""})
    return b"".join([opening, *pieces, chat_event({}, finish), last, DONE])


def event(page: dict[str, Any]) -> bytes:
    """Return a named event."""
    return f"event: {page['type']}\ndata: {json.dumps(page, ensure_ascii=False)}\n\n".encode()


def use_delta(index: int, id: str, name: str) -> bytes:
    """Return the beginning of a call as a message has it."""
    block: dict[str, Any] = {"type": "tool_use", "id": id, "name": name, "input": {}}
    return event({"type": "content_block_start", "index": index, "content_block": block})


WORDS_OF: Final[dict[str, tuple[dict[str, Any], str, str]]] = {
    "text": ({"text": ""}, "text_delta", "text"),
    "thinking": ({"thinking": "", "signature": ""}, "thinking_delta", "thinking"),
    "tool_use": ({"input": {}}, "input_json_delta", "partial_json"),
}
"""A block that begins, its deltas, and where they hold words, by its type."""


def block_events(index: int, block: dict[str, Any]) -> bytes:
    """Return the events of one block, its words in two pieces."""
    empty, kind, key = WORDS_OF[block["type"]]
    words = json.dumps(block["input"]) if "input" in block else block[key]
    start = {"type": "content_block_start", "index": index, "content_block": {**block, **empty}}
    told = [{"type": kind, key: piece} for piece in halves(words)]
    if "signature" in block:
        told.append({"type": "signature_delta", "signature": block["signature"]})
    base = {"type": "content_block_delta", "index": index}
    stop = {"type": "content_block_stop", "index": index}
    return event(start) + b"".join([event({**base, "delta": each}) for each in told]) + event(stop)


def halves(words: str) -> tuple[str, str]:
    """Return words in two pieces."""
    return words[: len(words) // 2], words[len(words) // 2 :]


def message_stream(
    *blocks: dict[str, Any], stop_reason: str = "end_turn", usage: dict[str, Any] | None = None
) -> bytes:
    """Return a whole stream of a message."""
    begun = {"input_tokens": 10, "cache_read_input_tokens": 3, "output_tokens": 1}
    message: dict[str, Any] = {
        "id": "m1",
        "type": "message",
        "model": "claude",
        "content": [],
        "usage": begun,
    }
    last = {"type": "message_delta", "delta": {"stop_reason": stop_reason}}
    return b"".join(
        [
            event({"type": "message_start", "message": message}),
            event({"type": "ping"}),
            *[block_events(n, block) for n, block in enumerate(blocks)],
            event({**last, "usage": usage or {"output_tokens": 7}}),
            event({"type": "message_stop"}),
        ]
    )


EMPTY_ITEMS: Final[dict[str, dict[str, Any]]] = {
    "message": {"content": []},
    "function_call": {"arguments": ""},
    "reasoning": {"summary": []},
}


def response_item(index: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of one item, its words in two pieces."""
    base = {"output_index": index, "item_id": item["id"]}
    deltas: list[dict[str, Any]] = []
    match item["type"]:
        case "message":
            words = item["content"][0]["text"]
            at = {**base, "content_index": 0}
            part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": []}
            kind = "response.output_text"
            deltas = [{"type": "response.content_part.added", **at, "part": part}]
            deltas += [{"type": f"{kind}.delta", **at, "delta": half} for half in halves(words)]
            deltas += [{"type": f"{kind}.done", **at, "text": words}]
            deltas += [{"type": "response.content_part.done", **at, "part": item["content"][0]}]
        case "function_call":
            kind, words = "response.function_call_arguments", item["arguments"]
            deltas = [{"type": f"{kind}.delta", **base, "delta": half} for half in halves(words)]
            deltas += [{"type": f"{kind}.done", **base, "arguments": words}]
        case _:
            kind, words = "response.reasoning_summary_text", item["summary"][0]["text"]
            at = {**base, "summary_index": 0}
            deltas = [{"type": f"{kind}.delta", **at, "delta": half} for half in halves(words)]
            deltas += [{"type": f"{kind}.done", **at, "text": words}]
    empty = EMPTY_ITEMS[item["type"]]
    added = {"type": "response.output_item.added", "output_index": index, "item": {**item, **empty}}
    return [
        added,
        *deltas,
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def response_stream(*items: dict[str, Any], **ending: Any) -> bytes:
    """Return a whole stream of a response."""
    base: dict[str, Any] = {"id": "resp_1", "model": "gpt", "output": [], "status": "in_progress"}
    usage = {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}
    whole = {**base, "output": list(items), "status": "completed", "usage": usage, **ending}
    pages = [{"type": "response.created", "response": base}]
    pages += [{"type": "response.in_progress", "response": base}]
    for n, item in enumerate(items):
        pages += response_item(n, item)
    pages.append({"type": f"response.{whole['status']}", "response": whole})
    return b"".join([event({**page, "sequence_number": n}) for n, page in enumerate(pages)])


def gemini_stream(*parts: dict[str, Any], finish: str | None = "STOP") -> bytes:
    """Return a whole stream of generated content, a part in each event."""
    pages: list[dict[str, Any]] = []
    for n, part in enumerate(parts):
        usage = {"promptTokenCount": 9, "candidatesTokenCount": n, "thoughtsTokenCount": 2}
        content = {"parts": [part], "role": "model"}
        candidate = {"content": content, "index": 0}
        pages.append({"candidates": [candidate], "usageMetadata": usage})
    if finish is not None:
        pages[-1]["candidates"][0]["finishReason"] = finish
    tail = {"modelVersion": "gemini", "responseId": "r1"}
    texts = [json.dumps({**page, **tail}, ensure_ascii=False) for page in pages]
    return "".join([f"data: {text}\r\n\r\n" for text in texts]).encode()


TOKENS: Final[dict[str, dict[str, Any]]] = {
    BEDROCK: {"inputTokens": 9, "outputTokens": 4, "totalTokens": 13},
    CHAT: {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
    MESSAGES: {"input_tokens": 9, "output_tokens": 4},
    RESPONSES: {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13},
    GEMINI: {"promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 13},
}


def converse_events(index: int, block: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the messages of one block of Converse, its words in two pieces."""
    at = {"contentBlockIndex": index}
    deltas: list[dict[str, Any]] = []
    events: list[tuple[str, dict[str, Any]]] = []
    if "toolUse" in block:
        use = block["toolUse"]
        start = {"toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}
        events.append(("contentBlockStart", {**at, "start": start}))
        words = json.dumps(use["input"], ensure_ascii=False)
        deltas = [{"toolUse": {"input": half}} for half in halves(words)]
    elif "reasoningContent" in block:
        thought = block["reasoningContent"]["reasoningText"]
        deltas = [{"reasoningContent": {"text": half}} for half in halves(thought["text"])]
        deltas.append({"reasoningContent": {"signature": thought["signature"]}})
    else:
        deltas = [{"text": half} for half in halves(block["text"])]
    events += [("contentBlockDelta", {**at, "delta": delta}) for delta in deltas]
    return [*events, ("contentBlockStop", at)]


def converse_stream(*blocks: dict[str, Any], stop: str = "end_turn", **metadata: Any) -> bytes:
    """Return a whole stream of Converse."""
    told = {"usage": TOKENS[BEDROCK], "metrics": {"latencyMs": 1}, **metadata}
    events: list[tuple[str, dict[str, Any]]] = [("messageStart", {"role": "assistant"})]
    for n, block in enumerate(blocks):
        events += converse_events(n, block)
    events += [("messageStop", {"stopReason": stop}), ("metadata", told)]
    return b"".join([event_frame(kind, json.dumps(page).encode()) for kind, page in events])


CONVERSED: Final[list[dict[str, Any]]] = [
    {"reasoningContent": {"reasoningText": {"text": "höm 🤔", "signature": "c2ln"}}},
    {"text": "Look: 🌦"},
    {"toolUse": {"toolUseId": "a", "name": "sun", "input": {"in": "Köln 🌞"}}},
    {"toolUse": {"toolUseId": "b", "name": "rain", "input": {}}},
]

STREAMS: Final[dict[str, bytes]] = {
    BEDROCK: converse_stream(*CONVERSED, stop="tool_use"),
    CHAT: chat_stream(
        chat_event({"reasoning_content": "höm 🤔"}),
        chat_event({"content": "Lo"}),
        chat_event({"content": "ok: 🌦"}),
        chat_calls((0, "a", "sun", '{"in"')),
        chat_calls((0, None, None, ':"Köln 🌞"}'), (1, "b", "rain", "")),
        chat_calls((1, None, None, "{}")),
        finish="tool_calls",
    ),
    MESSAGES: message_stream(
        {"type": "thinking", "thinking": "höm 🤔", "signature": "c2ln"},
        {"type": "text", "text": "Look: 🌦"},
        {"type": "tool_use", "id": "a", "name": "sun", "input": {"in": "Köln 🌞"}},
        {"type": "tool_use", "id": "b", "name": "rain", "input": {}},
        stop_reason="tool_use",
    ),
    RESPONSES: response_stream(
        {"id": "rs_1", "type": "reasoning", "summary": [{"type": "t", "text": "höm 🤔"}]},
        {
            "id": "msg_1",
            "type": "message",
            "content": [{"type": "output_text", "text": "Look: 🌦", "annotations": []}],
        },
        {
            "id": "fc_1",
            "type": "function_call",
            "call_id": "a",
            "name": "sun",
            "arguments": '{"in":"Köln 🌞"}',
        },
        {"id": "fc_2", "type": "function_call", "call_id": "b", "name": "rain", "arguments": "{}"},
    ),
    GEMINI: gemini_stream(
        {"text": "höm 🤔", "thought": True},
        {"text": "Look: "},
        {"text": "🌦"},
        {
            "functionCall": {"id": "a", "name": "sun", "args": {"in": "Köln 🌞"}},
            "thoughtSignature": "s",
        },
        {"functionCall": {"id": "b", "name": "rain", "args": {}}},
    ),
}
"""A thought, words and two calls, in every format."""

REPLIES: Final[dict[str, dict[str, Any]]] = {
    BEDROCK: {
        "output": {"message": {"role": "assistant", "content": CONVERSED}},
        "stopReason": "tool_use",
        "usage": TOKENS[BEDROCK],
        "metrics": {"latencyMs": 1},
    },
    CHAT: {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Look: 🌦",
                    "reasoning_content": "höm",
                    "tool_calls": [
                        {
                            "id": "a",
                            "type": "function",
                            "function": {"name": "sun", "arguments": '{"in":"Köln 🌞"}'},
                        },
                        {
                            "id": "b",
                            "type": "function",
                            "function": {"name": "rain", "arguments": ""},
                        },
                    ],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": TOKENS[CHAT],
    },
    MESSAGES: {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [
            {"type": "thinking", "thinking": "höm", "signature": "c2ln"},
            {"type": "text", "text": "Look: 🌦"},
            {"type": "tool_use", "id": "a", "name": "sun", "input": {"in": "Köln 🌞"}},
            {"type": "tool_use", "id": "b", "name": "rain", "input": {}},
        ],
        "stop_reason": "tool_use",
        "usage": TOKENS[MESSAGES],
    },
    RESPONSES: {
        "id": "resp_1",
        "object": "response",
        "model": "gpt",
        "status": "completed",
        "output": [
            {"id": "rs_1", "type": "reasoning", "summary": [{"type": "t", "text": "höm"}]},
            {
                "id": "msg_1",
                "type": "message",
                "content": [{"type": "output_text", "text": "Look: 🌦", "annotations": []}],
            },
            {
                "id": "fc_1",
                "type": "function_call",
                "call_id": "a",
                "name": "sun",
                "arguments": '{"in":"Köln 🌞"}',
            },
            {
                "id": "fc_2",
                "type": "function_call",
                "call_id": "b",
                "name": "rain",
                "arguments": "{}",
            },
        ],
        "usage": TOKENS[RESPONSES],
    },
    GEMINI: {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "höm", "thought": True},
                        {"text": "Look: 🌦"},
                        {"functionCall": {"id": "a", "name": "sun", "args": {"in": "Köln 🌞"}}},
                        {"functionCall": {"id": "b", "name": "rain", "args": {}}},
                    ],
                    "role": "model",
                },
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": TOKENS[GEMINI],
        "modelVersion": "gemini",
        "responseId": "r1",
    },
}
"""The same as plain replies."""
