"""A rich request, a plain reply and a stream from each format into each other, as bytes in files.

``python -m tests.unit.wire.codec.golden`` writes the files anew; what changes in them is to be
read before it is committed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from callgate.wire.codec.losses import Loss
from callgate.wire.codec.translate import translate_reply, translate_request
from tests.unit.wire.codec.translating import (
    CHAT,
    CLIENT,
    FROM_AWAY,
    FROM_HOME,
    GEMINI,
    MESSAGES,
    RESPONSES,
    TO_AWAY,
    WAYS_BACK,
    WAYS_OUT,
    put_stream,
)
from tests.unit.wire.codec.upstreams import REPLIES, STREAMS

FOLDER: Final = Path(__file__).parent / "golden"
PNG: Final = "iVBORw0KGgo="
PDF: Final = "JVBERi0x"
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"where": {"type": "string", "pattern": "^K"}},
    "required": ["where"],
    "additionalProperties": False,
}
WEATHER: Final = "Tells the weather."

REQUESTS: Final[dict[str, dict[str, Any]]] = {
    CHAT: {
        "model": "gpt",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this, and what is that?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                    {
                        "type": "file",
                        "file": {
                            "file_data": f"data:application/pdf;base64,{PDF}",
                            "filename": "that.pdf",
                        },
                    },
                ],
            },
            {
                "role": "assistant",
                "content": "Let me see.",
                "tool_calls": [
                    {
                        "id": "functions.sun:0",
                        "type": "function",
                        "function": {"name": "sun", "arguments": '{"where": "Köln"}'},
                    },
                    {
                        "id": "call_2",
                        "type": "function",
                        "function": {"name": "sun", "arguments": '{"where":"Kiel"}'},
                    },
                ],
            },
            {"role": "tool", "tool_call_id": "functions.sun:0", "content": "hot"},
            {"role": "tool", "tool_call_id": "call_2", "content": "wet"},
            {"role": "developer", "content": "In French."},
            {"role": "user", "content": "And?"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "sun", "description": WEATHER, "parameters": SCHEMA},
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "sun"}},
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "place", "schema": SCHEMA, "strict": True},
        },
        "reasoning_effort": "high",
        "max_completion_tokens": 500,
        "temperature": 0.5,
        "seed": 7,
        "stop": ["END"],
        "user": "u-1",
        "service_tier": "flex",
        "stream": True,
        "logit_bias": {"50256": -100},
    },
    MESSAGES: {
        "model": "claude",
        "max_tokens": 4000,
        "system": [
            {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
        ],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this, and what is that?"},
                    {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                    {
                        "type": "document",
                        "title": "that.pdf",
                        "source": {
                            "type": "base64",
                            "media_type": "application/pdf",
                            "data": PDF,
                        },
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                    {"type": "text", "text": "Let me see."},
                    {"type": "tool_use", "id": "toolu_1", "name": "sun", "input": {"where": "K"}},
                    {"type": "tool_use", "id": "toolu_2", "name": "sun", "input": {"where": "L"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_1",
                        "content": [
                            {"type": "text", "text": "See:"},
                            {
                                "type": "image",
                                "source": {
                                    "type": "base64",
                                    "media_type": "image/png",
                                    "data": PNG,
                                },
                            },
                        ],
                    },
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_2",
                        "content": "no such place",
                        "is_error": True,
                    },
                    {"type": "text", "text": "And?"},
                ],
            },
            {"role": "system", "content": "In French."},
            {"role": "user", "content": "Go on."},
        ],
        "tools": [{"name": "sun", "description": WEATHER, "input_schema": SCHEMA}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "output_config": {"effort": "medium", "format": {"type": "json_schema", "schema": SCHEMA}},
        "metadata": {"user_id": "u-1"},
        "stop_sequences": ["END"],
        "top_k": 5,
        "service_tier": "standard_only",
        "stream": True,
    },
    RESPONSES: {
        "model": "gpt",
        "instructions": "Be brief.",
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this, and what is that?"},
                    {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
                    {
                        "type": "input_file",
                        "file_data": f"data:application/pdf;base64,{PDF}",
                        "filename": "that.pdf",
                    },
                ],
            },
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "ZW5j"},
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Let me see.", "annotations": []}],
            },
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "call_1",
                "name": "sun",
                "arguments": '{"where": "Köln"}',
            },
            {"type": "function_call_output", "call_id": "call_1", "output": "hot"},
            {"role": "developer", "content": "In French."},
            {"role": "user", "content": "And?"},
        ],
        "tools": [
            {"type": "function", "name": "sun", "description": WEATHER, "parameters": SCHEMA}
        ],
        "tool_choice": "required",
        "text": {
            "format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True},
            "verbosity": "low",
        },
        "reasoning": {"effort": "low", "summary": "auto"},
        "max_output_tokens": 500,
        "metadata": {"team": "blue"},
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "k",
        "stream": True,
    },
    GEMINI: {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "What is this, and what is that?"},
                    {"inlineData": {"mimeType": "image/png", "data": PNG}},
                    {
                        "inlineData": {
                            "mimeType": "application/pdf",
                            "data": PDF,
                            "displayName": "that.pdf",
                        }
                    },
                ],
            },
            {
                "role": "model",
                "parts": [
                    {"text": "Hm.", "thought": True},
                    {
                        "functionCall": {"name": "sun", "args": {"where": "Köln"}},
                        "thoughtSignature": "c2ln",
                    },
                    {"functionCall": {"name": "sun", "args": {"where": "Kiel"}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"name": "sun", "response": {"output": "hot"}}},
                    {"functionResponse": {"name": "sun", "response": {"error": "no such place"}}},
                ],
            },
        ],
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "name": "sun",
                        "description": WEATHER,
                        "parameters": {
                            "type": "OBJECT",
                            "properties": {"where": {"type": "STRING"}},
                            "required": ["where"],
                        },
                    }
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["sun"]}},
        "generationConfig": {
            "maxOutputTokens": 4000,
            "temperature": 1.5,
            "topK": 5,
            "seed": 7,
            "stopSequences": ["END"],
            "responseMimeType": "application/json",
            "responseSchema": {"type": "OBJECT", "properties": {"where": {"type": "STRING"}}},
            "thinkingConfig": {"thinkingBudget": 2000, "includeThoughts": True},
        },
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    },
}
"""A request of each format with nearly all that it can say."""


def pages() -> Iterator[tuple[str, bytes]]:
    """Yield the name of each file and what it must hold."""
    for source, target in WAYS_OUT:
        body = json.dumps(REQUESTS[source], ensure_ascii=False).encode()
        asked = translate_request(body, source, target=target, home=FROM_HOME, to=TO_AWAY)
        yield f"{source}-{target}-request.txt", _page(asked.body, asked.losses)
    for source, target in WAYS_BACK:
        said = json.dumps(REPLIES[source], ensure_ascii=False).encode()
        told = translate_reply(said, source, target=target, origin=FROM_AWAY, client=CLIENT)
        yield f"{source}-{target}-reply.txt", _page(told.body, told.losses)
        streamed = put_stream([STREAMS[source]], source, target)
        assert streamed.failure is None
        told_in_pieces = streamed.told.replace(b"\r\n", b"\n")
        yield f"{source}-{target}-stream.txt", _page(told_in_pieces, streamed.losses)


def _page(body: bytes, losses: Sequence[Loss]) -> bytes:
    """Return a translation as a file holds it: its bytes, and a line for each loss."""
    lines = [f"# {loss.name} {loss.where} {loss.what}: {loss.why}" for loss in losses]
    return body.rstrip(b"\n") + b"\n" + "".join([line + "\n" for line in lines]).encode()


def main() -> None:
    """Write every file."""
    FOLDER.mkdir(exist_ok=True)
    for name, page in pages():
        (FOLDER / name).write_bytes(page)


if __name__ == "__main__":
    main()
