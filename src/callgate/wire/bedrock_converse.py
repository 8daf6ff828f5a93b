"""Amazon Bedrock's Converse, which the gate speaks to Bedrock and to nobody else.

Source, unless another is named: botocore 1.44, ``bedrock-runtime/2023-09-30/service-2.json``.
"""

from __future__ import annotations

import string
from typing import Any, Final

import msgspec

from callgate.call import Headers, Meter, Usage
from callgate.errors import Failed
from callgate.wire import Request, Rewrite
from callgate.wire.document import Document
from callgate.wire.event_stream import Frames, Message, read_message
from callgate.wire.failures import JSON_HEADERS, Complaint, failure_of, quote
from callgate.wire.fields import Sight, count_of, items_of, unbounded_field
from callgate.wire.images import size_of
from callgate.wire.replies import count, member, object_of, objects, text, unreadable
from callgate.wire.scanner import EventScanner

STATUS_BY_CODE: Final = {
    "accessdeniedexception": 403,
    "internalserverexception": 500,
    "modelerrorexception": 424,
    "modelnotreadyexception": 429,
    "modelstreamerrorexception": 424,
    "modeltimeoutexception": 408,
    "resourcenotfoundexception": 404,
    "servicequotaexceededexception": 400,
    "serviceunavailableexception": 503,
    "throttlingexception": 429,
    "validationexception": 400,
}
"""The status that an exception has as a plain answer; inside a stream there is none."""

COUNTS_AS: Final = {
    # "Your request exceeds the service quota … You can resubmit your request later."
    "servicequotaexceededexception": 429,
    # Not a throttle by its own definition: the model is still being loaded.
    "modelnotreadyexception": 503,
    "modelerrorexception": 500,
    "modelstreamerrorexception": 500,
}
"""What a code stands for where its status says something else."""

KEY_CODES: Final = frozenset({
    "expiredtokenexception", "incompletesignatureexception", "invalidclienttokenid",
    "invalidsignatureexception", "missingauthenticationtokenexception",
    "unrecognizedclientexception",
})  # fmt: skip
"""Codes of a 403 that reject the credential itself, and not what it may use.

Source: AWS's reference "Common Errors", of what every service of AWS answers.
"""

ORIGINAL: Final = frozenset({"modelerrorexception", "modelstreamerrorexception"})
"""Codes beside which ``originalStatusCode`` tells what the model itself answered."""

UNBOUNDED_FIELDS: Final = ("guardrailConfig", "promptVariables", "projectIdentifier")
"""Fields that add input, or cost, which is not in the request's bytes."""

TEXT_KINDS: Final = frozenset({"text", "toolUse", "toolResult", "reasoningContent", "cachePoint"})
"""Parts of a message whose tokens are bounded by their bytes."""

STANDARD_TIERS: Final = frozenset({"default"})
"""Service tiers that cost what the list says."""

CONTENT_EVENTS: Final = frozenset({"contentBlockStart", "contentBlockDelta", "messageStop"})

LONG_TTL: Final = "1h"

OF_THE_REQUEST: Final = frozenset({400, 413, 422, 429})
"""Statuses of a model behind Bedrock that tell of the request or its rate, not of the model."""

UNRESERVED: Final = frozenset((string.ascii_letters + string.digits + "-._~").encode())
"""What stands in a path as it is. Source: RFC 3986 §2.3."""

_ITEMS: Final = msgspec.json.Decoder(list[dict[str, Any]])


