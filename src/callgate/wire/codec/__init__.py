"""The codec: a request of one format served by a provider of another.

It serves only a fallback to another format; what stays in its own passes through as bytes. Every
format is read into the canonical form and written from it, so that each is known once. What the
target cannot hold is in the list of losses, and whoever asks decides whether that is too much.

The request goes over once, whole. The reply comes back whole or as a stream, in pieces that depend
in no way on how the network cut them. Both directions keep a conversation alive: what a client
gets here it can send back to the provider of its own format, and to the fallback again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from callgate.errors import CallgateError
from callgate.wire.codec.canonical import Completion, Event, Minter, Prompt
from callgate.wire.codec.losses import Loss


class Home(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request would have gone in its own format."""

    minter: Minter | None
    """Who made the signed parts in it; None if nobody can say, and then they go to nobody."""
    model: str = ""
    """The model, where the format has it outside of the body (Gemini)."""
    stream: bool = False
    """Whether a stream is asked for, where the format has that outside of the body (Gemini)."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a reply comes from."""

    minter: Minter
    """Who made the signed parts in it."""
    seed: str
    """What ids are made of that the reply lacks; unlike that of any other reply."""
    model: str = ""
    """The model that was asked, where the reply does not name it (Bedrock)."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request goes instead."""

    minter: Minter
    model: str
    output_tokens: int
    """The output limit to send where the request names none."""
    lacks: frozenset[str] = frozenset()
    """What the model or the server does not take, though its format has it: names of fields of
    the canonical form such as ``temperature``, ``stop`` or ``images``, or ``stream_options``; see
    each codec."""
    tool_ids: str | None = None
    """A key of :data:`callgate.wire.codec.tool_ids.ALPHABETS`, where the server is stricter than
    its format."""
    thinking_field: str | None = None
    """The field of a chat message that holds what the model thought (``reasoning_content``)."""
    limit_field: str = "max_completion_tokens"
    """The field of a chat request for the output limit."""


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """Who gets the reply, in its own format."""

    minter: Minter | None
    """Whose signed parts the client can send back where they belong."""
    seed: str
    """What ids are made of that the reply lacks; unlike that of any other reply."""
    created: int
    """When the reply was made, in seconds since 1970, where the format tells it."""
    wants_usage: bool = True
    echo: Mapping[str, msgspec.Raw] = {}
    tool_ids: str | None = None
    thinking_field: str | None = None
    """The field of a chat message in which the client reads, and may send back, thoughts; what is
    in it goes to a provider of the client's own format as it is."""


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A translation: the bytes, and what they do not hold."""

    body: bytes
    losses: tuple[Loss, ...]


class StreamReader(Protocol):
    """Reads a stream of one format."""

    def feed(self, chunk: bytes, /) -> Sequence[Event]:
        """Return the events that are complete now; after one that broke there are no more."""
        ...

    def end(self) -> Sequence[Event]:
        """Say that the stream is closed; it broke if it has not come to its own end."""
        ...


class StreamWriter(Protocol):
    """Writes a stream of one format."""

    def write(self, event: Event, /) -> bytes:
        """Return the bytes that tell an event, perhaps none yet.

        Raises:
            BrokenReply: What the stream says cannot be said in this format.
        """
        ...

    def fail(self, error: CallgateError, /) -> bytes:
        """Return the bytes that end the stream with an error."""
        ...

    @property
    def losses(self) -> Sequence[Loss]:
        """What has not gone over so far."""
        ...


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """A format that providers speak, and perhaps no client: what writes it to them and reads them."""

    name: str
    """The format's name, such as ``bedrock_converse``."""
    write_request: Callable[[Prompt, Target], Written]
    read_reply: Callable[[bytes, Origin], Completion]
    """Raises BrokenReply where it is not what this format answers with."""
    reader: Callable[[Origin], StreamReader]


class Codec(Upstream, frozen=True, kw_only=True):
    """A format that clients speak too, to and from the canonical form."""

    read_request: Callable[[bytes, Home], Prompt]
    """Raises Malformed where it cannot be read."""
    write_reply: Callable[[Completion, Client], Written]
    """Raises BrokenReply where what it says cannot be said in this format."""
    writer: Callable[[Client], StreamWriter]
    error_body: Callable[[CallgateError], bytes]
    """Returns the body that tells a client of this format about an error."""
    refuses: Callable[[bytes], str | None] | None = None
    """Returns why a provider of this format refuses to go on with what the model of another one
    has begun, if it does; None where none ever does."""
