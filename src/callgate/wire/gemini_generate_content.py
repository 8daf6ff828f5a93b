"""Gemini's generateContent and streamGenerateContent; the model stands in the address.

Field names are taken in both of their spellings, ``maxOutputTokens`` and ``max_output_tokens``.

Source: ProtoJSON, "Names": parsers accept both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from callgate.call import Headers, Meter, Usage
from callgate.errors import BadRequest, BrokenReply, CallgateError, Failed
from callgate.wire import Request, Rewrite
from callgate.wire.document import Document, decoded, malformed
from callgate.wire.failures import (
    FIRST_ERROR,
    JSON_HEADERS,
    LAST_ERROR,
    NOT_FOUND,
    Complaint,
    error_object,
    failure_of,
    own_words,
    quote,
    sentence_of,
)
from callgate.wire.fields import NOTHING, Sight, items_in, whole_number, wrong
from callgate.wire.images import size_of_blob
from callgate.wire.replies import count, mapping, object_of, objects, text, unreadable
from callgate.wire.scanner import EventScanner
from callgate.wire.sse import data_of

FINISH: Final[Mapping[str, Literal["stop", "length", "content_filter"]]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
}
"""Source: google-genai 3.6, ``FinishReason``; its other values say that the model failed, with a
status of 200 and often without content, and are no end of an answer."""

ENDS: Final = frozenset({*FINISH, "CONTINUATION"})
"""Reasons with which a reply is whole; the client goes on from the last by itself."""

UNSIGNED: Final = "MISSING_THOUGHT_SIGNATURE"
"""The reason that is the request's own fault."""

