"""Anthropic Messages, and its counter of tokens."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import msgspec

from callgate.call import Headers, Meter, Usage
from callgate.errors import BrokenReply, CallgateError, Failed
from callgate.wire import Request, Rewrite
from callgate.wire.document import Document
from callgate.wire.failures import (
    JSON_HEADERS,
    Complaint,
    error_object,
    failure_of,
    own_words,
    quote,
    sentence_of,
)
from callgate.wire.fields import (
    PARTS,
    Part,
    Sight,
    count_of,
    flag_of,
    items_of,
    strange_part,
    strange_tool,
    text_of,
    unbounded_field,
)
from callgate.wire.images import size_of_source_part
from callgate.wire.replies import count, member, object_of, objects, text, unreadable
from callgate.wire.scanner import EventScanner
from callgate.wire.sse import data_of, name_of

MONEY_CODES: Final = frozenset({
    "contract_spend_limit_reached", "enforced_spend_limit_reached",
    "linked_organization_spend_limit_reached", "linked_organization_billing_unavailable",
})  # fmt: skip
"""``error.details.error_code`` values that mean money, never a rate.

Source: anthropic-python 2.13, ``types/shared/error_details.py``.
"""

TYPES_BY_STATUS: Final = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error",
    403: "permission_error", 404: "not_found_error", 413: "request_too_large",
    429: "rate_limit_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip
"""Source: Anthropic's documentation of errors; anthropic-python 2.13, ``ErrorType``."""

STATUS_BY_TYPE: Final = {kind: status for status, kind in TYPES_BY_STATUS.items()}
"""The status that an error inside a stream would have had as a plain answer."""

PLAIN_PARTS: Final = frozenset({
    "text", "tool_use", "tool_result", "thinking", "redacted_thinking",
})  # fmt: skip
"""Parts of a message whose tokens are bounded by their bytes."""

IMAGE: Final = "image"

PLAIN_TOOLS: Final = frozenset({None, "custom"})
"""Tools that the agent runs and describes itself; every other kind adds input of its own.

Source: anthropic-python 2.13, ``ToolParam.type``, which may be left out.
"""

COUNTED_TOOLS: Final = PLAIN_TOOLS | {
    "bash_20250124", "computer_toolset_20260801", "memory_20250818", "text_editor_20250124",
    "text_editor_20250429", "text_editor_20250728",
}  # fmt: skip
"""Tools that the agent runs, and the provider describes: a count covers what that takes.

Source: anthropic-python 2.13, ``MessageCountTokensToolParam`` without what the provider runs.
"""

COUNTED_FIELDS: Final = (
    "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control",
    "speed",
)  # fmt: skip
"""What counting tokens takes of a request.

Source: anthropic-python 2.13, ``MessageCountTokensParams``.
"""

UNBOUNDED_FIELDS: Final = (
    "mcp_servers", "container", "context_management", "compaction", "fallbacks", "thread",
)  # fmt: skip
"""Top-level fields that add input, or cost, which is not in the request's bytes.

Source: anthropic-python 2.13 (``MessageCreateParams``, stable and beta).
"""

COUNTED_ABOVE: Final = frozenset({"message", "fallback_message"})
"""Iterations whose tokens the top-level counters may hold already.

Source: anthropic-python 2.13, ``BetaUsage.iterations``.
"""

BUCKETS: Final = (
    "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens",
)  # fmt: skip

FREE_TOOLS: Final = frozenset({"web_fetch_requests"})
"""Tools of the provider's own that cost nothing but tokens.

Source: Anthropic's documentation of the web fetch tool ("no additional cost").
"""

OF_THE_MODEL: Final = frozenset({"message", "compaction"})
"""Iterations by the model itself; an advisor, and a model to fall back to, have prices of their own.

Source: anthropic-python 2.13, ``BetaUsage.iterations``.
"""

PLAIN_TIERS: Final = frozenset({None, "standard", "standard_only", "auto", "priority"})
"""Service tiers that cost what the list says, or were paid for beforehand."""

ANYWHERE: Final = frozenset({None, "", "global", "not_available"})
"""What a usage says of the place of a request that could be served anywhere.

Source: Anthropic's documentation of data residency.
"""

FAST: Final = "fast"
"""The speed that costs more: a service tier like any other, but for its field.

Source: anthropic-python 2.13 (``MessageCreateParams.speed``, ``Usage.speed``).
"""

CONTENT: Final = re.compile(rb'"type"\s*:\s*"(?:content_block_delta|message_delta|message_stop)"')


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """As much of a message as tells whether its bytes bound its tokens."""

    content: msgspec.Raw = msgspec.Raw()


