"""OpenAI Chat Completions, the format that nearly every inference server speaks."""

from __future__ import annotations

import re
from typing import Any, Final, cast

import msgspec

from callgate.call import Meter, Usage
from callgate.errors import CallgateError, Malformed
from callgate.wire import Request, Rewrite
from callgate.wire.call_numbers import CallNumbers
from callgate.wire.document import Document, decoded
from callgate.wire.failures import error_object, failure_of, own_words
from callgate.wire.fields import (
    PARTS,
    Part,
    Sight,
    count_of,
    flag_of,
    is_set,
    items_of,
    refuse_other_models,
    strange_part,
    strange_tool,
    text_of,
    unbounded_field,
    wrong,
)
from callgate.wire.images import size_of_url_part
from callgate.wire.openai import OpenAIFormat, buckets, charged_in, complaint_in, has_media
from callgate.wire.replies import count, member, object_of, objects, text, unreadable
from callgate.wire.reported import reported_cost
from callgate.wire.scanner import EventScanner
from callgate.wire.sse import comments_in, data_of

LIMIT_FIELDS: Final = ("max_completion_tokens", "max_tokens")
"""The newer name first: it is the one that newer models of OpenAI accept alone."""

PLAIN_PARTS: Final = frozenset({"text", "refusal"})
"""Parts of a message whose tokens are bounded by their bytes."""

IMAGE: Final = "image_url"

PLAIN_TOOLS: Final = frozenset({"function", "custom"})
"""Tools that the agent runs itself; every other kind adds input while the model works."""

UNBOUNDED_FIELDS: Final = (
    "web_search_options", "search_parameters", "plugins", "data_sources", "cached_content",
    "prompt", "previous_response_id", "conversation", "audio", "prediction",
)  # fmt: skip
"""Top-level fields that add input, or cost, which is not in the request's bytes.

Source: openai-python 3.57 (``CompletionCreateParams``); the docs of xAI (``search_parameters``),
OpenRouter (``plugins``), Azure (``data_sources``) and Gemini (``cached_content``) for theirs.
"""

CHARGED_FIELDS: Final = ("web_search_options", "search_parameters", "plugins", "data_sources")
"""Those of them by which the provider does what it charges by its uses.

Source: as above.
"""

FINISHED: Final = re.compile(rb'"finish_reason"\s*:\s*"')
USUAL_NULL_USAGE: Final = b',"usage":null'
"""How OpenAI writes it."""

NULL_USAGE: Final = re.compile(rb',\s*"usage"\s*:\s*null|"usage"\s*:\s*null\s*,\s*')


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """As much of a message as tells whether its bytes bound its tokens."""

    content: msgspec.Raw = msgspec.Raw()
    audio: Any = None
    """An earlier spoken reply, by its name."""


class Chunk(msgspec.Struct, kw_only=True):
    """As much of a stream's event as the gate must know; everything may be of any type."""

    id: Any = None
    model: Any = None
    service_tier: Any = None
    choices: Any = msgspec.UNSET
    usage: Any = msgspec.UNSET
    error: Any = None
    message: Any = None
    detail: Any = None


class UsageOnly(msgspec.Struct, kw_only=True):
    """As much of an event as tells whether its usage is empty."""

    usage: Any = msgspec.UNSET


class Page(msgspec.Struct, kw_only=True):
    """As much of a plain reply as the gate must know."""

    id: Any = None
    model: Any = None
    service_tier: Any = None
    choices: list[Choice]
    usage: Any = None


class Choice(msgspec.Struct, kw_only=True):
    """One of a plain reply's answers, without what it says."""

    finish_reason: Any = None


_MESSAGES: Final = msgspec.json.Decoder(list[Message])
_CHUNK: Final = msgspec.json.Decoder(Chunk)
_USAGE_ONLY: Final = msgspec.json.Decoder(UsageOnly)
_PAGE: Final = msgspec.json.Decoder(Page)


