"""Anthropic Messages, and its counter of tokens."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from callgate.call import Headers, Meter, Usage
from callgate.errors import BrokenReply, CallgateError, Failed
from callgate.wire import Request, Rewrite
from callgate.wire.document import Document
from callgate.wire.failures import Complaint, broken, error_object, failure_of, quote
from callgate.wire.fields import count_of, flag_of, items_of, text_of
from callgate.wire.sse import Splitter, data_of, name_of

MONEY_CODES: Final = frozenset({
    "contract_spend_limit_reached", "enforced_spend_limit_reached",
    "linked_organization_spend_limit_reached", "credit_balance_too_low",
})  # fmt: skip
"""``error.details.error_code`` values that mean money, never a rate.

Source: anthropic-python 2.13, ``types/shared``.
"""

TYPES_BY_STATUS: Final = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error",
    403: "permission_error", 404: "not_found_error", 413: "request_too_large",
    429: "rate_limit_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip

PLAIN_PARTS: Final = frozenset({
    "text", "tool_use", "tool_result", "thinking", "redacted_thinking",
})  # fmt: skip
"""Parts of a message whose tokens are bounded by their bytes."""

UNBOUNDED_FIELDS: Final = ("mcp_servers", "container", "context_management", "fallbacks")
"""Top-level fields that add input, or cost, which is not in the request's bytes."""

STRANGE: Final = re.compile(
    rb'"type"\s*:\s*"(?!(?:text|tool_use|tool_result|thinking|redacted_thinking|custom)")|\\u'
)
"""What calls for a closer look: a part that is not plain, or an escape that could hide one."""

CONTENT: Final = re.compile(rb'"type"\s*:\s*"(?:content_block_delta|message_delta|message_stop)"')
LOOKED_AT: Final = re.compile(rb"message_start|message_delta|message_stop|error")
"""What makes an event worth decoding; the rest of a stream is passed on unread."""