STATUSES: Final[Mapping[int, str]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""Source: google.rpc.Code, by the HTTP status that Google's APIs map each to."""

STATUS_BY_NAME: Final = {
    **{name: status for status, name in sorted(STATUSES.items(), reverse=True)},
    "FAILED_PRECONDITION": 400,
}
"""The HTTP status that an error inside a stream would have had as a plain answer."""

ERROR_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"
"""The detail of an error that tells its reason. Source: google/rpc/error_details.proto."""

WRONG_KEY: Final = "API_KEY_INVALID"
"""The reason that means the key, which Gemini tells with a 400.

Source: google/api/error_reason.proto.
"""

NO_MONEY: Final = "BILLING_DISABLED"
"""The reason that means money. Without it nothing but prose, which is never matched, tells an empty
account from a rate: both are RESOURCE_EXHAUSTED.

Source: google/api/error_reason.proto.
"""

TRAFFIC: Final = "ON_DEMAND"
"""How the names of service tiers begin that a usage tells. Source: google-genai 3.6, ``TrafficType``."""

TIER: Final = "service_tier_"
"""How they may begin in a request. Source: google-genai 3.6, ``ServiceTier``; Gemini's API reference."""

PLAIN_KEYS: Final = frozenset({
    "functionCall", "mediaResolution", "partMetadata", "text", "thought", "thoughtSignature",
})  # fmt: skip
"""Members of a part whose tokens are bounded by their bytes."""

MEDIA_KEYS: Final = frozenset({"inlineData", "fileData"})
"""Members of a part that are pictures, sounds, films or documents."""

FUNCTIONS: Final = "functionDeclarations"
"""Tools that the agent runs itself; every other kind adds input while the model works."""

UNCHARGED_TOOLS: Final = frozenset({FUNCTIONS, "codeExecution", "computerUse", "urlContext"})
"""Tools that cost nothing but tokens. Source: Gemini's pricing; its guides to each."""

UNBOUNDED_FIELDS: Final = ("cachedContent", "continuationToken")
"""Top-level fields that add input which is not in the request's bytes.

Source: google-genai 3.6, ``GenerateContentConfig``.
"""

TEXT: Final = "TEXT"

SAFE: Final = re.compile(r"[^A-Za-z0-9._~-]")
"""What must be written as an escape in a piece of a path. Source: RFC 3986 §2.3."""


class Content(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """As much of a content as tells whether its bytes bound its tokens."""

    parts: msgspec.Raw = msgspec.Raw()


class Candidate(msgspec.Struct, kw_only=True, rename="camel"):
    """As much of an answer as the gate must know."""

    index: Any = None
    finish_reason: Any = None
    grounding_metadata: msgspec.Raw = msgspec.Raw()


class Page(msgspec.Struct, kw_only=True, rename="camel"):
    """As much of a reply, or of an event of one, as the gate must know."""

    candidates: list[Candidate] | None = None
    prompt_feedback: Any = None
    usage_metadata: Any = None
    model_version: Any = None
    response_id: Any = None
    error: Any = None


Members = dict[str, msgspec.Raw]

_CONTENTS: Final = msgspec.json.Decoder(list[Content])
_MEMBERS: Final = msgspec.json.Decoder(list[Members])
_PAGE: Final = msgspec.json.Decoder(Page)


class GeminiGenerateContent:
    """``/models/{model}:generateContent`` and ``:streamGenerateContent``."""

    name = "gemini_generate_content"
    api = "gemini"
    costs_output = True

    def path(self, *, model: str, stream: bool) -> str:
        """Return where a provider serves it; a stream comes as events, however it is asked for."""
        named = SAFE.sub(_escaped, model.removeprefix("models/"))
        action = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/models/{named}:{action}"

    def parse(self, body: bytes, /, *, model: str = "", stream: bool = False) -> Request:
        """Read a request."""
        document = Document.parse(body)
        _check_model(document, model)
        config = _inside(document, "generationConfig")
        contents = _listed(document, "contents", _CONTENTS)
        tools = [_spelled(tool) for tool in _listed(document, "tools", _MEMBERS)]
        sight = Sight(size_of=size_of_blob)
        opaque = _opaque(document, config, tools) or _strange_content(document, contents, sight)
        return Request(
            document=document,
            model=model,
            stream=stream,
            output_limit=_number(config, "maxOutputTokens", least=0),
            choices=_number(config, "candidateCount", least=1) or 1,
            messages=len(contents) + sum(map(_functions, tools)) + 1,
            has_tools=bool(tools),
            opaque=opaque,
            image_sizes=tuple(sight.image_sizes),
            image_bytes=sight.image_bytes,
            service_tier=_tier(document.get(_key(document, "serviceTier"))),
            charged=_charged(tools),
        )

    def rewrite(
        self, request: Request, /, *, model: str, output_tokens: int | None, limit_field: str | None
    ) -> Rewrite:
        """Return the request as it leaves; the format knows one field for the limit."""
        del limit_field
        document, changes = request.document, list[str]()
        edits: dict[str, bytes] = {}
        if model != request.model:
            changes.append(f"model={model}")
            if "model" in document.values:
                edits["model"] = msgspec.json.encode(f"models/{model}")
        if output_tokens is not None:
            key = _key(document, "generationConfig")
            edits[key] = _with_limit(_inside(document, key), output_tokens)
            changes.append(f"generationConfig.maxOutputTokens={output_tokens}")
        body = document.edit(edits) if edits else document.source
        return Rewrite(body=body, changes=tuple(changes))

    def read(self, body: bytes, meter: Meter, /) -> None:
        """Read a plain reply."""
        page = _page(body)
        if page.error:
            raise failure_of(complaint_in(body))
        candidates = page.candidates or []
        if not candidates and not is_blocked(mapping(page.prompt_feedback)):
            problem = "has no candidate"
            raise unreadable(problem, body)
        _note(page, meter)
        meter.finished = True
        for candidate in candidates:
            _check_end(candidate.finish_reason)

    def scanner(self, request: Request, meter: Meter, /) -> ContentScanner:
        """Return a reader for a stream."""
        del request
        return ContentScanner(meter)

    def failure(self, status: int, headers: Headers, body: bytes, /) -> Failed:
        """Say what a refusal means."""
        return failure_of(_complaint(status, headers, body))

    def error_body(self, error: CallgateError, /) -> bytes:
        """Return Google's error object, with ours beside it."""
        told = {
            "code": error.status,
            "message": sentence_of(error),
            "status": STATUSES.get(error.status, "INTERNAL"),
        }
        return msgspec.json.encode({"error": told, "callgate": error.reason})

    def error_event(self, error: CallgateError, /) -> bytes:
        """Return the event that ends a stream; the provider's own words where it had any."""
        words = own_words(error)
        body = (
            self.error_body(error)
            if words is None
            else msgspec.json.encode({**words, "callgate": error.reason})
        )
        return b"data: %b\r\n\r\n" % body


class ContentScanner(EventScanner):
    """Reads a stream while it passes; it ends with a reason to finish, for each candidate."""

    __slots__ = ("_begun", "_ended")

    end_event = "a finishReason"

    def __init__(self, meter: Meter) -> None:
        super().__init__(meter)
        self._begun: set[str] = set()
        """The candidates that there are, by their index."""
        self._ended: set[str] = set()
        """Those of them that have ended."""

    def _read(self, event: bytes) -> bytes:
        """Note what an event says; what says nothing is not relayed, as Google's SDK would raise."""
        data = data_of(event)
        if not data or data == b"[DONE]":
            return b""
        self._look(_page(data), data)
        return event

    def _look(self, page: Page, data: bytes) -> None:
        if page.error:
            raise failure_of(complaint_in(data))
        _note(page, self._meter)
        for candidate in page.candidates or ():
            index = str(candidate.index or 0)
            self._begun.add(index)
            if candidate.finish_reason is not None:
                _check_end(candidate.finish_reason)
                self._ended.add(index)
        is_whole = bool(self._begun) and self._begun == self._ended
        self._meter.finished = is_whole or is_blocked(mapping(page.prompt_feedback))
        self.has_content = self.has_content or self._meter.finished or _says_something(data)


def usage_of(usage: dict[str, Any]) -> Usage | None:
    """Return Gemini's counters as disjoint buckets; None where the prompt is not counted.

    A count of nothing is left out. Where the total is more than its parts, the difference is what was thought.

    Source: google-genai 3.6, ``GenerateContentResponseUsageMetadata``: the prompt includes what a
    cache held, the candidates exclude what was thought, and what tools put in is besides.
    """
    prompt, said = count(usage, "promptTokenCount"), count(usage, "candidatesTokenCount")
    if prompt is None:
        return None
    said = said or 0
    added = count(usage, "toolUsePromptTokenCount") or 0
    read = min(prompt, count(usage, "cachedContentTokenCount") or 0)
    rest = (count(usage, "totalTokenCount") or 0) - prompt - said - added
    return Usage(
        input_tokens=prompt - read + added,
        cache_read_tokens=read,
        output_tokens=said,
        reasoning_tokens=max(rest, count(usage, "thoughtsTokenCount") or 0),
    )


def is_blocked(feedback: dict[str, Any]) -> bool:
    """Whether the prompt was blocked, so that there is no candidate."""
    return bool(feedback.get("blockReason"))


def complaint_in(data: bytes) -> Complaint:
    """Read an error that came with a status of 200, by the code that it names."""
    error = error_object(data)
    code = error.get("code")
    if not isinstance(code, int) or not FIRST_ERROR <= code <= LAST_ERROR:
        code = STATUS_BY_NAME.get(str(error.get("status")), 500)
    return _complaint(code, JSON_HEADERS, data, began=True)


def _complaint(status: int, headers: Headers, body: bytes, *, began: bool = False) -> Complaint:
    error = error_object(body)
    details = objects(error.get("details"))
    reasons = {text(each, "reason") for each in details if each.get("@type") == ERROR_INFO}
    return Complaint(
        status=status,
        headers=headers,
        body=body,
        message=quote(error, body),
        is_money=NO_MONEY in reasons,
        is_model=error.get("status") == STATUSES[NOT_FOUND],
        is_key=WRONG_KEY in reasons,
        began=began,
    )


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass"))


def _snake(key: str) -> str:
    """Return the other spelling of a key."""
    return re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", key)


def _camel(key: str) -> str:
    first, *others = key.split("_")
    return first + "".join(other[:1].upper() + other[1:] for other in others)


def _key(document: Document, key: str) -> str:
    """Return a key as the request spells it.

    Raises:
        Malformed: It stands there in both spellings.
    """
    other = _snake(key)
    if other not in document.values or other == key:
        return key
    if key in document.values:
        raise _doubled(key, other)
    return other


def _doubled(key: str, other: str) -> Exception:
    msg = f"the request has {key} and {other}, which are the same; which one holds would be a guess"
    return malformed(msg, code="duplicate_key")


def _spelled(members: Members) -> Members:
    """Return the members of an object by their names in camel case, without those that are null."""
    spelled: Members = {}
    for key, value in members.items():
        name = _camel(key)
        if name in spelled:
            raise _doubled(name, key)
        if bytes(memoryview(value)[:1]) not in NOTHING:
            spelled[name] = value
    return spelled


def _check_model(document: Document, model: str) -> None:
    """Let a request name its model in its body too, if it is the same one."""
    if not model:
        field = "model"
        raise wrong(field, "named in the address, as /v1beta/models/MODEL:generateContent", None)
    named = document.get("model")
    if named is not None and str(named).removeprefix("models/") != model.removeprefix("models/"):
        msg = f"the address names the model {model!r}, and the body {str(named)[:80]!r}"
        raise malformed(msg, code="wrong_field")


def _inside(document: Document, key: str) -> Document:
    """Return an object inside a request, as it was written; an empty one where there is none."""
    key = _key(document, key)
    raw = document.raw(key)
    if raw[:1] in NOTHING:
        return Document.parse(b"{}")
    if raw[:1] != b"{":
        raise wrong(key, "an object", document.get(key))
    return Document.parse(raw)


def _listed(document: Document, key: str, decoder: msgspec.json.Decoder[Any]) -> list[Any]:
    """Return the items of a list; an object stands for a list of one, as Google reads it."""
    key = _key(document, key)
    return items_in(key, _as_list(document.raw(key)), decoder)


def _as_list(raw: bytes) -> bytes:
    return b"[" + raw + b"]" if raw[:1] == b"{" else raw


def _number(config: Document, key: str, *, least: int) -> int | None:
    """Return a number of the generation's settings."""
    key = _key(config, key)
    return whole_number(f"generationConfig.{key}", config.get(key), least=least)


def _with_limit(config: Document, tokens: int) -> bytes:
    return config.edit({_key(config, "maxOutputTokens"): str(tokens).encode()})


def _tier(asked: object) -> object:
    """Return the service tier that a request asks for, by the name that prices have."""
    if not isinstance(asked, str):
        return asked
    tier = asked.lower().removeprefix(TIER)
    return None if tier == "unspecified" else tier


def _opaque(document: Document, config: Document, tools: list[Members]) -> str | None:
    """Return what beside its contents costs a request input that its bytes do not show."""
    for field in UNBOUNDED_FIELDS:
        if document.get(_key(document, field)):
            return f"{field} adds to the input what its bytes do not show"
    for index, tool in enumerate(tools):
        other = next((kind for kind in tool if kind != FUNCTIONS), None)
        if other is not None:
            return f"tools[{index}] has {other}, which adds input of its own"
    modalities = config.get(_key(config, "responseModalities"))
    if modalities is not None and str(modalities).upper() != f"['{TEXT}']":
        return "generationConfig.responseModalities asks for more than text"
    return None


def _charged(tools: list[Members]) -> str | None:
    """Return what in a request the provider may charge besides tokens."""
    return next((kind for tool in tools for kind in tool if kind not in UNCHARGED_TOOLS), None)


def _functions(tool: Members) -> int:
    """Return how many functions a tool declares."""
    raw = _as_list(bytes(tool.get(FUNCTIONS, b"")))
    return len(items_in(FUNCTIONS, raw, _MEMBERS))


def _strange_content(document: Document, contents: list[Content], sight: Sight) -> str | None:
    """Return what the contents hold that neither their bytes nor their images bound."""
    for index, content in enumerate(contents):
        strange = _strange_part(content.parts, sight)
        if strange is not None:
            return f"contents[{index}] holds {strange}"
    for content in _listed(document, "systemInstruction", _CONTENTS):
        strange = _strange_part(content.parts, sight)
        if strange is not None:
            return f"systemInstruction holds {strange}"
    return None


def _strange_part(parts: msgspec.Raw, sight: Sight) -> str | None:
    """Return what parts hold besides plain text and images; None if there is nothing else."""
    for part in _objects("parts", parts):
        for key, value in part.items():
            if key in MEDIA_KEYS:
                strange = _strange_media(key, value, sight)
            elif key == "functionResponse":
                strange = _strange_response(key, value, sight)
            else:
                strange = None if key in PLAIN_KEYS else f"a part with {key}"
            if strange is not None:
                return strange
    return None


def _strange_response(key: str, value: msgspec.Raw, sight: Sight) -> str | None:
    inside = (each.get("parts", msgspec.Raw()) for each in _objects(key, value))
    return next(filter(None, (_strange_part(parts, sight) for parts in inside)), None)


def _strange_media(key: str, value: msgspec.Raw, sight: Sight) -> str | None:
    """Count an image; return what it is if it is none.

    One that is written in more than ASCII is none: how much of the bound of the whole request is
    its own could not be told.
    """
    written = bytes(value)
    for blob in _objects(key, value):
        kind = str(decoded(key, blob.get("mimeType", b"null"))).lower()
        if not kind.startswith("image/") or not written.isascii():
            return f"{key} of type {kind!r}"
    sight.image_sizes.append(sight.size_of(written))
    sight.image_bytes += len(written)
    return None


def _objects(key: str, written: msgspec.Raw) -> list[Members]:
    """Return the objects of a list, or the one that stands for it, by their names in camel case."""
    return [_spelled(each) for each in items_in(key, _as_list(bytes(written)), _MEMBERS)]


def _page(body: bytes) -> Page:
    """Read a reply; what the strict reader cannot read, its reader may still use."""
    try:
        return _PAGE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        page = object_of(body)
        told = [
            Candidate(
                index=each.get("index"),
                finish_reason=each.get("finishReason"),
                grounding_metadata=msgspec.Raw(b"[1]" if each.get("groundingMetadata") else b""),
            )
            for each in objects(page.get("candidates"))
        ]
        known = {name: page.get(_camel(name)) for name in Page.__struct_fields__}
        return Page(**{**known, "candidates": told})


def _check_end(reason: object) -> None:
    """Look whether a reason to finish is the end of an answer.

    Raises:
        BadRequest: The request is at fault.
        BrokenReply: The model failed, or nobody knows what its word means.
    """
    if isinstance(reason, str) and reason in ENDS:
        return
    msg = f"the provider ended the reply with {reason!r}, which is no end of an answer"
    if reason == UNSIGNED:
        raise BadRequest(msg, billed=True)
    raise BrokenReply(msg, billed=True)


def _says_something(data: bytes) -> bool:
    """Whether an event holds more of an answer than an empty text."""
    contents = (mapping(each.get("content")) for each in objects(object_of(data).get("candidates")))
    parts = (part for content in contents for part in objects(content.get("parts")))
    return any(value for part in parts for key, value in part.items() if key != "thought")


def _note(page: Page, meter: Meter) -> None:
    """Keep what a reply or an event tells; the latest usage stands, it is never added up."""
    meter.model = page.model_version if isinstance(page.model_version, str) else meter.model
    meter.reply_id = page.response_id if isinstance(page.response_id, str) else meter.reply_id
    usage = mapping(page.usage_metadata)
    meter.usage = usage_of(usage) or meter.usage
    meter.service_tier = _told_tier(usage) or meter.service_tier
    meter.has_media = meter.has_media or _has_media(usage)
    blocked = text(mapping(page.prompt_feedback), "blockReason")
    meter.finish_reason = blocked or meter.finish_reason
    for candidate in page.candidates or ():
        if isinstance(candidate.finish_reason, str):
            meter.finish_reason = candidate.finish_reason
        if len(bytes(candidate.grounding_metadata)) > len(b"{}"):
            meter.unpriced = "groundingMetadata"


def _told_tier(usage: dict[str, Any]) -> str | None:
    """Return how a usage says that it was served, by the name that prices have."""
    told = text(usage, "serviceTier") or text(usage, "trafficType")
    if told is None or told.upper() == TRAFFIC:
        return None if told is None else "standard"
    return told.upper().removeprefix(f"{TRAFFIC}_").lower().removeprefix(TIER)


def _has_media(usage: dict[str, Any]) -> bool:
    """Whether a usage counts tokens that are not those of text."""
    lists = (value for key, value in usage.items() if key.endswith("TokensDetails"))
    return any(
        each.get("modality") != TEXT and count(each, "tokenCount")
        for details in lists
        for each in objects(details)
    )