class OpenAIChat(OpenAIFormat):
    """``/chat/completions``."""

    name = "openai_chat"

    def path(self, *, model: str, stream: bool) -> str:
        """Return where a provider serves it."""
        del model, stream
        return "/chat/completions"

    def parse(self, body: bytes, /, *, model: str = "", stream: bool = False) -> Request:
        """Read a request."""
        del model, stream
        document = Document.parse(body)
        refuse_other_models(document, "models")
        messages = items_of(document, "messages", _MESSAGES, needed=True)
        tools = items_of(document, "tools", PARTS)
        named = [
            limit
            for limit in (count_of(document, field, least=0) for field in LIMIT_FIELDS)
            if limit is not None
        ]
        sight = Sight(size_of=size_of_url_part)
        opaque = _opaque(document, messages, tools, sight)
        return Request(
            document=document,
            model=text_of(document, "model"),
            stream=flag_of(document, "stream"),
            output_limit=max(named) if named else None,
            choices=count_of(document, "n", least=1) or 1,
            messages=len(messages) + len(tools),
            has_tools=bool(tools) or document.get("functions") is not None,
            opaque=opaque,
            image_sizes=tuple(sight.image_sizes),
            image_bytes=sight.image_bytes,
            wants_usage=_wants_usage(document),
            service_tier=document.get("service_tier"),
            charged=_charged(document, tools),
        )

    def rewrite(
        self, request: Request, /, *, model: str, output_tokens: int | None, limit_field: str | None
    ) -> Rewrite:
        """Return the request as it leaves."""
        edits: dict[str, bytes] = {}
        changes: list[str] = []
        if model != request.model:
            edits["model"] = msgspec.json.encode(model)
            changes.append(f"model={model}")
        if output_tokens is not None:
            for field in _limit_fields(request.document, limit_field):
                edits[field] = str(output_tokens).encode()
                changes.append(f"{field}={output_tokens}")
        if request.stream and not request.wants_usage:
            edits["stream_options"] = _with_usage(request.document)
            changes.append("stream_options.include_usage=true")
        body = request.document.edit(edits) if edits else request.document.source
        return Rewrite(body=body, changes=tuple(changes))

    def read(self, body: bytes, meter: Meter, /) -> None:
        """Read a plain reply."""
        try:
            page = _PAGE.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            page = _any_page(body)
        _note(page, meter)
        if meter.believed is not None:
            meter.reported = reported_cost(body, meter.believed)
        for choice in page.choices:
            if isinstance(choice.finish_reason, str):
                meter.finish_reason = choice.finish_reason
        meter.finished = True

    def scanner(self, request: Request, meter: Meter, /) -> ChatScanner:
        """Return a reader for a stream."""
        return ChatScanner(meter, hide_usage=not request.wants_usage)

    def error_event(self, error: CallgateError, /) -> bytes:
        """Return the event that ends a stream; the provider's own words where it had any."""
        words = own_words(error)
        body = (
            self.error_body(error)
            if words is None
            else msgspec.json.encode({**words, "callgate": error.reason})
        )
        return b"data: " + body + b"\n\n"


class ChatScanner(EventScanner):
    """Reads a stream while it passes.

    Leaves out what the gate itself asked for, and what would mislead the official SDK.
    """

    __slots__ = ("_hide_usage", "_numbers")

    end_event = "[DONE]"

    def __init__(self, meter: Meter, *, hide_usage: bool) -> None:
        super().__init__(meter)
        self._hide_usage = hide_usage
        self._numbers = CallNumbers()

    def _read(self, event: bytes) -> bytes:
        """Note what an event says; return it as it would have come without our wish for usage."""
        if b'"tool_calls"' in event:
            event = self._numbers.corrected(event)
        if self.has_content and _is_plain(event):
            if self._hide_usage and b'"usage"' in event:
                return _without_null_usage(event)
            return event
        data = data_of(event)
        if data == b"[DONE]":
            self._meter.finished = self.has_content = True
            return event
        return self._relayed(event, _chunk(data)) if data else comments_in(event)

    def _relayed(self, event: bytes, chunk: Chunk) -> bytes:
        if _is_error(chunk):
            raise failure_of(complaint_in(data_of(event)))
        choices = objects(chunk.choices)
        self._note(chunk, choices)
        if self._meter.believed is not None and b'"usage"' in event:
            told = reported_cost(data_of(event), self._meter.believed)
            self._meter.reported = told or self._meter.reported
        if not self._hide_usage or chunk.usage is msgspec.UNSET:
            return event
        if chunk.usage is None:
            return _without_null_usage(event)
        return event if choices else b""

    def _note(self, chunk: Chunk, choices: list[dict[str, Any]]) -> None:
        _note(chunk, self._meter)
        for choice in choices:
            self._meter.finish_reason = text(choice, "finish_reason") or self._meter.finish_reason
        self.has_content = self.has_content or any(map(_says_something, choices))


def readable_text(request: Request) -> str:
    """Return what of a request a tokenizer is to count: all but its images, without escapes."""
    page = cast("dict[str, Any]", decoded("the request", request.document.source))
    if request.image_sizes:
        for message in page["messages"]:
            content = message.get("content")
            if isinstance(content, list):
                parts = cast("list[dict[str, Any]]", content)
                message["content"] = [part for part in parts if part.get("type") != IMAGE]
    return msgspec.json.encode(page).decode()


def _opaque(
    document: Document, messages: list[Message], tools: list[Part], sight: Sight
) -> str | None:
    """Return what in a request costs input that neither its bytes nor its images bound."""
    modalities = document.get("modalities")
    if modalities is not None and modalities != ["text"]:
        return "modalities asks for more than text"
    strange = unbounded_field(document, UNBOUNDED_FIELDS) or strange_tool(tools, PLAIN_TOOLS)
    if strange is not None:
        return strange
    for index, message in enumerate(messages):
        strange = strange_part(message.content, PLAIN_PARTS, IMAGE, sight)
        if strange is not None:
            return f"messages[{index}] holds {strange}"
        if message.audio is not None:
            return f"messages[{index}] names an earlier spoken reply"
    return None


def _charged(document: Document, tools: list[Part]) -> str | None:
    """Return what in a request the provider may charge besides tokens."""
    named = next((field for field in CHARGED_FIELDS if document.get(field)), None)
    if named is None and strange_tool(tools, PLAIN_TOOLS) is not None:
        return "tools that the provider runs"
    return named