class Page(msgspec.Struct, kw_only=True):
    """As much of a plain reply as the gate must know."""

    type: Any = None
    id: Any = None
    model: Any = None
    stop_reason: Any = None
    usage: Any = None


_MESSAGES: Final = msgspec.json.Decoder(list[Message])
_PAGE: Final = msgspec.json.Decoder(Page)


class AnthropicMessages:
    """``/v1/messages``."""

    name = "anthropic_messages"
    api = "anthropic"
    costs_output = True

    def path(self, *, model: str, stream: bool) -> str:
        """Return where a provider serves it."""
        del model, stream
        return "/v1/messages"

    def parse(self, body: bytes, /, *, model: str = "", stream: bool = False) -> Request:
        """Read a request."""
        del model, stream
        document = Document.parse(body)
        messages = items_of(document, "messages", _MESSAGES, needed=True)
        tools = items_of(document, "tools", PARTS)
        sight = Sight(size_of=size_of_source_part)
        opaque = _opaque(document, messages, tools, sight)
        return Request(
            document=document,
            model=text_of(document, "model"),
            stream=flag_of(document, "stream"),
            output_limit=count_of(document, "max_tokens", least=0),
            messages=len(messages) + len(tools) + _system_parts(document),
            has_tools=bool(tools),
            opaque=opaque,
            image_sizes=tuple(sight.image_sizes),
            image_bytes=sight.image_bytes,
            service_tier=_tier(document.get),
            charged=_charged(document, tools),
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
        try:
            page = msgspec.structs.asdict(_PAGE.decode(body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            page = object_of(body)
        if page.get("type") != "message":
            if page.get("type") == "error":
                raise failure_of(_complaint_in(body))
            problem = "is no message"
            raise unreadable(problem, body)
        _note_message(page, meter)
        usage = member(page, "usage")
        meter.usage, meter.unpriced = usage_of(usage), unpriced_in(usage)
        meter.finished = True

    def scanner(self, request: Request, meter: Meter, /) -> MessageScanner:
        """Return a reader for a stream."""
        del request
        return MessageScanner(meter)

    def failure(self, status: int, headers: Headers, body: bytes, /) -> Failed:
        """Say what a refusal means."""
        return failure_of(_complaint(status, headers, body))

    def error_body(self, error: CallgateError, /) -> bytes:
        """Return Anthropic's error object, with ours beside it."""
        kind = TYPES_BY_STATUS.get(error.status, "api_error")
        page = {
            "type": "error",
            "error": {"type": kind, "message": sentence_of(error)},
            "callgate": error.reason,
        }
        return msgspec.json.encode(page)

    def error_event(self, error: CallgateError, /) -> bytes:
        """Return the event that ends a stream; the provider's own words where it had any."""
        words = own_words(error)
        body = (
            self.error_body(error)
            if words is None
            else msgspec.json.encode({"type": "error", **words, "callgate": error.reason})
        )
        return b"event: error\ndata: " + body + b"\n\n"


class CountTokens(AnthropicMessages):
    """``/v1/messages/count_tokens``, which costs nothing.

    Source: Anthropic's documentation of token counting ("free to use").
    """

    name = "anthropic_count_tokens"
    costs_output = False

    def path(self, *, model: str, stream: bool) -> str:
        """Return where a provider serves it."""
        del model, stream
        return "/v1/messages/count_tokens"

    def parse(self, body: bytes, /, *, model: str = "", stream: bool = False) -> Request:
        """Read a request; nothing in it has to be bounded, as nothing is paid for."""
        del model, stream
        document = Document.parse(body)
        return Request(
            document=document,
            model=text_of(document, "model"),
            stream=False,
            output_limit=None,
            messages=len(items_of(document, "messages", _MESSAGES, needed=True)),
            has_tools=bool(items_of(document, "tools", PARTS)),
        )

    def asking(self, request: Request, /, *, model: str) -> bytes:
        """Return the request that asks what a request of Messages has."""
        values = request.document.values
        taken = {field: values[field] for field in COUNTED_FIELDS if field in values}
        return msgspec.json.encode({"model": model, **taken})

    def read(self, body: bytes, meter: Meter, /) -> None:
        """Read the count."""
        meter.counted_tokens = count(object_of(body), "input_tokens")
        if meter.counted_tokens is None:
            problem = "is no count of tokens"
            raise unreadable(problem, body)
        meter.finished = True


def uncountable(request: Request) -> str | None:
    """Return what in a request costs input that no count covers; None if one covers all of it.

    Source: Anthropic's guide "Token counting": tools that the provider runs and other servers' are
    not counted; images, documents and the descriptions of tools are.
    """
    document = request.document
    tools = items_of(document, "tools", PARTS)
    return unbounded_field(document, UNBOUNDED_FIELDS) or strange_tool(tools, COUNTED_TOOLS)


class MessageScanner(EventScanner):
    """Reads a stream while it passes."""

    __slots__ = ("_begun", "_counted_output", "_counters")

    end_event = "message_stop"

    def __init__(self, meter: Meter) -> None:
        super().__init__(meter)
        self._counters: dict[str, Any] = {}
        self._counted_output = False
        self._begun: set[str] = set()
        """The blocks that have begun, by their index."""

    def _read(self, event: bytes) -> bytes:
        """Note what an event says, by the type in its data: a name alone proves nothing.

        An event without a name gets it, as the official SDK passes over what has none.
        """
        if not self.has_content:
            self.has_content = CONTENT.search(event) is not None
        if _tells(event):
            data = data_of(event)
            if data:
                self._look(object_of(data), event, data)
        return event if event.startswith(b"event:") else _named(event)

    def _look(self, page: dict[str, Any], event: bytes, data: bytes) -> None:
        kind = page.get("type")
        if kind == "error" or name_of(event) == b"error" or (kind is None and page.get("error")):
            raise failure_of(_complaint_in(data))
        if kind == "content_block_start":
            self._begin(page.get("index"))
        elif kind == "message_start":
            message = member(page, "message")
            _note_message(message, self._meter)
            self._count(message)
        elif kind == "message_delta":
            self._meter.finish_reason = (
                text(member(page, "delta"), "stop_reason") or self._meter.finish_reason
            )
            self._count(page)
            told = count(member(page, "usage"), "output_tokens")
            self._counted_output = self._counted_output or told is not None
        elif kind == "message_stop":
            self._stop()

    def _begin(self, index: object) -> None:
        """Note that a block begins.

        Raises:
            BrokenReply: There was one of that index; whoever puts blocks together by it would give
                the words and arguments of this one to that one.
        """
        key = str(index)
        if key in self._begun:
            msg = f"the provider's stream has two blocks of index {key[:20]}"
            raise BrokenReply(msg, billed=True)
        self._begun.add(key)

    def _count(self, page: dict[str, Any]) -> None:
        """Keep the latest counters: they are cumulative, and one that is left out or 0 stands."""
        usage = member(page, "usage")
        self._counters.update({key: value for key, value in usage.items() if value})
        self._meter.usage = usage_of(self._counters)
        self._meter.unpriced = unpriced_in(self._counters)
        self._meter.service_tier = _told_tier(self._counters) or self._meter.service_tier

    def _stop(self) -> None:
        if not self._counted_output:
            # What message_start counts as output is a beginning; the whole is unknown.
            self._meter.usage = None
        self._meter.finished = True


def usage_of(usage: dict[str, Any]) -> Usage | None:
    """Return Anthropic's counters as disjoint buckets; None where they count no output.

    ``input_tokens`` excludes what was read from and written to a cache; ``output_tokens``
    includes thinking. The top-level counters leave out what compactions and advisors used, which
    is added; of the iterations that they may hold, the larger of both sums stands.

    Source: anthropic-python 2.13 (``Usage``, ``MessageDeltaUsage``, ``BetaUsage.iterations``).
    """
    if count(usage, "output_tokens") is None:
        return None
    iterations = objects(usage.get("iterations"))
    within = [each for each in iterations if text(each, "type") in COUNTED_ABOVE]
    beside = [each for each in iterations if text(each, "type") not in COUNTED_ABOVE]
    total = {
        key: max(count(usage, key) or 0, _sum(within, key)) + _sum(beside, key) for key in BUCKETS
    }
    long, written = _written(usage, beside, total["cache_creation_input_tokens"])
    thinking = count(member(usage, "output_tokens_details"), "thinking_tokens") or 0
    thinking = min(thinking, total["output_tokens"])
    return Usage(
        input_tokens=total["input_tokens"],
        cache_read_tokens=total["cache_read_input_tokens"],
        cache_write_tokens=written - long,
        cache_write_long_tokens=long,
        output_tokens=total["output_tokens"] - thinking,
        reasoning_tokens=thinking,
    )


def unpriced_in(usage: dict[str, Any]) -> str | None:
    """Return what a message has used that no price of its model covers.

    Source: anthropic-python 2.13 (``ServerToolUsage``, ``BetaUsage``).
    """
    used = member(usage, "server_tool_use")
    tool = next((name for name, times in used.items() if times and name not in FREE_TOOLS), None)
    if tool is not None:
        return tool
    kinds = (str(each.get("type")) for each in objects(usage.get("iterations")))
    other = next((kind for kind in kinds if kind not in OF_THE_MODEL), None)
    if other is not None:
        return f"another model's tokens ({other})"
    credit = text(member(member(usage, "fallback_credit"), "status"), "type")
    return "fallback_credit" if credit not in {None, "not_applied"} else None


def _tier(field: Callable[[str], object]) -> object:
    """Return the service tier that fields of a request or of a usage name, with its place.

    Args:
        field: Returns what a field says.
    """
    tier = FAST if field("speed") == FAST else field("service_tier")
    place = field("inference_geo")
    if not isinstance(place, str) or place in ANYWHERE:
        return tier
    plain = not isinstance(tier, str) or tier in PLAIN_TIERS
    return place if plain else f"{tier} {place}"


def _told_tier(usage: dict[str, Any]) -> str | None:
    tier = _tier(usage.get)
    return tier if isinstance(tier, str) and tier else None


def _charged(document: Document, tools: list[Part]) -> str | None:
    """Return what in a request the provider charges by the time that it runs, which no usage tells.

    Source: Anthropic's documentation of the code execution tool.
    """
    runs = any(str(tool.type).startswith("code_execution") for tool in tools)
    return "code_execution" if runs or document.get("container") else None


def _written(usage: dict[str, Any], beside: Iterable[dict[str, Any]], told: int) -> tuple[int, int]:
    """Return what was written to a cache for an hour, and altogether.

    The two lifetimes are told apart in an object of their own. What it does not cover is taken
    for the hour's, the dearer one, as soon as the hour's is used at all.
    """
    split = [member(each, "cache_creation") for each in (usage, *beside)]
    long = _sum(split, "ephemeral_1h_input_tokens")
    short = _sum(split, "ephemeral_5m_input_tokens")
    written = max(told, long + short)
    return (written - short if long else 0), written


def _sum(counters: Iterable[dict[str, Any]], key: str) -> int:
    return sum(count(each, key) or 0 for each in counters)


def _note_message(page: dict[str, Any], meter: Meter) -> None:
    meter.model = text(page, "model") or meter.model
    meter.reply_id = text(page, "id") or meter.reply_id
    meter.finish_reason = text(page, "stop_reason") or meter.finish_reason
    meter.service_tier = _told_tier(member(page, "usage")) or meter.service_tier


def _tells(event: bytes) -> bool:
    """Whether an event must be read; a quotation mark inside a text is escaped."""
    return (
        b'"message_' in event
        or b'"error"' in event
        or b'"content_block_start"' in event
        or event.startswith(b"event: error")
    )


def _named(event: bytes) -> bytes:
    """Return an event with its name: the type of its data, where it says none itself."""
    data = b"" if name_of(event) else data_of(event)
    kind = text(object_of(data), "type") if data.startswith(b"{") else None
    # Nothing that stands in the data can begin a line of its own.
    is_name = (kind or "").isidentifier()
    return b"event: %b\n%b" % (str(kind).encode(), event) if is_name else event


def _system_parts(document: Document) -> int:
    parts = document.get("system")
    return len(cast("list[object]", parts)) if isinstance(parts, list) else 1


def _opaque(
    document: Document, messages: list[Message], tools: list[Part], sight: Sight
) -> str | None:
    """Return what in a request costs input that neither its bytes nor its images bound."""
    strange = unbounded_field(document, UNBOUNDED_FIELDS) or strange_tool(tools, PLAIN_TOOLS)
    if strange is not None:
        return strange
    for index, message in enumerate(messages):
        strange = strange_part(message.content, PLAIN_PARTS, IMAGE, sight)
        if strange is not None:
            return f"messages[{index}] holds {strange}"
    system = document.values.get("system", msgspec.Raw())
    strange = strange_part(system, PLAIN_PARTS, IMAGE, sight)
    return None if strange is None else f"system holds {strange}"


def _complaint(status: int, headers: Headers, body: bytes, *, began: bool = False) -> Complaint:
    error = error_object(body)
    code = text(member(error, "details"), "error_code")
    return Complaint(
        status=status,
        headers=headers,
        body=body,
        message=quote(error, body),
        is_money=code in MONEY_CODES or error.get("type") == "billing_error",
        is_model=error.get("type") == "not_found_error",
        began=began,
    )


def _complaint_in(data: bytes) -> Complaint:
    """Read an error that came with a status of 200, by the status that its type stands for."""
    status = STATUS_BY_TYPE.get(str(error_object(data).get("type")), 500)
    return _complaint(status, JSON_HEADERS, data, began=True)
