"""OpenAI Responses as a provider speaks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from callgate.testing.simulator.formats.format import Event
from callgate.testing.simulator.formats.openai import (
    OpenAIFormat,
    read_limit,
    read_model,
    refuse_flaws,
)
from callgate.testing.simulator.formats.responses_events import (
    error_event,
    failed_event,
    response_events,
)
from callgate.testing.simulator.formats.responses_reply import (
    encode,
    output_of,
    reply_id,
    response_of,
)
from callgate.testing.simulator.generation import Generation
from callgate.testing.simulator.memory import Conversation, Kept
from callgate.testing.simulator.request import (
    Asked,
    Last,
    Problem,
    is_array,
    is_object,
    json_bytes,
    read_schema,
    text_bytes,
    texts,
)
from callgate.testing.simulator.strict import OPENAI_RESPONSES_FIELDS
from callgate.testing.simulator.strict.openai_responses import (
    Item,
    kind_of,
    pair_calls,
    refuse_broken_items,
    refuse_foreign_reasoning,
)

LEAST_LIMIT: Final = 16
"""Source: the API reference, ``max_output_tokens``; a lenient simulator takes less."""


class OpenAIResponses(OpenAIFormat):
    """Source: types of the openai package 3.57.0 (``Response``, ``ResponseStreamEvent``)."""

    name = "openai_responses"
    keepalive = b'event: keepalive\ndata: {"type":"keepalive"}\n\n'

    def read(self, body: dict[str, object], asked: Asked, *, strict: bool) -> None:
        """Read a request; see :class:`callgate.testing.simulator.formats.format.Format`."""
        asked.model = read_model(body)
        items = _items(body)
        if strict:
            refuse_flaws(body, OPENAI_RESPONSES_FIELDS)
            refuse_broken_items(asked, items)
        refuse_foreign_reasoning(asked, items)
        before = _before(body, asked)
        said = before.text_bytes + sum(map(_item_bytes, items))
        asked.conversation = msgspec.structs.replace(pair_calls(before, items), text_bytes=said)
        text = body.get("text")
        asked.schema = read_schema(text.get("format")) if is_object(text) else None
        asked.stream = body.get("stream") is True
        asked.output_limit = read_limit(
            body, "max_output_tokens", least=LEAST_LIMIT if strict else 0
        )
        users = [item for item in items if item.get("role") == "user"]
        asked.text = texts(users[-1].get("content")) if users else ""
        asked.last = _last(items)
        instructions = text_bytes({"content": body.get("instructions")})
        asked.input_bytes = said + instructions + json_bytes(body.get("tools"))

    def reply(self, asked: Asked, said: Generation) -> bytes:
        """Return a ``response``."""
        return encode(response_of(asked, said))

    def events(self, asked: Asked, said: Generation) -> list[Event]:
        """Return the events of a stream, from ``response.created`` to what ends it."""
        return response_events(asked, said)

    def keep(self, asked: Asked, said: Generation) -> None:
        """Store the response, unless ``store`` is false."""
        if asked.endpoint != "generate" or asked.body.get("store") is False:
            return
        output = output_of(asked, said)
        calls = [str(item["call_id"]) for item in output if item["type"] == "function_call"]
        conversation = Conversation(
            text_bytes=asked.conversation.text_bytes + sum(map(_item_bytes, output)),
            calls=asked.conversation.calls.union(calls),
            open_calls=tuple(calls),
        )
        kept = Kept(
            make=lambda: self.reply(asked, said),
            conversation=conversation,
            input_items=_items(asked.body),
            item_ids=frozenset(str(item["id"]) for item in output),
        )
        asked.memory.keep(asked.key, reply_id(asked), kept)

    def retrieve(self, asked: Asked, name: str) -> bytes:
        """Return a stored response, or what its request brought."""
        name, _, wanted = name.partition("/")
        kept = asked.memory.find(asked.key, name)
        if kept is None:
            raise _not_found(name)
        return _item_list(name, kept.input_items) if wanted else kept.make()

    def forget(self, asked: Asked, name: str) -> bytes:
        """Delete a stored response."""
        if not asked.memory.forget(asked.key, name):
            raise _not_found(name)
        return encode({"id": name, "object": "response", "deleted": True})

    def count(self, asked: Asked) -> bytes:
        """Return the answer of ``input_tokens``."""
        return encode({"object": "response.input_tokens", "input_tokens": asked.input_tokens})

    def reply_id(self, asked: Asked) -> str:
        """Return an id such as ``resp_3f2a…``."""
        return reply_id(asked)

    def error_event(self, asked: Asked, body: bytes, n: int) -> bytes:
        """Return an ``error`` event."""
        del asked
        return error_event(body, n)

    def failed_event(self, asked: Asked, body: bytes, n: int) -> bytes:
        """Return ``response.failed``."""
        return failed_event(asked, body, n)


def _items(body: dict[str, object]) -> list[Item]:
    """Return the items of the input, which may be a text or absent.

    Raises:
        Problem: It is something else.
    """
    given = body.get("input")
    if given is None:
        return []
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    if not is_array(given):
        shown = "Invalid type for 'input': expected one of a string or array of input items."
        raise Problem(400, shown, param="input", code="invalid_type")
    items = [item for item in given if is_object(item)]
    if len(items) != len(given):
        shown = "Invalid type for 'input': expected an array of objects."
        raise Problem(400, shown, param="input", code="invalid_type")
    return items


def _before(body: dict[str, object], asked: Asked) -> Conversation:
    """Return what was said up to the response that a request goes on from.

    Raises:
        Problem: There is none of this id, or not for this key.
    """
    name = body.get("previous_response_id")
    if name is None:
        return Conversation()
    kept = asked.memory.find(asked.key, str(name))
    if kept is None:
        shown = f"Previous response with id '{name}' not found."
        raise Problem(400, shown, param="previous_response_id", code="previous_response_not_found")
    return kept.conversation


def _last(items: Sequence[Item]) -> Last:
    if not items:
        return "other"
    if kind_of(items[-1]) == "function_call_output":
        return "tool"
    return "user" if items[-1].get("role") == "user" else "other"


def _item_bytes(item: Item) -> int:
    """Count the bytes of an item that a model reads as text."""
    if kind_of(item) == "function_call":
        return sum(len(str(item.get(field, "")).encode()) for field in ("name", "arguments"))
    field = {"function_call_output": "output", "reasoning": "summary"}.get(kind_of(item), "content")
    return text_bytes({"content": item.get(field)})


def _not_found(name: str) -> Problem:
    return Problem(404, f"Response with id '{name}' not found.", code="response_not_found")


def _item_list(name: str, items: Sequence[object]) -> bytes:
    data = [
        {"id": f"item_{name.removeprefix('resp_')}_{n}", **_shown(item)}
        for n, item in enumerate(items)
        if is_object(item)
    ]
    ids = [item["id"] for item in data]
    return encode(
        {
            "object": "list",
            "data": data,
            "first_id": ids[0] if ids else None,
            "last_id": ids[-1] if ids else None,
            "has_more": False,
        }
    )


def _shown(item: Item) -> Item:
    """Return an item as a list shows it: a text is a part of text."""
    content = item.get("content")
    if not isinstance(content, str):
        return item
    part = {"type": "input_text", "text": content}
    return {**item, "type": kind_of(item), "status": "completed", "content": [part]}
