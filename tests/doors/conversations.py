"""One conversation of four turns, held through the official SDK of each family.

Every client says the same in its own words, and sends back what its SDK made of the replies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from anthropic import Anthropic
from openai import OpenAI

PNG: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
INSTRUCTION, MORE, LATER = "You plan voyages.", "Answer in English.", "Count in millions."
LOOK, AS_JSON, COUNT = "Look up both ports for this ship.", "Say it as JSON.", "Count to END."
FOUND, FAILED = "8.7 million containers 🚢", "no such port: Rotterdamm"
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"port": {"type": "string"}, "millions": {"type": "number"}},
    "required": ["port", "millions"],
    "additionalProperties": False,
}
TOOL: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"port": {"type": "string"}, "year": {"type": ["integer", "null"]}},
    "required": ["port"],
}
TOOL_NAME, TOOL_TEXT = "port_traffic", "Containers that a port moves in a year."
THOUGHT = "Two ports, so two look-ups at once."
CALLS: Final = [
    {"name": TOOL_NAME, "arguments": {"port": "Hamburg ⚓", "year": 2025}},
    {"name": TOOL_NAME, "arguments": {"port": "Rotterdamm"}},
]

ANSWERS: Final[list[tuple[dict[str, Any], dict[str, Any]]]] = [
    ({"last": "tool"}, {"thinking": "One is known.", "text": "Hamburg, then."}),
    ({"text": "Look up"}, {"thinking": THOUGHT, "text": "Let me see. 👀", "tool_calls": CALLS}),
    ({"text": "JSON"}, {"thinking": "Plain.", "text": '{"port":"Hamburg","millions":8.7}'}),
    ({"text": "Count"}, {"text": "one two END three"}),
]
"""What whoever serves a turn answers, by what it is asked."""

Heard: TypeAlias = dict[str, Any]
"""What the SDK has read of one reply: words, calls, why it ended, whether it told its usage."""

Talk: TypeAlias = Callable[[str, str, str, bool], Iterator[Heard]]
"""A conversation with a model at a URL with a key, streaming or not; one item for each turn."""


def chat(url: str, key: str, model: str, streams: bool) -> Iterator[Heard]:
    """Talk with ``openai`` over Chat Completions."""
    client: Any = OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    function = {"name": TOOL_NAME, "description": TOOL_TEXT, "parameters": TOOL}
    usual: dict[str, Any] = {
        "model": model,
        "tools": [{"type": "function", "function": function}],
        "parallel_tool_calls": True,
        "reasoning_effort": "high",
        "max_completion_tokens": 4_000,
    }
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    said: list[Any] = [
        {"role": "system", "content": INSTRUCTION},
        {"role": "developer", "content": MORE},
        {"role": "user", "content": [{"type": "text", "text": LOOK}, picture]},
    ]

    def ask(**more: Any) -> Any:
        fields = {**usual, "messages": said, **more}
        if streams:
            options = {"include_usage": True}
            with client.chat.completions.stream(**fields, stream_options=options) as stream:
                stream.until_done()
                reply = stream.get_final_completion()
        else:
            reply = client.chat.completions.create(**fields)
        # As its SDK's own pages tell to: the message itself.
        said.append(reply.choices[0].message)
        return reply

    with client:
        reply = ask()
        yield _heard_chat(reply)
        one, other = reply.choices[0].message.tool_calls
        said.append({"role": "tool", "tool_call_id": one.id, "content": FOUND})
        said.append({"role": "tool", "tool_call_id": other.id, "content": FAILED})
        yield _heard_chat(ask())
        said.append({"role": "developer", "content": LATER})
        said.append({"role": "user", "content": AS_JSON})
        wanted = {"name": "traffic", "schema": SCHEMA, "strict": True}
        format = {"type": "json_schema", "json_schema": wanted}
        yield _heard_chat(ask(response_format=format))
        said.append({"role": "user", "content": COUNT})
        yield _heard_chat(ask(stop=["END"]))


def _heard_chat(reply: Any) -> Heard:
    choice = reply.choices[0]
    calls = choice.message.tool_calls or []
    return {
        "text": choice.message.content,
        "calls": [[call.function.name, call.function.arguments] for call in calls],
        "finish": choice.finish_reason,
        "usage": [reply.usage.prompt_tokens, reply.usage.completion_tokens],
    }


def messages(url: str, key: str, model: str, streams: bool) -> Iterator[Heard]:
    """Talk with ``anthropic`` over Messages."""
    client: Any = Anthropic(base_url=url, api_key=key, max_retries=0)
    usual: dict[str, Any] = {
        "model": model,
        "system": [{"type": "text", "text": INSTRUCTION}, {"type": "text", "text": MORE}],
        "tools": [{"name": TOOL_NAME, "description": TOOL_TEXT, "input_schema": TOOL}],
        "thinking": {"type": "adaptive"},
        "max_tokens": 4_000,
    }
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    picture = {"type": "image", "source": source}
    said: list[Any] = [{"role": "user", "content": [{"type": "text", "text": LOOK}, picture]}]

    def ask(**more: Any) -> Any:
        config = {"effort": "high", **more.pop("output_config", {})}
        fields = {**usual, "messages": said, "output_config": config, **more}
        if streams:
            with client.messages.stream(**fields) as stream:
                stream.until_done()
                reply = stream.get_final_message()
        else:
            reply = client.messages.create(**fields)
        said.append({"role": "assistant", "content": reply.content})
        return reply

    with client:
        reply = ask()
        yield _heard_message(reply)
        one, other = [block for block in reply.content if block.type == "tool_use"]
        failed = {"type": "tool_result", "tool_use_id": other.id, "content": FAILED}
        found = {"type": "tool_result", "tool_use_id": one.id, "content": FOUND}
        said.append({"role": "user", "content": [found, {**failed, "is_error": True}]})
        yield _heard_message(ask())
        said.append({"role": "user", "content": AS_JSON})
        said.append({"role": "system", "content": LATER})
        format = {"type": "json_schema", "schema": SCHEMA}
        yield _heard_message(ask(output_config={"format": format}))
        said.append({"role": "user", "content": COUNT})
        yield _heard_message(ask(stop_sequences=["END"]))


def _heard_message(reply: Any) -> Heard:
    uses = [block for block in reply.content if block.type == "tool_use"]
    return {
        "text": "".join(block.text for block in reply.content if block.type == "text"),
        "calls": [[use.name, use.input] for use in uses],
        "finish": reply.stop_reason,
        "usage": [reply.usage.input_tokens, reply.usage.output_tokens],
    }


class Family(dict[str, Any]):
    pass


TALKS: Final[Mapping[str, Talk]] = {"chat": chat, "messages": messages}
