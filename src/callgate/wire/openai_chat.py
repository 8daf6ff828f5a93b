"""OpenAI Chat Completions, the format that nearly every inference server speaks."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from callgate.call import Headers, Meter, Usage
from callgate.errors import BrokenReply, CallgateError, Failed, Reason
from callgate.wire import Request, Rewrite
from callgate.wire.document import Document
from callgate.wire.failures import Complaint, broken, error_object, failure_of, quote
from callgate.wire.fields import count_of, flag_of, items_of, text_of, wrong
from callgate.wire.sse import Splitter, data_of

LIMIT_FIELDS: Final = ("max_completion_tokens", "max_tokens")
"""The newer name first: it is the one that newer models of OpenAI accept alone."""

MONEY_CODES: Final = frozenset({
    "insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached",
    "billing_not_active", "quota_exceeded",
})  # fmt: skip
"""Structured codes that mean money, never a rate; prose is never matched.

Source: OpenAI's error codes guide; ``credit_balance_exhausted`` as seen since 2026.
"""

TYPES_BY_STATUS: Final = {
    400: "invalid_request_error", 401: "authentication_error", 402: "insufficient_quota",
    403: "permission_error", 404: "not_found_error", 413: "invalid_request_error",
    429: "rate_limit_error",
}  # fmt: skip

PLAIN_PARTS: Final = frozenset({"text", "refusal"})
"""Parts of a message whose tokens are bounded by their bytes."""

UNBOUNDED_FIELDS: Final = ("web_search_options", "prompt", "audio", "prediction", "conversation")
"""Top-level fields that add input, or cost, which is not in the request's bytes."""

HINTS: Final = re.compile(rb'"(?:type|file_id|image_url|input_audio)"|\\u')
"""Messages without any of these have no parts at all; an escape could spell each of them."""

NULL_USAGE: Final = re.compile(rb',\s*"usage"\s*:\s*null|"usage"\s*:\s*null\s*,\s*')
LOOKED_AT: Final = re.compile(rb'"usage"|"error"|"finish_reason"\s*:\s*"|\[DONE\]')
"""What makes an event worth decoding; the rest of a stream is passed on unread."""


