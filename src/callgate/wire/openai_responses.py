"""OpenAI Responses: the format of agents that keep their conversation at the provider, or not."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec

from callgate.call import Meter, Usage
from callgate.errors import CallgateError, Failed, Malformed, Reason
from callgate.wire import Request, Rewrite
from callgate.wire.document import Document
from callgate.wire.failures import JSON_HEADERS, error_object, failure_of
from callgate.wire.fields import (
    NOTHING,
    PARTS,
    Part,
    Sight,
    count_of,
    flag_of,
    items_of,
    refuse_other_models,
    strange_part,
    strange_tool,
    text_of,
    unbounded_field,
    wrong,
)
from callgate.wire.images import size_of_input_part
from callgate.wire.openai import OpenAIFormat, buckets, charged_in, complaint_in, has_media, told
from callgate.wire.replies import count, mapping, member, object_of, text, unreadable
from callgate.wire.reported import reported_cost
from callgate.wire.scanner import EventScanner
from callgate.wire.sse import comments_in, data_of

LIMIT_FIELD: Final = "max_output_tokens"

EARLIER: Final = "previous_response_id"
"""How a request goes on from an earlier response, which the provider has kept."""

PLAIN_PARTS: Final = frozenset({
    "input_text", "output_text", "refusal", "text", "summary_text", "reasoning_text",
})  # fmt: skip
"""Parts of a message whose tokens are bounded by their bytes."""

IMAGE: Final = "input_image"

PLAIN_ITEMS: Final = frozenset({
    "message", "function_call", "function_call_output", "custom_tool_call",
    "custom_tool_call_output",
})  # fmt: skip
"""Items whose tokens are bounded by their bytes, but for what their parts hold."""

PLAIN_TOOLS: Final = frozenset({"function", "custom"})
"""Tools that the agent runs itself; every other kind adds input while the model works."""

UNCHARGED_TOOLS: Final = PLAIN_TOOLS | {
    "apply_patch", "computer", "computer_use_preview", "local_shell",
}  # fmt: skip
"""Tools that the agent runs, some of which the provider describes.

Source: openai-python 3.57 (``ToolParam``); OpenAI's pricing, "Built-in tools", for the others.
"""

UNBOUNDED_FIELDS: Final = ("prompt", "conversation", "context_management")
"""Top-level fields that add input, or cost, which is not in the request's bytes.

Source: openai-python 3.57 (``ResponseCreateParams``).
"""

ENDED_WELL: Final = frozenset({"completed", "incomplete", None})
"""Statuses of a response that is an answer; some servers leave it out."""

BROKE_OFF: Final = frozenset({"failed", "cancelled"})

LAST_EVENTS: Final = frozenset({"error", "response.failed", "response.cancelled"})
"""Events with which a provider breaks a stream off."""

OPENINGS: Final = (
    "created", "in_progress", "queued", "failed", "cancelled", "output_item.added",
    "content_part.added", "reasoning_summary_part.added",
)  # fmt: skip
"""Events that tell a reader nothing yet, without ``response.``."""

CONTENT: Final = re.compile(
    rb'"type"\s*:\s*"response\.(?!(?:%b)")' % b"|".join(re.escape(n).encode() for n in OPENINGS)
)

HOLDERS: Final = ("created", "in_progress", "completed", "incomplete", "failed", "cancelled")
"""Events that hold the whole response, as far as it has come, without ``response.``."""

HOLDER: Final = re.compile(
    rb'"type"\s*:\s*"response\.(?:%b)"' % b"|".join(n.encode() for n in HOLDERS)
)


class Item(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """As much of an item of the input as tells whether its bytes bound its tokens."""

    type: Any = None
    role: Any = None
    content: msgspec.Raw = msgspec.Raw()
    output: msgspec.Raw = msgspec.Raw()
    encrypted_content: Any = None
    """What a model thought, sealed, where the provider has not kept it."""


class Page(msgspec.Struct, kw_only=True):
    """As much of a response as the gate must know."""

    status: Any = None
    id: Any = None
    model: Any = None
    service_tier: Any = None
    output: msgspec.Raw = msgspec.Raw()
    incomplete_details: Any = None
    error: Any = None
    usage: Any = None
    tool_usage: Any = None


class Event(msgspec.Struct, kw_only=True):
    """As much of a stream's event as the gate must know; everything may be of any type."""

    type: Any = None
    response: msgspec.Raw = msgspec.Raw()
    error: Any = None
    message: Any = None
    detail: Any = None


_ITEMS: Final = msgspec.json.Decoder(list[Item])
_PAGE: Final = msgspec.json.Decoder(Page)
_EVENT: Final = msgspec.json.Decoder(Event)


