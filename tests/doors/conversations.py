"""One conversation of four turns, held through the official SDK of each family.

Every client says the same in its own words, and sends back what its SDK made of the replies.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import pydantic
from anthropic import Anthropic
from google import genai
from google.genai import types
from openai import OpenAI

PNG: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
INSTRUCTION, MORE, LATER = "You plan voyages.", "Answer in English.", "Count in millions."
LOOK, AS_JSON, COUNT = "Look up both ports for this ship.", "Say it as JSON.", "Count to END."
FOUND, FAILED = "8.7 million containers 🚢", "no such port: Rotterdamm"
TOOL: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"port": {"type": "string"}, "year": {"type": ["integer", "null"]}},
    "required": ["port", "year"],
    "additionalProperties": False,
}
TOOL_NAME, TOOL_TEXT = "port_traffic", "Containers that a port moves in a year."
THOUGHT = "Two ports, so two look-ups at once."
CALLS: Final = [
    {"name": TOOL_NAME, "arguments": {"port": "Hamburg ⚓", "year": 2025}},
    {"name": TOOL_NAME, "arguments": {"port": "Rotterdamm", "year": None}},
]

TURNS: Final[list[tuple[dict[str, str], dict[str, Any]]]] = [
    ({"text": "Look up"}, {"thinking": THOUGHT, "text": "Let me see. 👀", "tool_calls": CALLS}),
    ({"last": "tool"}, {"thinking": "One is known.", "text": "Hamburg, then."}),
    ({"text": "JSON"}, {"thinking": "Plain.", "text": '{"port":"Hamburg","millions":8.7}'}),
    ({"text": "Count"}, {"text": "one two END three"}),
]
"""By what a provider knows each turn, and what it answers."""


class Traffic(pydantic.BaseModel):
    """A port, and how much it moves."""

    model_config = pydantic.ConfigDict(extra="forbid")

    port: str
    millions: float


Heard: TypeAlias = dict[str, Any]
"""What the SDK has read of one reply: words, calls, why it ended, whether it told its usage."""


class Talk(Protocol):
    """A conversation."""

    def __init__(self, url: str, key: str, model: str, *, streams: bool) -> None:
        """Begin to talk with a model at a URL, with a key."""

    def turns(self) -> Iterator[Heard]:
        """Talk, and say after each turn what was heard."""
        ...


class Chat:
    """``openai`` over Chat Completions."""

    def __init__(self, url: str, key: str, model: str, *, streams: bool) -> None:
        self._client: Any = OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        self._streams = streams
        function = {"name": TOOL_NAME, "description": TOOL_TEXT, "parameters": TOOL, "strict": True}
        self._usual: dict[str, Any] = {
            "model": model,
            "tools": [{"type": "function", "function": function}],
            "parallel_tool_calls": True,
            "reasoning_effort": "high",
            "max_completion_tokens": 4_000,
        }
        picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
        self._said: list[Any] = [
            {"role": "system", "content": INSTRUCTION},
            {"role": "developer", "content": MORE},
            {"role": "user", "content": [{"type": "text", "text": LOOK}, picture]},
        ]

    def turns(self) -> Iterator[Heard]:
        """Talk."""
        said = self._said
        with self._client:
            yield self._ask()
            one, other = said[-1].tool_calls
            said.append({"role": "tool", "tool_call_id": one.id, "content": FOUND})
            said.append({"role": "tool", "tool_call_id": other.id, "content": FAILED})
            yield self._ask()
            said.append({"role": "developer", "content": LATER})
            said.append({"role": "user", "content": AS_JSON})
            yield self._ask(response_format=Traffic)
            said.append({"role": "user", "content": COUNT})
            yield self._ask(stop=["END"])

    def _ask(self, **more: Any) -> Heard:
        """Ask; the message goes back as it is, as the SDK's own pages do it."""
        reply = self._reply({**self._usual, "messages": self._said, **more})
        choice = reply.choices[0]
        self._said.append(choice.message)
        return {
            "text": choice.message.content,
            "calls": [_called(call.function) for call in choice.message.tool_calls or ()],
            "finish": choice.finish_reason,
            "usage": [reply.usage.prompt_tokens, reply.usage.completion_tokens],
        }

    def _reply(self, fields: dict[str, Any]) -> Any:
        chats = self._client.chat.completions
        if not self._streams:
            return (chats.parse if "response_format" in fields else chats.create)(**fields)
        with chats.stream(**fields, stream_options={"include_usage": True}) as stream:
            return stream.get_final_completion()


