"""One HTTP exchange at a door: what every HTTP door reads and writes in the same way.

The endpoints are plain ASGI callables: a request costs no object that the road does not need.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from math import ceil, inf
from typing import Final, Literal
from urllib.parse import parse_qs

import msgspec
from starlette.types import Message, Receive, Scope, Send

from callgate.call import Caller, Claims, Headers, ModelCall, Reply, new_id
from callgate.errors import (
    BadCredential,
    BreakerOpen,
    CallgateError,
    ClientLeft,
    Failed,
    OutOfCredit,
    OverLimit,
    RateLimited,
    Reason,
    Refused,
    TooLarge,
    Unknown,
)
from callgate.gate import Gate
from callgate.pipeline import AnyPassage, ModelPassage
from callgate.wire import ClientFormat
from callgate.wire.replies import CUT

KEPT_FROM_PROVIDERS = frozenset({
    "accept-encoding", "api-key", "authorization", "connection", "content-length", "cookie",
    "expect", "forwarded", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te",
    "trailer", "transfer-encoding", "upgrade", "via", "x-api-key", "x-goog-api-key", "x-real-ip",
})  # fmt: skip
"""Request headers that end at the gate: the agent's key, cookies, and the connection's own.

Source: RFC 9110 §7.6.1. ``accept-encoding`` too: a compressed reply could not be metered.
"""

PATIENCE = ("x-stainless-read-timeout", "x-stainless-timeout", "x-server-timeout")
"""Request headers that say how many seconds a client waits; the first that is there counts."""

DIGITS = 6
"""Of the largest count of retries that is believed."""

KEPT_PREFIXES = ("callgate-", "x-forwarded-")

LONGEST_CLIENT_WAIT_SECONDS = 60.0
"""A client is not told to wait longer: it would not, or for hours with its request open."""

WATCH_AFTER_SECONDS = 0.05
"""A call that is answered sooner needs nobody who watches whether its client is still there."""

log = logging.getLogger("callgate")

PASSED_ON = (400, 404, 408, 409, 413, 422, 425, 429, 500, 502, 503, 504, 529)
"""Statuses whose body of a provider tells the agent something; a 401 or 403 of ours would not."""


Family = Literal["openai", "anthropic", "gemini"]
"""Whose words a client understands; also the name of the door."""

WORDS: Final[Mapping[Family, str]] = {
    "openai": "openai_chat",
    "anthropic": "anthropic_messages",
    "gemini": "gemini_generate_content",
}
"""The format in which each family is told what is wrong."""

SERVED: Final[Mapping[Family, str]] = {
    "openai": "POST to /v1/chat/completions, /v1/responses and /v1/embeddings, and GET of /v1/models",
    "anthropic": "POST to /v1/messages and /v1/messages/count_tokens, and GET of /v1/models",
    "gemini": "POST to /v1beta/models/MODEL:generateContent and :streamGenerateContent, and GET of "
    "/v1beta/models",
}

BASE_URLS: Final[Mapping[Family, str]] = {
    "openai": "OPENAI_BASE_URL ends in /v1",
    "anthropic": "ANTHROPIC_BASE_URL does not end in /v1",
    "gemini": "GOOGLE_GEMINI_BASE_URL ends in no version",
}

GEMINI_VERSIONS: Final = ("/v1beta/", "/v1alpha/")

OWN_ADVICE = frozenset({"retry-after", "retry-after-ms", "x-should-retry"})
"""What a provider says of coming back, which the gate has heeded already and answers for itself."""


class Exchange:
    """One request and its response."""

    __slots__ = (
        "_first", "_query", "_receive", "_scope", "_send", "headers", "method", "path", "started",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self.path: str = scope["path"]
        self.method: str = scope["method"]
        self._query: bytes = scope["query_string"]
        self.headers: Headers = tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        )
        """In their order, names in lower case, as ASGI has them."""
        # The last of a name would win, and the first must.
        self._first = dict(reversed(self.headers))
        self.started = False

    def header(self, name: str) -> str | None:
        """Return the first header of that name (lower case)."""
        return self._first.get(name)

    @property
    def key(self) -> str | None:
        """The caller's key, from wherever one of the families puts it."""
        return key_of(self.header) or self.asked("key")

    @property
    def family(self) -> Family:
        """Whose words the client seems to understand.

        Anthropic's clients always name their version, Google's their kind of key.
        """
        if self.header("anthropic-version") is not None or "/messages" in self.path:
            return "anthropic"
        is_google = self.path.startswith(GEMINI_VERSIONS) or self.asked("key") is not None
        return "gemini" if is_google or self.header("x-goog-api-key") is not None else "openai"

    def asked(self, name: str) -> str | None:
        """Return a parameter of the address; a key among them is not to be kept or passed on."""
        if not self._query:
            return None
        named = parse_qs(self._query.decode("latin-1")).get(name)
        return None if named is None else named[0]

    @property
    def claims(self) -> Claims:
        """What the request says about its task; an empty header says nothing."""
        said = self._first.get
        return Claims(
            task_id=said("callgate-task") or None,
            task_type=said("callgate-task-type") or None,
            user=said("callgate-user") or None,
            parent=said("callgate-parent-task") or None,
        )

    @property
    def client_retry(self) -> int:
        """How often the client's library says that it has sent this request before.

        Source: the official OpenAI and Anthropic SDKs, which count from 0.
        """
        said = self.header("x-stainless-retry-count") or ""
        return int(said) if said.isascii() and said.isdecimal() and len(said) <= DIGITS else 0

    @property
    def patience_seconds(self) -> float | None:
        """How long the client's library says that it waits for a reply to begin.

        Source: the official OpenAI and Anthropic SDKs (``x-stainless-…``) and google-genai.
        """
        for name in PATIENCE:
            said = self._first.get(name)
            if said is not None:
                with suppress(ValueError):
                    seconds = float(said)
                    if 0 < seconds < inf:
                        return seconds
        return None

    @property
    def passed_on(self) -> Headers:
        """The headers that a provider may see."""
        return tuple(
            [
                pair
                for pair in self.headers
                if pair[0] not in KEPT_FROM_PROVIDERS and not pair[0].startswith(KEPT_PREFIXES)
            ]
        )

    async def body(self, most: int) -> bytes:
        """Read the request's body.

        Raises:
            TooLarge: It has more than ``most`` bytes; the rest is not read.
            ClientLeft: The client hung up before its end.
        """
        length = self.header("content-length") or "0"
        if length.isdecimal() and int(length) > most:
            raise _too_large(int(length), most)
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                msg = "the client hung up before its request was complete"
                raise ClientLeft(msg)
            part = message.get("body", b"")
            size += len(part)
            if size > most:
                raise _too_large(size, most)
            parts.append(part)
            more = message.get("more_body", False)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def disconnected(self) -> None:
        """Return when the client has hung up."""
        message: Message = {"type": ""}
        while message["type"] != "http.disconnect":
            message = await self._receive()

    async def stopping(self) -> None:
        """Return when the server is about to stop."""
        event = self._scope.get("extensions", {}).get("callgate.stopping") or asyncio.Event()
        await event.wait()

    async def answer(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Send a whole response."""
        await self.start(status, [*headers, ("content-length", str(len(body)))])
        await self._send({"type": "http.response.body", "body": body})

    async def start(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Send status and headers; the body follows in pieces."""
        self.started = True
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def piece(self, piece: bytes, *, last: bool = False) -> None:
        """Send a piece of the body."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": not last})


def key_of(header: Callable[[str], str | None]) -> str | None:
    """Return the key of a request, given a look-up of its headers by lower-case name."""
    bearer = header("authorization")
    if bearer is not None and bearer[:7].lower() == "bearer ":
        return bearer[7:].strip()
    return header("x-api-key") or header("x-goog-api-key") or header("api-key")


class Watch:
    """Tells a passage when its client hangs up; starts only for calls that take a while."""

    __slots__ = ("_drain_seconds", "_exchange", "_passage", "_task", "_timer")

    def __init__(self, exchange: Exchange, passage: AnyPassage, drain_seconds: float) -> None:
        self._exchange = exchange
        self._passage = passage
        self._drain_seconds = drain_seconds
        self._task: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(WATCH_AFTER_SECONDS, self._begin)

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        await self._exchange.disconnected()
        self._passage.leave(self._drain_seconds)

    def end(self) -> None:
        """Stop watching."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()


class ModelEndpoint:
    """Takes model calls of one format at one path; an ASGI application."""

    def __init__(
        self, gate: Gate, format: ClientFormat, *, door: str, elsewhere: bool = False
    ) -> None:
        self._gate = gate
        self._format = format
        self._door = door
        self._elsewhere = elsewhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = self._exchange(scope, receive, send)
        try:
            caller = self._gate.authenticate(exchange.key)
        except Refused as stranger:
            await answer_error(exchange, self._format, stranger, passage=None)
            return
        try:
            passage = ModelPassage(call=await self._call(exchange, caller))
        except ClientLeft:
            return
        await self._carry(exchange, passage)

    def _exchange(self, scope: Scope, receive: Receive, send: Send) -> Exchange:
        """Return the request, and how it is answered."""
        return Exchange(scope, receive, send)

    def _addressed(self, exchange: Exchange) -> tuple[str, bool]:
        """Return what the address says: the model, and whether a stream is asked for."""
        del exchange
        return "", False

    async def _call(self, exchange: Exchange, caller: Caller) -> ModelCall:
        """Translate the request; what cannot be taken whole becomes the call's flaw."""
        started_at = self._gate.clock.now()
        body, flaw = b"", None
        try:
            if self._elsewhere:
                raise _no_such_path(exchange)
            body = await exchange.body(self._gate.settings.gate.max_body_bytes)
        except Refused as refused:
            flaw = refused
        model, stream = self._addressed(exchange)
        return ModelCall(
            id=new_id("call"),
            door=self._door,
            caller=caller,
            claims=exchange.claims,
            started_at=started_at,
            client_retry=exchange.client_retry,
            patience_seconds=exchange.patience_seconds,
            flaw=flaw,
            format=self._format.name,
            body=body,
            model=model,
            stream=stream,
            headers=exchange.passed_on,
        )

    async def _carry(self, exchange: Exchange, passage: ModelPassage) -> None:
        watch = Watch(exchange, passage, self._gate.settings.gate.drain_limit_seconds)
        reply: Reply | None = None
        try:
            async with self._gate.road(passage) as reply:
                if reply.chunks is not None:
                    await _relay(exchange, passage, reply, reply.chunks)
        except ClientLeft:
            return
        except CallgateError as error:
            await self._tell(exchange, passage, error, reply)
            return
        except Exception:
            log.exception("call %s failed by a mistake of the gate's own", passage.call.id)
            await self._tell(exchange, passage, mistake(passage.call.id), reply)
            return
        finally:
            watch.end()
        if reply.chunks is None and not passage.left:
            headers = [*own_headers(passage, reply.headers), *_limited(passage, reply)]
            await exchange.answer(reply.status, headers, reply.body or b"")

    async def _tell(
        self, exchange: Exchange, passage: ModelPassage, error: CallgateError, reply: Reply | None
    ) -> None:
        if passage.left:
            return
        if exchange.started:
            fail = reply.fail if reply is not None and reply.fail else self._format.error_event
            await exchange.piece(fail(error), last=True)
        else:
            await answer_error(exchange, self._format, error, passage=passage)


async def _relay(
    exchange: Exchange, passage: ModelPassage, reply: Reply, chunks: AsyncIterator[bytes]
) -> None:
    """Send a stream as it comes; read on without sending once the client is gone."""
    headers = [*own_headers(passage, reply.headers), *_limited(passage, reply)]
    await exchange.start(reply.status, headers)
    async for chunk in chunks:
        if not passage.left:
            await exchange.piece(chunk)
    if passage.left:
        msg = "the client hung up before the end of the stream"
        raise ClientLeft(msg)
    await exchange.piece(b"", last=True)


async def answer_error(
    exchange: Exchange, format: ClientFormat, error: CallgateError, *, passage: ModelPassage | None
) -> None:
    """Answer with an error in the words of the door's family."""
    answer = error.answer if isinstance(error, Failed) else None
    if isinstance(error, OutOfCredit | BadCredential) or (
        answer and answer.status not in PASSED_ON
    ):
        answer = None
    status = error.status if answer is None else answer.status
    if answer is not None and _is_readable(answer.body):
        body = answer.body
        headers = tuple(pair for pair in answer.headers if pair[0] not in OWN_ADVICE)
    else:
        body = format.error_body(error)
        headers = (("content-type", "application/json"),)
    await exchange.answer(status, [*own_headers(passage, headers), *retry_headers(error)], body)


def _is_readable(body: bytes) -> bool:
    """Whether a client can read an error: a page of some proxy on the way tells it nothing."""
    try:
        return isinstance(msgspec.json.decode(body), dict | list)
    except ValueError:
        return False


def retry_headers(error: CallgateError) -> list[tuple[str, str]]:
    """Say whether the client should try again: after our own tries it should not."""
    if isinstance(error, Refused) and error.may_retry:
        seconds = error.retry_after_seconds if isinstance(error, OverLimit) else 1.0
        if seconds <= LONGEST_CLIENT_WAIT_SECONDS:
            return [
                ("retry-after", str(ceil(seconds))),
                ("retry-after-ms", str(ceil(seconds * 1_000))),
            ]
    headers = [("x-should-retry", "false")]
    if isinstance(error, RateLimited | BreakerOpen) and error.retry_after_seconds is not None:
        headers.append(("retry-after", str(max(1, round(error.retry_after_seconds)))))
    return headers


def own_headers(passage: AnyPassage | None, headers: Headers) -> list[tuple[str, str]]:
    """Return a reply's headers with the gate's own."""
    kept = [pair for pair in headers if pair[0] != "content-length"]
    if passage is None:
        return kept
    kept.append(("callgate-call", passage.call.id))
    if passage.task is not None:
        kept.append(("callgate-task", passage.task.id))
    return kept


def _limited(passage: ModelPassage, reply: Reply) -> list[tuple[str, str]]:
    """Mark a reply whose end is the gate's output limit; a stream's end is not known yet."""
    limit = passage.limited_to
    if limit is None or (reply.chunks is None and reply.meter.finish_reason not in CUT):
        return []
    return [("callgate-limited", f"max_tokens={limit}")]


def mistake(call_id: str) -> CallgateError:
    """Return what a client is told of a mistake of ours: where to look, and nothing from within."""
    fix = f"look for {call_id} in the gate's log, and report what it says"
    msg = f"the gate made a mistake of its own; {fix}"
    return CallgateError(msg, reason=Reason(code="internal", fix=fix))


def _too_large(size: int, most: int) -> TooLarge:
    msg = f"the request has {size:,} bytes or more; this gate takes {most:,}"
    fix = "send less, or raise max_body_bytes under [gate]"
    return TooLarge(
        msg,
        reason=Reason(code="too_large", rule="gate.max_body_bytes", limit=most, used=size, fix=fix),
    )


def _no_such_path(exchange: Exchange) -> Unknown:
    family = exchange.family
    msg = (
        f"this gate does not answer {exchange.method} {exchange.path}; in the words of {family} it "
        f"answers {SERVED[family]}"
    )
    fix = f"ask for one of these; if the path is wrong, check the base URL: {BASE_URLS[family]}"
    return Unknown(msg, reason=Reason(code="unknown_path", fix=fix))