class OpenAIResponses(OpenAIFormat):
    """``/responses``."""

    name = "openai_responses"

    def path(self, *, model: str, stream: bool) -> str:
        """Return where a provider serves it."""
        del model, stream
        return "/responses"

    def parse(self, body: bytes, /, *, model: str = "", stream: bool = False) -> Request:
        """Read a request."""
        del model, stream
        document = Document.parse(body)
        refuse_other_models(document, "models")
        if flag_of(document, "background"):
            raise _in_the_background()
        items = _items(document)
        tools = items_of(document, "tools", PARTS)
        sight = Sight(size_of=size_of_input_part)
        opaque = _opaque(document, items, tools, sight)
        return Request(
            document=document,
            model=text_of(document, "model"),
            stream=flag_of(document, "stream"),
            output_limit=count_of(document, LIMIT_FIELD, least=0),
            # One more for the instructions, or a text that is the whole input.
            messages=len(items) + len(tools) + 1,
            has_tools=bool(tools),
            opaque=opaque,
            image_sizes=tuple(sight.image_sizes),
            image_bytes=sight.image_bytes,
            service_tier=document.get("service_tier"),
            charged=_charged(tools),
            earlier=_earlier(document),
        )

    def rewrite(
        self, request: Request, /, *, model: str, output_tokens: int | None, limit_field: str | None
    ) -> Rewrite:
        """Return the request as it leaves; the format knows one field for the limit."""
        del limit_field
        edits: dict[str, bytes] = {}
        changes: list[str] = []
        if model != request.model:
            edits["model"] = msgspec.json.encode(model)
            changes.append(f"model={model}")
        if output_tokens is not None:
            edits[LIMIT_FIELD] = str(output_tokens).encode()
            changes.append(f"{LIMIT_FIELD}={output_tokens}")
        body = request.document.edit(edits) if edits else request.document.source
        return Rewrite(body=body, changes=tuple(changes))

    def read(self, body: bytes, meter: Meter, /) -> None:
        """Read a plain reply."""
        page = _page(body)
        if bytes(memoryview(page.output)[:1]) != b"[":
            if error_object(body):
                raise failure_of(complaint_in(body))
            problem = "is no response"
            raise unreadable(problem, body)
        _note(page, body, meter)
        status = None if page.status is None else str(page.status)
        if status in BROKE_OFF:
            raise failure_of(complaint_in(msgspec.json.encode({"error": _error_of(page)})))
        if status not in ENDED_WELL:
            problem = f"has not ended, it is {page.status!r}"
            raise unreadable(problem, body)
        meter.finished = True

    def scanner(self, request: Request, meter: Meter, /) -> ResponseScanner:
        """Return a reader for a stream."""
        del request
        return ResponseScanner(meter)

    def error_event(self, error: CallgateError, /) -> bytes:
        """Return the event that ends a stream: the provider's own where it had one.

        What it says stands twice, as the format has it and as the object of a plain refusal: the
        official SDK gives the first to its reader as one more event, and raises for the second.

        Source: openai-python 3.57 (``ResponseErrorEvent``; ``Stream``).
        """
        page = _last_words(error)
        if page is None:
            said = told(error)
            flat = {"code": said["code"], "message": said["message"], "param": None}
            # Nobody counts on from here, and the number of the last event is not known here.
            page = {"type": "error", "sequence_number": 0, **flat, "error": said}
        data = msgspec.json.encode({**page, "callgate": error.reason})
        return b"event: %b\ndata: %b\n\n" % (str(page["type"]).encode(), data)


class ResponseScanner(EventScanner):
    """Reads a stream while it passes; its end is an event that holds the whole response."""

    __slots__ = ()

    end_event = "response.completed"

    def _read(self, event: bytes) -> bytes:
        """Note what an event says, by the type in its data: a name alone proves nothing."""
        if not self.has_content:
            self.has_content = CONTENT.search(event) is not None
        if HOLDER.search(event) or b'"error"' in event or b'"type"' not in event:
            data = data_of(event)
            if not data:
                return comments_in(event)
            if data != b"[DONE]":
                self._look(_event(data), data)
        return event

    def _look(self, page: Event, data: bytes) -> None:
        if page.type == "error" or (page.type is None and _is_bare_error(page)):
            raise failure_of(complaint_in(data))
        name = str(page.type).removeprefix("response.")
        if name not in HOLDERS:
            return
        written = bytes(page.response)
        response = _page(written) if written[:1] == b"{" else Page()
        _note(response, written, self._meter)
        if name in BROKE_OFF:
            # What it tells of its usage is all that there will be.
            self._meter.finished = self._meter.usage is not None
            raise _broke_off(response, data)
        self._meter.finished = self._meter.finished or name in ENDED_WELL


def usage_of(usage: dict[str, Any]) -> Usage | None:
    """Return the counters of a response as disjoint buckets; None where input or output is not told.

    Source: openai-python 3.57 (``ResponseUsage``); the input includes what a cache held, the output
    what was thought.
    """
    input, output = count(usage, "input_tokens"), count(usage, "output_tokens")
    if input is None or output is None:
        return None
    return buckets(
        input,
        output,
        of_input=member(usage, "input_tokens_details"),
        of_output=member(usage, "output_tokens_details"),
    )


def _earlier(document: Document) -> str | None:
    """Return the response that a request goes on from, by its id."""
    return None if document.get(EARLIER) is None else text_of(document, EARLIER)