class OpenAIChat:
    """``/chat/completions``."""

    name = "openai_chat"
    api = "openai"
    path = "/chat/completions"
    costs_output = True

    def parse(self, body: bytes, /) -> Request:
        """Read a request."""
        document = Document.parse(body)
        messages = items_of(document, "messages", needed=True)
        tools = items_of(document, "tools")
        options = document.get("stream_options")
        if options is not None and not isinstance(options, dict):
            field = "stream_options"
            raise wrong(field, "an object", options)
        limits = [count_of(document, field, least=0) for field in LIMIT_FIELDS]
        named = [limit for limit in limits if limit is not None]
        return Request(
            document=document,
            model=text_of(document, "model"),
            stream=flag_of(document, "stream"),
            output_limit=max(named) if named else None,
            choices=count_of(document, "n", least=1) or 1,
            messages=len(messages) + len(tools),
            has_tools=bool(tools) or "functions" in document.values,
            opaque=_opaque(document),
            wants_usage=bool((options or {}).get("include_usage")),
            service_tier=document.get("service_tier"),
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
            field = limit_field or LIMIT_FIELDS[0]
            edits[field] = str(output_tokens).encode()
            changes.append(f"{field}={output_tokens}")
        if request.stream and not request.wants_usage:
            edits["stream_options"] = _with_usage(request.document)
            changes.append("stream_options.include_usage=true")
        body = request.document.edit(edits) if edits else request.document.source
        return Rewrite(body=body, changes=tuple(changes))

    def read(self, body: bytes, meter: Meter, /) -> None:
        """Read a plain reply."""
        page = _object(body)
        choices = page.get("choices")
        if not isinstance(choices, list):
            msg = f"the provider's reply is no chat completion: {body[:80]!r}"
            raise BrokenReply(msg, billed=True)
        _note(page, meter)
        meter.finished = True

    def scanner(self, request: Request, meter: Meter, /) -> ChatScanner:
        """Return a reader for a stream."""
        return ChatScanner(meter, hide_usage=not request.wants_usage)

    def failure(self, status: int, headers: Headers, body: bytes, /) -> Failed:
        """Say what a refusal means."""
        error = error_object(body)
        codes = {str(error.get("code")), str(error.get("type"))}
        complaint = Complaint(
            status=status,
            headers=headers,
            body=body,
            message=quote(error, body),
            is_money=bool(codes & MONEY_CODES),
            is_model=bool(codes & {"model_not_found", "not_found_error"})
            or error.get("param") == "model",
        )
        return failure_of(complaint)

    def error_body(self, error: CallgateError, /) -> bytes:
        """Return OpenAI's error object, with ours beside it."""
        return msgspec.json.encode({"error": _error(error), "callgate": error.reason})

    def error_event(self, error: CallgateError, /) -> bytes:
        """Return the event that ends a stream with an error."""
        return b"data: " + self.error_body(error) + b"\n\n"


class ChatScanner:
    """Reads a stream while it passes."""

    __slots__ = ("_done", "_hide_usage", "_meter", "_splitter", "has_content")

    def __init__(self, meter: Meter, *, hide_usage: bool) -> None:
        self._meter = meter
        self._hide_usage = hide_usage
        self._splitter = Splitter()
        self._done = False
        self.has_content = False

    def feed(self, chunk: bytes, /) -> bytes:
        """Take bytes from the provider; return the bytes to relay now."""
        events = self._splitter.feed(chunk)
        if not self._hide_usage:
            for event in events:
                self._look(event)
            return b"".join(events)
        return b"".join([self._pass(event) for event in events])

    def end(self) -> bytes:
        """Say that the provider closed the stream."""
        rest = self._splitter.rest
        if rest.strip():
            # Some servers leave out the last blank line; an event that cannot be read is cut.
            self._look(rest)
        if not self._done:
            msg = "the provider ended the stream before [DONE]; what came is not the whole reply"
            raise broken(msg, self)
        self._meter.finished = True
        return rest

    def _pass(self, event: bytes) -> bytes:
        """Return an event as it would have come had the gate not asked for usage."""
        if self._look(event):
            return b""
        return NULL_USAGE.sub(b"", event, count=1) if b'"usage"' in event else event

    def _look(self, event: bytes) -> bool:
        """Note what an event says; return whether it only tells usage."""
        if not LOOKED_AT.search(event):
            # An unread event is content unless it is the opening one, which has the role only.
            self.has_content = self.has_content or _has_content(event)
            return False
        data = data_of(event)
        if data == b"[DONE]":
            self._done = self._meter.finished = self.has_content = True
            return False
        if not data:
            return False
        page = _object(data)
        if page.get("error") is not None:
            raise self._error(page, data)
        _note(page, self._meter)
        choices = page.get("choices") or []
        self.has_content = self.has_content or _any_content(choices)
        return not choices and page.get("usage") is not None

    def _error(self, page: dict[str, Any], data: bytes) -> Failed:
        error = (
            page["error"] if isinstance(page["error"], dict) else {"message": str(page["error"])}
        )
        return broken(f"the provider broke the stream off: {quote(error, data)}", self)


def _opaque(document: Document) -> str | None:
    """Return what in a request costs input that its bytes do not bound."""
    for field in UNBOUNDED_FIELDS:
        if document.get(field) is not None:
            return f"{field} adds to the input what its bytes do not show"
    if not HINTS.search(document.raw("messages")):
        return None
    for index, message in enumerate(document.get("messages")):
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            kind = part.get("type") if isinstance(part, dict) else None
            if kind not in PLAIN_PARTS:
                return f"messages[{index}] holds a part of type {kind!r}"
    return None


def _with_usage(document: Document) -> bytes:
    options = document.get("stream_options") or {}
    return msgspec.json.encode({**options, "include_usage": True})


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


def _note(page: dict[str, Any], meter: Meter) -> None:
    """Keep what a reply or an event tells; the latest usage stands, it is never added up."""
    meter.model = page.get("model") or meter.model
    meter.reply_id = page.get("id") or meter.reply_id
    meter.service_tier = page.get("service_tier") or meter.service_tier
    for choice in page.get("choices") or ():
        meter.finish_reason = choice.get("finish_reason") or meter.finish_reason
    usage = page.get("usage")
    if isinstance(usage, dict):
        meter.usage = usage_of(usage)


def usage_of(usage: dict[str, Any]) -> Usage:
    """Return OpenAI's counters as disjoint buckets.

    ``prompt_tokens`` includes what was read from and written to a cache, ``completion_tokens``
    includes reasoning. Details that add up to more than their total are cut to it, so that the
    sum of the buckets is the total that is billed.

    Source: OpenAI's API types (``CompletionUsage``) of openai-python 3.57.
    """
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    details = usage.get("prompt_tokens_details") or {}
    read = min(prompt, _count(details, "cached_tokens"))
    written = min(prompt - read, _count(details, "cache_write_tokens"))
    reasoning = min(
        completion, _count(usage.get("completion_tokens_details") or {}, "reasoning_tokens")
    )
    return Usage(
        input_tokens=prompt - read - written,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=completion - reasoning,
        reasoning_tokens=reasoning,
    )


def _count(counters: dict[str, Any], key: str) -> int:
    value = counters.get(key)
    return max(0, int(value)) if isinstance(value, int | float) else 0


def _has_content(event: bytes) -> bool:
    """Whether an event carries more than the opening role."""
    data = data_of(event)
    if not data:
        return False
    choices = _object(data).get("choices") or []
    return _any_content(choices)


def _any_content(choices: list[Any]) -> bool:
    for choice in choices:
        delta = choice.get("delta") or {}
        if choice.get("finish_reason") or any(
            value for key, value in delta.items() if key != "role"
        ):
            return True
    return False


def _error(error: CallgateError) -> dict[str, object]:
    reason: Reason = error.reason
    message = error.message if reason.fix is None else f"{error.message}. {_sentence(reason.fix)}"
    kind = TYPES_BY_STATUS.get(error.status, "api_error")
    return {"message": message, "type": kind, "param": None, "code": reason.code}


def _sentence(fix: str) -> str:
    return f"What to do: {fix}"
