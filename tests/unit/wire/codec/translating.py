"""Two providers, a client, and one request put from one format into another."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from callgate.errors import Failed
from callgate.wire.codec import Client, Home, Origin, Target
from callgate.wire.codec.canonical import Event, Minter, Prompt
from callgate.wire.codec.losses import Loss
from callgate.wire.codec.translate import (
    CODECS,
    UPSTREAMS,
    translate_reply,
    translate_request,
    translator,
)

FORMATS: Final = tuple(CODECS)
CHAT, MESSAGES = "openai_chat", "anthropic_messages"
RESPONSES, GEMINI = "openai_responses", "gemini_generate_content"
BEDROCK: Final = "bedrock_converse"
SOURCES: Final = tuple(UPSTREAMS)
"""The formats of replies: also those that no client speaks."""
PAIRS: Final = [(one, other) for one in FORMATS for other in FORMATS if one != other]
WAYS_OUT: Final = [*PAIRS, *((one, BEDROCK) for one in FORMATS)]
"""From whose format a request may go into whose."""
WAYS_BACK: Final = [*PAIRS, *((BEDROCK, one) for one in FORMATS)]
"""From whose format a reply may come back into whose."""

HOME: Final = Minter(provider="home", account="key-1")
AWAY: Final = Minter(provider="away", account="key-2")
FROM_HOME: Final = Home(minter=HOME, model="asked", stream=False)
TO_AWAY: Final = Target(minter=AWAY, model="served", output_tokens=900)
FROM_AWAY: Final = Origin(minter=AWAY, seed="call_1", model="served")
CLIENT: Final = Client(minter=HOME, seed="call_1", created=1_790_000_000)


class Put(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a translation."""

    page: dict[str, Any]
    losses: Sequence[Loss]

    @property
    def lost(self) -> list[str]:
        """The names of what was lost, in order."""
        return [loss.name for loss in self.losses]


def put(page: dict[str, Any], source: str, target: str, **changes: Any) -> Put:
    """Put a request into another format; ``changes`` are of the target."""
    to = msgspec.structs.replace(TO_AWAY, **changes)
    body = json.dumps(page).encode()
    written = translate_request(body, source, target=target, home=FROM_HOME, to=to)
    return Put(page=json.loads(written.body), losses=written.losses)


def put_reply(page: dict[str, Any], source: str, target: str, **changes: Any) -> Put:
    """Put a plain reply into another format; ``changes`` are of the client."""
    client = msgspec.structs.replace(CLIENT, **changes)
    body = json.dumps(page).encode()
    written = translate_reply(body, source, target=target, origin=FROM_AWAY, client=client)
    return Put(page=json.loads(written.body), losses=written.losses)


class Streamed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a stream."""

    told: bytes
    losses: Sequence[Loss]
    failure: Failed | None


def put_stream(chunks: Iterable[bytes], source: str, target: str, **changes: Any) -> Streamed:
    """Put a stream into another format, as a road does; a failure ends it with an error event."""
    client = msgspec.structs.replace(CLIENT, **changes)
    passing = translator(source, target=target, origin=FROM_AWAY, client=client)
    told = b""
    try:
        for chunk in chunks:
            told += passing.feed(chunk)
        told += passing.end()
    except Failed as failure:
        told += passing.fail(failure)
        return Streamed(told=told, losses=passing.losses, failure=failure)
    return Streamed(told=told, losses=passing.losses, failure=None)


def read(page: dict[str, Any], source: str) -> Prompt:
    """Read a request into the canonical form."""
    return CODECS[source].read_request(json.dumps(page).encode(), FROM_HOME)


def events_of(chunks: Iterable[bytes], source: str) -> list[Event]:
    """Read a stream into canonical events."""
    reader = UPSTREAMS[source].reader(FROM_AWAY)
    events: list[Event] = []
    for chunk in chunks:
        events += reader.feed(chunk)
    events += reader.end()
    return events


def data_in(stream: bytes) -> list[Any]:
    """Return the data of every event, decoded, without ``[DONE]``."""
    lines = [line[6:] for line in stream.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]