class Messages:
    """``anthropic`` over Messages."""

    def __init__(self, url: str, key: str, model: str, *, streams: bool) -> None:
        self._client: Any = Anthropic(base_url=url, api_key=key, max_retries=0)
        self._streams = streams
        self._usual: dict[str, Any] = {
            "model": model,
            "system": [{"type": "text", "text": INSTRUCTION}, {"type": "text", "text": MORE}],
            "tools": [{"name": TOOL_NAME, "description": TOOL_TEXT, "input_schema": TOOL}],
            "thinking": {"type": "adaptive"},
            "output_config": {"effort": "high"},
            "max_tokens": 4_000,
        }
        source = {"type": "base64", "media_type": "image/png", "data": PNG}
        asked = [{"type": "text", "text": LOOK}, {"type": "image", "source": source}]
        self._said: list[Any] = [{"role": "user", "content": asked}]

    def turns(self) -> Iterator[Heard]:
        """Talk."""
        said = self._said
        with self._client:
            yield self._ask()
            one, other = [part.id for part in said[-1]["content"] if part.type == "tool_use"]
            results = [
                {"type": "tool_result", "tool_use_id": one, "content": FOUND},
                {"type": "tool_result", "tool_use_id": other, "content": FAILED, "is_error": True},
            ]
            said.append({"role": "user", "content": results})
            yield self._ask()
            said.append({"role": "user", "content": AS_JSON})
            said.append({"role": "system", "content": LATER})
            yield self._ask(output_format=Traffic)
            said.append({"role": "user", "content": COUNT})
            yield self._ask(stop_sequences=["END"])

    def _ask(self, **more: Any) -> Heard:
        """Ask; the blocks go back as they are."""
        reply = self._reply({**self._usual, "messages": self._said, **more})
        self._said.append({"role": "assistant", "content": reply.content})
        return {
            "text": "".join(part.text for part in reply.content if part.type == "text"),
            "calls": [[part.name, part.input] for part in reply.content if part.type == "tool_use"],
            "finish": reply.stop_reason,
            "usage": [reply.usage.input_tokens, reply.usage.output_tokens],
        }

    def _reply(self, fields: dict[str, Any]) -> Any:
        create = self._client.messages
        if not self._streams:
            return (create.parse if "output_format" in fields else create.create)(**fields)
        with create.stream(**fields) as stream:
            return stream.get_final_message()


class Responses:
    """``openai`` over Responses, with nothing kept at the provider."""

    def __init__(self, url: str, key: str, model: str, *, streams: bool) -> None:
        self._client: Any = OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        self._streams = streams
        function = {"name": TOOL_NAME, "description": TOOL_TEXT, "parameters": TOOL, "strict": True}
        self._usual: dict[str, Any] = {
            "model": model,
            "instructions": INSTRUCTION,
            "tools": [{"type": "function", **function}],
            "reasoning": {"effort": "high"},
            "include": ["reasoning.encrypted_content"],
            "store": False,
            "max_output_tokens": 4_000,
        }
        picture = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}
        asked = [{"type": "input_text", "text": LOOK}, picture]
        self._said: list[Any] = [
            {"role": "developer", "content": MORE},
            {"role": "user", "content": asked},
        ]

    def turns(self) -> Iterator[Heard]:
        """Talk."""
        said = self._said
        with self._client:
            yield self._ask()
            one, other = [item.call_id for item in said[2:] if item.type == "function_call"]
            said.append({"type": "function_call_output", "call_id": one, "output": FOUND})
            said.append({"type": "function_call_output", "call_id": other, "output": FAILED})
            yield self._ask()
            said.append({"role": "developer", "content": LATER})
            said.append({"role": "user", "content": AS_JSON})
            yield self._ask(text_format=Traffic)
            said.append({"role": "user", "content": COUNT})
            yield self._ask()

    def _ask(self, **more: Any) -> Heard:
        """Ask; the items go back as they are."""
        reply = self._reply({**self._usual, "input": self._said, **more})
        self._said += reply.output
        return {
            "text": reply.output_text,
            "calls": [_called(item) for item in reply.output if item.type == "function_call"],
            "finish": reply.status,
            "usage": [reply.usage.input_tokens, reply.usage.output_tokens],
        }

    def _reply(self, fields: dict[str, Any]) -> Any:
        responses = self._client.responses
        if not self._streams:
            return (responses.parse if "text_format" in fields else responses.create)(**fields)
        with responses.stream(**fields) as stream:
            return stream.get_final_response()