class BedrockConverse:
    """``/model/{modelId}/converse`` and ``/converse-stream``."""

    name = "bedrock_converse"
    api = "bedrock"
    costs_output = True

    def path(self, *, model: str, stream: bool) -> str:
        """Return where a model is; an id may be an ARN, whose slashes and colons are escaped."""
        action = "converse-stream" if stream else "converse"
        return f"/model/{_escaped(model)}/{action}"

    def parse(self, body: bytes, /, *, model: str = "", stream: bool = False) -> Request:
        """Read a request; model and stream are in its path."""
        document = Document.parse(body)
        messages = items_of(document, "messages", _ITEMS, needed=True)
        tools = objects(_member(document, "toolConfig").get("tools"))
        sight = Sight(size_of=size_of)
        opaque = _opaque(document, messages, tools, sight)
        return Request(
            document=document,
            model=model,
            stream=stream,
            output_limit=_limit(document),
            messages=len(messages) + len(tools) + len(objects(document.get("system"))),
            has_tools=bool(tools),
            opaque=opaque,
            image_sizes=tuple(sight.image_sizes),
            image_bytes=sight.image_bytes,
            service_tier=_tier(_member(document, "serviceTier")),
            charged="guardrails" if document.get("guardrailConfig") else None,
        )

    def rewrite(
        self, request: Request, /, *, model: str, output_tokens: int | None, limit_field: str | None
    ) -> Rewrite:
        """Return the request as it leaves; the limit stands in an object of its own."""
        del model, limit_field
        if output_tokens is None:
            return Rewrite(body=request.document.source, changes=())
        limit = str(output_tokens).encode()
        config = request.document.raw("inferenceConfig")
        inner = Document.parse(config).edit({"maxTokens": limit}) if config else None
        edited = inner or b'{"maxTokens":%b}' % limit
        return Rewrite(
            body=request.document.edit({"inferenceConfig": edited}),
            changes=(f"inferenceConfig.maxTokens={output_tokens}",),
        )

    def read(self, body: bytes, meter: Meter, /) -> None:
        """Read a plain reply."""
        page = object_of(body)
        if not isinstance(member(page, "output").get("message"), dict):
            problem = "is no message"
            raise unreadable(problem, body)
        meter.finish_reason = text(page, "stopReason")
        _note(page, meter)
        meter.finished = True

    def scanner(self, request: Request, meter: Meter, /) -> ConverseScanner:
        """Return a reader for a stream."""
        del request
        return ConverseScanner(meter)

    def failure(self, status: int, headers: Headers, body: bytes, /) -> Failed:
        """Say what a refusal means."""
        return failure_of(_complaint(status, headers, body, code=_code(headers, body)))


class ConverseScanner(EventScanner):
    """Reads a stream while it passes.

    Its content ends with ``messageStop``; the usage comes after it, in ``metadata``.
    """

    __slots__ = ()

    end_event = "messageStop"

    def __init__(self, meter: Meter) -> None:
        super().__init__(meter, Frames())

    def _read(self, event: bytes) -> bytes:
        """Note what a message says."""
        message = read_message(event)
        raise_told(message)
        kind = message.text(":event-type")
        if kind == "messageStop":
            self._meter.finish_reason = text(object_of(message.payload), "stopReason")
            self._meter.finished = True
        elif kind == "metadata":
            _note(object_of(message.payload), self._meter)
        self.has_content = self.has_content or kind in CONTENT_EVENTS
        return event


def raise_told(message: Message) -> None:
    """Raise the failure that a message of a stream tells, if it tells one.

    Raises:
        Failed: It is an exception, or an error that the service has no name for.
    """
    kind = message.text(":message-type")
    if kind == "exception":
        code = message.text(":exception-type")
        status = STATUS_BY_CODE.get(code.lower(), 500)
        raise failure_of(
            _complaint(status, JSON_HEADERS, message.payload, code=code.lower(), began=True)
        )
    if kind == "error":
        said = {"message": message.text(":error-message") or message.text(":error-code")}
        body = msgspec.json.encode(said)
        raise failure_of(_complaint(500, JSON_HEADERS, body, code="", began=True))


def usage_of(usage: dict[str, Any]) -> Usage | None:
    """Return Bedrock's counters as disjoint buckets; None where they count nothing.

    ``inputTokens`` is what no cache has to do with: all three together are the input. Thinking is
    among ``outputTokens``, and nothing tells how much of them it is.

    Source: AWS's guide to prompt caching on Bedrock.
    """
    plain, output = count(usage, "inputTokens"), count(usage, "outputTokens")
    if plain is None and output is None:
        return None
    kept = objects(usage.get("cacheDetails"))
    long = sum(count(each, "inputTokens") or 0 for each in kept if each.get("ttl") == LONG_TTL)
    written = max(count(usage, "cacheWriteInputTokens") or 0, long)
    return Usage(
        input_tokens=plain or 0,
        cache_read_tokens=count(usage, "cacheReadInputTokens") or 0,
        cache_write_tokens=written - long,
        cache_write_long_tokens=long,
        output_tokens=output or 0,
    )