class AnthropicMessages:
    """``/v1/messages``."""

    name = "anthropic_messages"
    api = "anthropic"
    path = "/v1/messages"
    costs_output = True

    def parse(self, body: bytes, /) -> Request:
        """Read a request."""
        document = Document.parse(body)
        messages = items_of(document, "messages", needed=True)
        tools = items_of(document, "tools")
        system = document.get("system")
        return Request(
            document=document,
            model=text_of(document, "model"),
            stream=flag_of(document, "stream"),
            output_limit=count_of(document, "max_tokens", least=0),
            messages=len(messages) + len(tools) + (len(system) if isinstance(system, list) else 1),
            has_tools=bool(tools),
            opaque=_opaque(document),
            service_tier=document.get("service_tier"),
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
            edits["max_tokens"] = str(output_tokens).encode()
            changes.append(f"max_tokens={output_tokens}")
        body = request.document.edit(edits) if edits else request.document.source
        return Rewrite(body=body, changes=tuple(changes))

    def read(self, body: bytes, meter: Meter, /) -> None:
        """Read a plain reply."""
        page = _object(body)
        if page.get("type") != "message":
            msg = f"the provider's reply is no message: {body[:80]!r}"
            raise BrokenReply(msg, billed=True)
        _note_message(page, meter)
        meter.finished = True

    def scanner(self, request: Request, meter: Meter, /) -> MessageScanner:
        """Return a reader for a stream."""
        del request
        return MessageScanner(meter)

    def failure(self, status: int, headers: Headers, body: bytes, /) -> Failed:
        """Say what a refusal means."""
        error = error_object(body)
        details = error.get("details")
        code = details.get("error_code") if isinstance(details, dict) else None
        complaint = Complaint(
            status=status,
            headers=headers,
            body=body,
            message=quote(error, body),
            is_money=code in MONEY_CODES or error.get("type") == "billing_error",
            is_model=error.get("type") == "not_found_error",
        )
        return failure_of(complaint)

    def error_body(self, error: CallgateError, /) -> bytes:
        """Return Anthropic's error object, with ours beside it."""
        fix = error.reason.fix
        message = error.message if fix is None else f"{error.message}. What to do: {fix}"
        kind = TYPES_BY_STATUS.get(error.status, "api_error")
        page = {
            "type": "error",
            "error": {"type": kind, "message": message},
            "callgate": error.reason,
        }
        return msgspec.json.encode(page)

    def error_event(self, error: CallgateError, /) -> bytes:
        """Return the event that ends a stream with an error."""
        return b"event: error\ndata: " + self.error_body(error) + b"\n\n"


class CountTokens(AnthropicMessages):
    """``/v1/messages/count_tokens``, which costs nothing.

    Source: Anthropic's documentation of token counting ("free to use").
    """

    name = "anthropic_count_tokens"
    path = "/v1/messages/count_tokens"
    costs_output = False

    def read(self, body: bytes, meter: Meter, /) -> None:
        """Read the count."""
        if not isinstance(_object(body).get("input_tokens"), int):
            msg = f"the provider's reply is no count of tokens: {body[:80]!r}"
            raise BrokenReply(msg, billed=False)
        meter.finished = True


class MessageScanner:
    """Reads a stream while it passes."""

    __slots__ = ("_meter", "_splitter", "has_content")

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._splitter = Splitter()
        self.has_content = False

    def feed(self, chunk: bytes, /) -> bytes:
        """Take bytes from the provider; return the bytes to relay now."""
        events = self._splitter.feed(chunk)
        for event in events:
            self._look(event)
        return b"".join(events)

    def end(self) -> bytes:
        """Say that the provider closed the stream."""
        rest = self._splitter.rest
        if rest.strip():
            self._look(rest)
        if not self._meter.finished:
            msg = "the provider ended the stream before message_stop; what came is not the whole reply"
            raise broken(msg, self)
        return rest

    def _look(self, event: bytes) -> None:
        if LOOKED_AT.search(event):
            self._read(event)
        self.has_content = self.has_content or CONTENT.search(event) is not None

    def _read(self, event: bytes) -> None:
        """Note what an event says, by the type in its data: a name alone proves nothing."""
        data = data_of(event)
        if not data:
            return
        page = _object(data)
        kind = page.get("type")
        if kind == "error" or name_of(event) == b"error":
            raise self._failure(page, data)
        if kind == "message_start":
            _note_message(page.get("message") or {}, self._meter)
        elif kind == "message_delta":
            self._note_delta(page)
        elif kind == "message_stop":
            self._meter.finished = True

    def _note_delta(self, page: dict[str, Any]) -> None:
        """Counters of a delta are cumulative; one that it leaves out stands as it was."""
        meter = self._meter
        delta = page.get("delta") or {}
        meter.finish_reason = delta.get("stop_reason") or meter.finish_reason
        usage = page.get("usage")
        if isinstance(usage, dict):
            meter.usage = usage_of(usage, before=meter.usage)

    def _failure(self, page: dict[str, Any], data: bytes) -> Failed:
        error = page.get("error")
        said = quote(error if isinstance(error, dict) else {}, data)
        return broken(f"the provider broke the stream off: {said}", self)


def usage_of(usage: dict[str, Any], *, before: Usage | None = None) -> Usage:
    """Return Anthropic's counters as disjoint buckets.

    ``input_tokens`` excludes what was read from and written to a cache; ``output_tokens``
    includes thinking. Compactions are billed beside the top-level counters, and are added.

    Args:
        usage: The counters; those that are absent stand as they were.
        before: The usage so far.

    Source: anthropic-python 2.13 (``Usage``, ``MessageDeltaUsage``); ``iterations`` of its beta.
    """
    before = before or Usage()
    created = usage.get("cache_creation") or {}
    long = _count(created, "ephemeral_1h_input_tokens", before.cache_write_long_tokens)
    written_before = before.cache_write_tokens + before.cache_write_long_tokens
    written = _count(usage, "cache_creation_input_tokens", written_before)
    beside = _beside(usage)
    details = usage.get("output_tokens_details") or {}
    output = _count(usage, "output_tokens", before.total_output_tokens) + beside.output_tokens
    thinking = min(output, _count(details, "thinking_tokens", before.reasoning_tokens))
    return Usage(
        input_tokens=_count(usage, "input_tokens", before.input_tokens) + beside.input_tokens,
        cache_read_tokens=_count(usage, "cache_read_input_tokens", before.cache_read_tokens),
        cache_write_tokens=max(0, written - long),
        cache_write_long_tokens=min(long, written) if written else long,
        output_tokens=output - thinking,
        reasoning_tokens=thinking,
    )


def _beside(usage: dict[str, Any]) -> Usage:
    """Return what compactions used, which the top-level counters leave out."""
    found = [
        entry
        for entry in usage.get("iterations") or ()
        if isinstance(entry, dict) and entry.get("type") == "compaction"
    ]
    return Usage(
        input_tokens=sum(_count(entry, "input_tokens", 0) for entry in found),
        output_tokens=sum(_count(entry, "output_tokens", 0) for entry in found),
    )


def _count(counters: dict[str, Any], key: str, otherwise: int) -> int:
    value = counters.get(key)
    return max(0, int(value)) if isinstance(value, int | float) else otherwise


def _note_message(page: dict[str, Any], meter: Meter) -> None:
    meter.model = page.get("model") or meter.model
    meter.reply_id = page.get("id") or meter.reply_id
    meter.finish_reason = page.get("stop_reason") or meter.finish_reason
    usage = page.get("usage")
    if isinstance(usage, dict):
        meter.service_tier = usage.get("service_tier") or meter.service_tier
        meter.usage = usage_of(usage, before=meter.usage)


def _opaque(document: Document) -> str | None:
    """Return what in a request costs input that its bytes do not bound."""
    for field in UNBOUNDED_FIELDS:
        if document.get(field):
            return f"{field} adds to the input what its bytes do not show"
    if not any(STRANGE.search(document.raw(key)) for key in ("messages", "tools", "system")):
        return None
    for index, tool in enumerate(document.get("tools") or ()):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in {None, "custom"}:
            return f"tools[{index}] is of type {kind!r}, which the provider runs itself"
    for index, message in enumerate(document.get("messages")):
        content = message.get("content") if isinstance(message, dict) else None
        strange = _strange_part(content)
        if strange is not None:
            return f"messages[{index}] holds a part of type {strange!r}"
    strange = _strange_part(document.get("system"))
    return None if strange is None else f"system holds a part of type {strange!r}"


def _strange_part(content: object) -> object:
    """Return the type of the first part that is not plain text, also inside tool results."""
    for part in content if isinstance(content, list) else ():
        kind = part.get("type") if isinstance(part, dict) else "?"
        if kind not in PLAIN_PARTS:
            return kind
        inner = _strange_part(part.get("content"))
        if inner is not None:
            return inner
    return None


def _object(data: bytes) -> dict[str, Any]:
    try:
        page = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        msg = f"the provider's reply is not JSON ({error}): {data[:80]!r}"
        raise BrokenReply(msg, billed=True) from error
    if not isinstance(page, dict):
        msg = f"the provider's reply is no JSON object: {data[:80]!r}"
        raise BrokenReply(msg, billed=True)
    return page
