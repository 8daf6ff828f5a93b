"""What must hold whatever bytes a provider or a client sends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from callgate.call import Headers, Meter
from callgate.errors import BrokenReply, Failed, Malformed
from callgate.wire import ClientFormat, Request, Scanner
from callgate.wire.codec.canonical import Broke, Finished
from callgate.wire.codec.translate import CODECS, UPSTREAMS, Translator, translator
from callgate.wire.failures import sentence_of
from callgate.wire.formats import CLIENT_FORMATS, FORMATS
from callgate.wire.retry_after import LONGEST_SECONDS, retry_after_seconds
from callgate.wire.sse import Splitter, data_of, name_of
from tests.unit.wire.codec.translating import (
    CLIENT,
    FROM_AWAY,
    FROM_HOME,
    TO_AWAY,
    events_of,
)
from tests.unit.wire.codec.upstreams import STREAMS

ASKED: Final = msgspec.json.encode({
    "model": "m", "max_tokens": 9, "stream": True,
    "messages": [{"role": "user", "content": "hi"}], "input": "hi",
    "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
})  # fmt: skip
"""A request that every format takes: each reads its own fields of it."""

RELAYED: Final = tuple(name for name in CLIENT_FORMATS if name in STREAMS)
"""The formats whose streams pass through as bytes."""

MORE: Final = b'data: {"type":"ping"}\n\n'


class Relayed(msgspec.Struct, frozen=True, kw_only=True):
    """What a client gets of a stream, and how it ends."""

    told: bytes
    failure: str | None
    meter: Meter


def request_of(format: ClientFormat) -> Request:
    """Return a request that is answered by a stream."""
    return format.parse(ASKED, model="m", stream=True)


def relay(format: ClientFormat, pieces: Sequence[bytes]) -> Relayed:
    """Put a stream through a scanner, as a road does."""
    meter = Meter()
    scanner = format.scanner(request_of(format), meter)
    told, failure = passed(scanner, pieces)
    assert failure is not None or meter.finished
    assert failure is None or format.error_event(failure).decode()
    return relayed(scanner, told, meter, failure)


def passed(passing: Scanner | Translator, pieces: Sequence[bytes]) -> tuple[bytes, Failed | None]:
    """Return what comes of a stream, and how it fails; nothing may follow a failure."""
    told, failure = b"", None
    try:
        for piece in pieces:
            told += passing.feed(piece)
    except Failed as error:
        failure = error
    if failure is not None:
        assert_fails(passing.feed)
        return told, failure
    try:
        told += passing.end()
    except Failed as error:
        failure = error
    return told, failure


def assert_fails(feed: Callable[[bytes], bytes]) -> None:
    """See that what has failed goes on failing."""
    try:
        told = feed(MORE)
    except Failed:
        return
    assert told == b"", "content after the failure"


def relayed(
    passing: Scanner | Translator, told: bytes, meter: Meter, failure: Failed | None
) -> Relayed:
    """Return what has come of a stream: what comes before content is held, and goes if it fails."""
    assert msgspec.json.encode(meter)
    kept = told if passing.has_content or failure is None else b""
    return Relayed(told=kept, failure=None if failure is None else repr(failure), meter=meter)


def check_relay(name: str, pieces: Sequence[bytes]) -> None:
    """A relay, its meter and its failure are the same however the network cuts a stream."""
    format = CLIENT_FORMATS[name]
    assert relay(format, pieces) == relay(format, [b"".join(pieces)])


def translate(source: str, target: str, pieces: Sequence[bytes]) -> Relayed:
    """Put a stream into another format, as a road does."""
    passing = translator(source, target=target, origin=FROM_AWAY, client=CLIENT)
    told, failure = passed(passing, pieces)
    ended = told if failure is None else passing.fail(failure)
    assert ended.decode()
    return relayed(passing, told, Meter(), failure)


def check_split(pieces: Sequence[bytes]) -> None:
    """Events are the same however they are cut, and no byte is lost."""
    splitter, whole = Splitter(), Splitter()
    stream = b"".join(pieces)
    events = [event for piece in pieces for event in splitter.feed(piece)]
    assert b"".join(events) + splitter.rest == stream
    assert events == whole.feed(stream)
    for event in events:
        assert data_of(event) is not None
        assert name_of(event) is not None


def check_translation(source: str, target: str, pieces: Sequence[bytes]) -> None:
    """A translated stream ends whole, or with an error event, the same however it is cut."""
    assert translate(source, target, pieces) == translate(source, target, [b"".join(pieces)])
    last = events_of(pieces, source)[-1]
    assert isinstance(last, Broke | Finished)


def check_reply(source: str, target: str, body: bytes) -> None:
    """A plain reply is read, or a typed error."""
    format = FORMATS.get(source)
    if format is not None:
        with suppress(Failed):
            format.read(body, Meter())
    with suppress(BrokenReply):
        completion = UPSTREAMS[source].read_reply(body, FROM_AWAY)
        assert CODECS[target].write_reply(completion, CLIENT).body


def check_request(source: str, target: str, body: bytes) -> None:
    """A request is read and leaves, or is refused by name of what is wrong."""
    format = CLIENT_FORMATS.get(source)
    if format is not None:
        with suppress(Malformed):
            request = format.parse(body, model="m", stream=False)
            format.rewrite(request, model="served", output_tokens=9, limit_field=None)
    with suppress(Malformed):
        prompt = CODECS[source].read_request(body, FROM_HOME)
        assert UPSTREAMS[target].write_request(prompt, TO_AWAY).body


def check_refusal(name: str, status: int, headers: Headers, body: bytes) -> None:
    """A refusal has a meaning, words for a client of any format, and a wait that is one."""
    failure = FORMATS[name].failure(status, headers, body)
    assert failure.answer is not None
    assert sentence_of(failure)
    for format in CLIENT_FORMATS.values():
        assert format.error_body(failure).decode()
        assert format.error_event(failure).decode()
    wait = retry_after_seconds(headers, now=1_790_000_000.0)
    assert wait is None or (math.isfinite(wait) and 0 <= wait <= LONGEST_SECONDS)