def _items(document: Document) -> list[Item]:
    """Return the items of the input; none where it is a text, or left out."""
    field = "input"
    first = document.raw(field)[:1]
    if first == b'"' or first in NOTHING:
        return []
    if first != b"[":
        raise wrong(field, "a text or a list", document.get(field))
    return items_of(document, field, _ITEMS)


def _opaque(document: Document, items: list[Item], tools: list[Part], sight: Sight) -> str | None:
    """Return what in a request costs input that neither its bytes nor its images bound."""
    strange = unbounded_field(document, UNBOUNDED_FIELDS) or strange_tool(tools, PLAIN_TOOLS)
    if strange is not None:
        return strange
    for index, item in enumerate(items):
        strange = _strange_item(item, sight)
        if strange is not None:
            return f"input[{index}] holds {strange}"
    return None


def _strange_item(item: Item, sight: Sight) -> str | None:
    """Return what an item holds besides plain text and images; None if there is nothing else.

    An item without a type is a message where it has a role, and names an earlier item where not.
    A thought that is not sealed in the request is one that the provider has kept, by its id. A
    sealed one has fewer tokens than characters, even if its words were packed before.

    Source: openai-python 3.57 (``ResponseInputItemParam``, ``ItemReference``).
    """
    kind = "message" if item.type is None and item.role is not None else item.type
    if kind == "reasoning":
        return None if item.encrypted_content else "a thought that the provider has kept"
    if not isinstance(kind, str) or kind not in PLAIN_ITEMS:
        return f"an item of type {kind!r}"
    return strange_part(item.content, PLAIN_PARTS, IMAGE, sight) or strange_part(
        item.output, PLAIN_PARTS, IMAGE, sight
    )


def _charged(tools: list[Part]) -> str | None:
    """Return what in a request the provider may charge besides tokens."""
    strange = strange_tool(tools, UNCHARGED_TOOLS)
    return None if strange is None else "tools that the provider runs"


def _in_the_background() -> Malformed:
    msg = (
        "background must be false: the gate learns what a response cost when it reads it, and "
        "reads it only as it comes"
    )
    return Malformed(msg, reason=Reason(code="wrong_field", fix="leave background out"))


def _page(body: bytes) -> Page:
    """Read a response; what the strict reader cannot read, its reader may still use."""
    try:
        return _PAGE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        page = object_of(body)
        known = {key: page[key] for key in Page.__struct_fields__ if key in page}
        if "output" in known:
            is_list = isinstance(known["output"], list)
            known["output"] = msgspec.Raw(b"[]" if is_list else b"{}")
        return Page(**known)


def _event(data: bytes) -> Event:
    try:
        return _EVENT.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        page = object_of(data)
        known = {key: page[key] for key in Event.__struct_fields__ if key in page}
        # In ASCII, as it holds what the strict reader does not take.
        return Event(
            **{**known, "response": msgspec.Raw(json.dumps(page.get("response")).encode())}
        )


def _is_bare_error(page: Event) -> bool:
    """Whether an event without a type says that the stream failed; some servers do so."""
    return bool(page.error or page.message or page.detail)


def _note(page: Page, written: bytes, meter: Meter) -> None:
    """Keep what a response tells; the latest usage stands, it is never added up."""
    meter.model = page.model if isinstance(page.model, str) else meter.model
    meter.reply_id = page.id if isinstance(page.id, str) else meter.reply_id
    tier = page.service_tier
    meter.service_tier = tier if isinstance(tier, str) else meter.service_tier
    meter.finish_reason = _finish_reason(page) or meter.finish_reason
    usage = {**mapping(page.usage), "tool_usage": page.tool_usage}
    meter.usage = usage_of(usage) or meter.usage
    meter.unpriced = charged_in(usage) or meter.unpriced
    details = (member(usage, f"{side}_tokens_details") for side in ("input", "output"))
    meter.has_media = meter.has_media or has_media(*details)
    if meter.believed is not None:
        meter.reported = reported_cost(written, meter.believed) or meter.reported


def _finish_reason(page: Page) -> str | None:
    """Return why a response ended; None where it has not."""
    if page.status == "incomplete":
        return text(mapping(page.incomplete_details), "reason") or "incomplete"
    return "completed" if page.status == "completed" else None


def _error_of(page: Page) -> dict[str, Any]:
    """Return why a response broke off."""
    return mapping(page.error) or {"message": f"the response ended as {page.status!r}"}


def _broke_off(page: Page, data: bytes) -> Failed:
    """Return the failure of a response that broke off, with its last event as the answer."""
    said = complaint_in(msgspec.json.encode({"error": _error_of(page)}))
    return failure_of(msgspec.structs.replace(said, body=data, headers=JSON_HEADERS))


def _last_words(error: CallgateError) -> dict[str, Any] | None:
    """Return the event with which the provider itself broke a stream off, if it did."""
    answer = error.answer if isinstance(error, Failed) else None
    if answer is None:
        return None
    try:
        page = object_of(answer.body)
    except Failed:
        return None
    return page if text(page, "type") in LAST_EVENTS else None