def told_tier(page: dict[str, Any]) -> str | None:
    """Return how a request was served, as its reply says it."""
    return _tier(member(page, "serviceTier"))


def _note(page: dict[str, Any], meter: Meter) -> None:
    meter.usage = usage_of(member(page, "usage"))
    meter.service_tier = told_tier(page) or meter.service_tier
    if member(page, "trace").get("guardrail"):
        meter.unpriced = "guardrails"
    if text(member(page, "performanceConfig"), "latency") == "optimized":
        meter.service_tier = "optimized"


def _escaped(model: str) -> str:
    return "".join(chr(byte) if byte in UNRESERVED else f"%{byte:02X}" for byte in model.encode())


def _tier(tier: dict[str, Any]) -> str | None:
    kind = text(tier, "type")
    return None if kind in STANDARD_TIERS else kind


def _member(document: Document, key: str) -> dict[str, Any]:
    value: object = document.get(key)
    return member({key: value}, key)


def _limit(document: Document) -> int | None:
    config = document.raw("inferenceConfig")
    return count_of(Document.parse(config), "maxTokens", least=1) if config else None


def _opaque(
    document: Document,
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]],
    sight: Sight,
) -> str | None:
    """Return what in a request costs input that neither its bytes nor its images bound."""
    strange = unbounded_field(document, UNBOUNDED_FIELDS)
    if strange is not None:
        return strange
    if any("systemTool" in tool for tool in tools):
        return "toolConfig names a tool that the provider runs"
    for n, message in enumerate(messages):
        strange = _strange_block(message.get("content"), sight)
        if strange is not None:
            return f"messages[{n}] holds {strange}"
    return None


def _strange_block(content: object, sight: Sight) -> str | None:
    for block in objects(content):
        kind = next(iter(block), "nothing")
        if kind == "image":
            _look(member(block, "image"), sight)
        elif kind not in TEXT_KINDS and not _is_plain_text(block):
            return f"a part of type {kind!r}"
        within = _strange_block(member(block, "toolResult").get("content"), sight)
        if within is not None:
            return within
    return None


def _look(image: dict[str, Any], sight: Sight) -> None:
    data = text(member(image, "source"), "bytes")
    sight.image_sizes.append(None if data is None else sight.size_of(data.encode()))
    sight.image_bytes += len(data or "")


def _is_plain_text(block: dict[str, Any]) -> bool:
    """Whether a block is a document that holds words, not pages."""
    return "json" in block or "text" in member(member(block, "document"), "source")


def _code(headers: Headers, body: bytes) -> str:
    """Return an error's code, wherever it stands, in lower case.

    Source: botocore 1.44, ``RestJSONParser._inject_error_code``: ``x-amzn-errortype`` with a URL
    behind a colon, else ``code`` or ``__type`` with a namespace before ``#``.
    """
    told = next((value for name, value in headers if name == "x-amzn-errortype"), None)
    if told is None:
        page = _page(body)
        told = text(page, "code") or text(page, "__type") or ""
    return told.partition(":")[0].rpartition("#")[2].strip().lower()


def _page(body: bytes) -> dict[str, Any]:
    try:
        return object_of(body)
    except Failed:
        return {}


def _complaint(
    status: int, headers: Headers, body: bytes, *, code: str, began: bool = False
) -> Complaint:
    page = _page(body)
    said = page.get("message") or page.get("Message") or page.get("originalMessage")
    counts_as = COUNTS_AS.get(code)
    original = count(page, "originalStatusCode")
    if original in OF_THE_REQUEST and code in ORIGINAL:
        counts_as = original
    return Complaint(
        status=status,
        headers=headers,
        body=body,
        message=quote({"message": said} if said else {}, body),
        is_money=False,
        is_model=code == "resourcenotfoundexception",
        is_key=code in KEY_CODES,
        began=began,
        counts_as=counts_as,
    )
