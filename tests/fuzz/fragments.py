"""Bytes that are spoiled by chance, and the checks that they go through."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

from callgate.call import Headers
from callgate.wire.formats import FORMATS
from tests.fuzz import properties
from tests.unit.wire.codec.spoiling import spoil, spoiled_stream
from tests.unit.wire.codec.test_conversations import QUESTIONS, go_on
from tests.unit.wire.codec.translating import FORMATS as CODED
from tests.unit.wire.codec.translating import WAYS_BACK, WAYS_OUT
from tests.unit.wire.codec.upstreams import REPLIES

REQUESTS: Final = {name: go_on(QUESTIONS[name], REPLIES[name], name) for name in CODED}

STATUSES: Final = (400, 401, 402, 403, 404, 408, 413, 422, 425, 429, 500, 502, 503, 504, 529, 599)

NAMES: Final = (
    "retry-after", "retry-after-ms", "date", "x-ratelimit-reset-tokens",
    "x-ratelimit-remaining-tokens", "x-ratelimit-reset-requests", "x-ratelimit-remaining-requests",
    "anthropic-ratelimit-tokens-reset", "anthropic-ratelimit-tokens-remaining", "content-type",
)  # fmt: skip

VALUES: Final = (
    "0", "1", "2.5", "-1", "1e9", "9" * 400, "nan", "inf", "", " 7 ", "6m0s", "45.8s", "1d", "7ms",
    "Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 0001 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 GMT",
    "2026-11-25T10:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "\u0661", "x",
)  # fmt: skip

ERRORS: Final[tuple[Any, ...]] = (
    {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}},
    {"error": {"message": "no money", "type": "insufficient_quota", "code": "insufficient_quota"}},
    {"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}},
    {"error": "plain words"}, {"detail": "other words"}, {"object": "error", "message": "bare"},
    [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "m", "details": [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "39s"}]}}],
)  # fmt: skip


EXTREMES: Final = (
    b"[" * 5_000, b'{"a":' * 5_000, b"[" * 900 + b"]" * 900, b'{"a":' * 400 + b"1" + b"}" * 400,
    b"1" * 5_000, b"-" + b"9" * 400, b"1e400", b"NaN", b"\xed\xa0\xbd", b'"\\ud83d"', b"\xef\xbb\xbf",
)  # fmt: skip
"""What JSON can be and no reader should die of: abysses, numbers beyond all types, half characters."""


def split(chance: random.Random) -> int:
    """Spoil a stream and cut it into its events."""
    pieces, events = _stream(chance, chance.choice(CODED))
    properties.check_split(pieces)
    return events


def relay(chance: random.Random) -> int:
    """Spoil a stream and relay it."""
    name = chance.choice(properties.RELAYED)
    pieces, events = _stream(chance, name)
    properties.check_relay(name, pieces)
    return events


def translate(chance: random.Random) -> int:
    """Spoil a stream and translate it."""
    source, target = chance.choice(WAYS_BACK)
    pieces, events = _stream(chance, source)
    properties.check_translation(source, target, pieces)
    return events


def reply(chance: random.Random) -> int:
    """Spoil a plain reply and read it."""
    source, target = chance.choice(WAYS_BACK)
    properties.check_reply(source, target, _spoiled(chance, REPLIES[source]))
    return 1


def request(chance: random.Random) -> int:
    """Spoil a request and put it into another format."""
    source, target = chance.choice(WAYS_OUT)
    properties.check_request(source, target, _spoiled(chance, REQUESTS[source]))
    return 1


def refuse(chance: random.Random) -> int:
    """Spoil a refusal, its headers too."""
    headers = tuple((name, _value(chance)) for name in chance.sample(NAMES, chance.randrange(5)))
    body = _spoiled(chance, chance.choice(ERRORS))
    properties.check_refusal(chance.choice(list(FORMATS)), chance.choice(STATUSES), headers, body)
    return 1


def _stream(chance: random.Random, name: str) -> tuple[list[bytes], int]:
    """Return a spoiled stream in pieces, and how many events it has."""
    pieces, events = spoiled_stream(chance, name)
    return [_extreme(chance, piece) for piece in pieces], events


def _extreme(chance: random.Random, data: bytes) -> bytes:
    """Return JSON that holds an extreme once in a while."""
    if chance.random() < 0.97:
        return data
    return data.replace(chance.choice((b"null", b"0", b'""', b"{}")), chance.choice(EXTREMES), 1)


def _spoiled(chance: random.Random, page: Any) -> bytes:
    """Return JSON with another value in it, and once in a while with other bytes."""
    spoiled = json.dumps(spoil(chance, page), ensure_ascii=chance.random() < 0.5)
    body = _extreme(chance, spoiled.encode(errors="surrogatepass"))
    if chance.random() < 0.2:
        at = chance.randrange(len(body) + 1)
        return body[:at] + chance.randbytes(chance.randrange(3)) + body[at + chance.randrange(9) :]
    return body


def _value(chance: random.Random) -> str:
    told = chance.choice(VALUES)
    if chance.random() < 0.3:
        at = chance.randrange(len(told) + 1)
        return told[:at] + chance.choice("0123456789.-+:smhdZT ,\u0661") + told[at + 1 :]
    return told


CHECKS: Final[Mapping[str, Callable[[random.Random], int]]] = {
    each.__name__: each for each in (split, relay, translate, reply, request, refuse)
}
"""Every check; each returns how many fragments it has fed: events of a stream, or bodies."""


def feed(check: str, seed: int, fragments: int) -> int:
    """Run a check until it has fed so many fragments; a failure tells what to run again.

    Args:
        check: A key of :data:`CHECKS`.
        seed: What decides every choice.
        fragments: How many to feed at least.
    """
    fed = turn = 0
    while fed < fragments:
        again = f"{seed}/{check}/{turn}"
        try:
            fed += CHECKS[check](random.Random(again))
        except Exception as crash:
            crash.add_note(f"again: CHECKS[{check!r}](random.Random({again!r}))")
            raise
        turn += 1
    return fed


def headers_in(text: str) -> Headers:
    """Return a header for each line of a text, its names taken in turn."""
    return tuple(zip(NAMES, text.splitlines(), strict=False))