def _wants_usage(document: Document) -> bool:
    options = document.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        field = "stream_options"
        raise wrong(field, "an object", options)
    asked = cast("dict[str, Any]", options).get("include_usage")
    return is_set("stream_options.include_usage", asked)


def _with_usage(document: Document) -> bytes:
    """Return the stream options as they were written, with the wish for usage."""
    if document.get("stream_options") is None:
        return b'{"include_usage":true}'
    options = Document.parse(document.raw("stream_options"))
    return options.edit({"include_usage": b"true"})


def _limit_fields(document: Document, limit_field: str | None) -> list[str]:
    """Return where a limit is written: where the client wrote its own, else where we choose to."""
    named = [field for field in LIMIT_FIELDS if document.get(field) is not None]
    return named or [limit_field or LIMIT_FIELDS[0]]


def _any_page(body: bytes) -> Page:
    """Read a plain reply that the strict reader cannot: what matters of it may still be right.

    Raises:
        Failed: It says what went wrong, with a status of 200.
        BrokenReply: It is no chat completion.
    """
    page = object_of(body)
    if not isinstance(page.get("choices"), list):
        if error_object(body):
            raise failure_of(complaint_in(body))
        problem = "is no chat completion"
        raise unreadable(problem, body)
    choices = [Choice(finish_reason=each.get("finish_reason")) for each in objects(page["choices"])]
    known = {key: page[key] for key in ("id", "model", "service_tier", "usage") if key in page}
    return Page(choices=choices, **known)


def _is_plain(event: bytes) -> bool:
    """Whether an event is nothing but a piece of an answer; the search is cheaper than reading it.

    A quotation mark inside a text is escaped, so these are names and values, never content.
    """
    if b'"choices"' not in event or b'"error"' in event or FINISHED.search(event):
        return False
    return b'"usage"' not in event or _has_null_usage(event)


def _has_null_usage(event: bytes) -> bool:
    """Whether an event's own usage is null; one inside of another object does not count."""
    try:
        return _USAGE_ONLY.decode(data_of(event)).usage is None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _without_null_usage(event: bytes) -> bytes:
    """Return an event without its empty usage, which only our wish has put there."""
    if event.count(b'"usage"') == 1:
        at = event.find(USUAL_NULL_USAGE)
        if at >= 0:
            return event[:at] + event[at + len(USUAL_NULL_USAGE) :]
        return NULL_USAGE.sub(b"", event, count=1)
    data = data_of(event)
    try:
        return event.replace(data, Document.parse(data).without("usage"), 1)
    except Malformed:
        return event


def _chunk(data: bytes) -> Chunk:
    try:
        return _CHUNK.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        page = object_of(data)
        return Chunk(**{key: page[key] for key in Chunk.__struct_fields__ if key in page})


def _is_error(chunk: Chunk) -> bool:
    """Whether an event says that the stream failed; some servers do so in a bare object."""
    return bool(chunk.error) or (
        chunk.choices is msgspec.UNSET and bool(chunk.message or chunk.detail)
    )


def _says_something(choice: dict[str, Any]) -> bool:
    """Whether a piece of an answer holds more than the opening role."""
    delta = member(choice, "delta")
    return bool(choice.get("finish_reason")) or any(
        value for key, value in delta.items() if key != "role"
    )


def _note(page: Chunk | Page, meter: Meter) -> None:
    """Keep what a reply or an event tells; the latest usage stands, it is never added up."""
    meter.model = page.model if isinstance(page.model, str) else meter.model
    meter.reply_id = page.id if isinstance(page.id, str) else meter.reply_id
    tier = page.service_tier
    meter.service_tier = tier if isinstance(tier, str) else meter.service_tier
    if isinstance(page.usage, dict):
        usage = cast("dict[str, Any]", page.usage)
        meter.usage = usage_of(usage) or meter.usage
        meter.unpriced = charged_in(usage) or meter.unpriced
        details = (member(usage, f"{part}_tokens_details") for part in ("prompt", "completion"))
        meter.has_media = meter.has_media or has_media(*details)


def usage_of(usage: dict[str, Any]) -> Usage | None:
    """Return the counters of a completion as disjoint buckets; None where input or output is not told.

    Where the total is more than prompt and completion, the difference is reasoning that the server
    leaves out of ``completion_tokens``.

    Source: openai-python 3.57 (``CompletionUsage``); xAI and Gemini's compatible API for totals
    that are more than prompt and completion.
    """
    prompt, completion = count(usage, "prompt_tokens"), count(usage, "completion_tokens")
    total = count(usage, "total_tokens")
    if [prompt, completion, total].count(None) > 1 or (prompt is None and completion is None):
        return None
    total = total or 0
    if prompt is None:
        prompt = max(0, total - (completion or 0))
    return buckets(
        prompt,
        max(completion or 0, total - prompt),
        of_input=member(usage, "prompt_tokens_details"),
        of_output=member(usage, "completion_tokens_details"),
    )