class Gemini:
    """``google-genai``, whose chats keep the history themselves."""

    def __init__(self, url: str, key: str, model: str, *, streams: bool) -> None:
        options = types.HttpOptions(base_url=url)
        self._client: Any = genai.Client(api_key=key, http_options=options)
        self._streams = streams
        function: Any = {"name": TOOL_NAME, "description": TOOL_TEXT}
        declared = [{**function, "parameters_json_schema": TOOL}]
        self._usual: dict[str, Any] = {
            "system_instruction": [INSTRUCTION, MORE],
            "tools": [{"function_declarations": declared}],
            "automatic_function_calling": {"disable": True},
            "thinking_config": {"thinking_level": "HIGH", "include_thoughts": True},
            "max_output_tokens": 4_000,
        }
        self._chat: Any = self._client.chats.create(model=model)

    def turns(self) -> Iterator[Heard]:
        """Talk."""
        picture = types.Part.from_bytes(data=b64decode(PNG), mime_type="image/png")
        with self._client:
            yield self._ask([types.Part.from_text(text=LOOK), picture])
            yield self._ask(self._results())
            schema = Traffic.model_json_schema()
            as_json = {"response_mime_type": "application/json", "response_json_schema": schema}
            yield self._ask(f"{LATER} {AS_JSON}", **as_json)
            yield self._ask(COUNT, stop_sequences=["END"])

    def _results(self) -> list[Any]:
        """Return the results of the calls that came last."""
        parts = [part for content in self._chat.get_history() for part in content.parts]
        one, other = [part.function_call for part in parts if part.function_call]
        told = [(one, {"output": FOUND}), (other, {"error": FAILED})]
        return [
            types.Part(
                function_response=types.FunctionResponse(
                    id=call.id, name=call.name, response=response
                )
            )
            for call, response in told
        ]

    def _ask(self, message: Any, **more: Any) -> Heard:
        config = types.GenerateContentConfig(**self._usual, **more)
        if self._streams:
            chunks = list(self._chat.send_message_stream(message, config=config))
        else:
            chunks = [self._chat.send_message(message, config=config)]
        parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts or ()]
        calls = [part.function_call for part in parts if part.function_call]
        usage = chunks[-1].usage_metadata
        return {
            "text": "".join(part.text for part in parts if part.text and not part.thought),
            "calls": [[call.name, call.args] for call in calls],
            "finish": chunks[-1].candidates[0].finish_reason.value,
            "usage": [usage.prompt_token_count, usage.candidates_token_count],
        }


def _called(call: Any) -> list[Any]:
    return [call.name, json.loads(call.arguments)]


class Family(NamedTuple):
    """A format: who talks in it, and who answers in it."""

    talk: type[Talk]
    provider: str
    model: str


FAMILIES: Final[Mapping[str, Family]] = {
    "chat": Family(Chat, "chats", "gpt-5.5"),
    "messages": Family(Messages, "anthropic", "claude-sonnet-5"),
    "responses": Family(Responses, "responses", "gpt-5.4-mini"),
    "gemini": Family(Gemini, "gemini", "gemini-3.5-flash"),
}
