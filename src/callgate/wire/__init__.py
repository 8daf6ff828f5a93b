"""What providers speak: one module for each format, and the parts that they share.

A format reads just as much of the bytes as the gate must know, and changes just what it must;
everything else passes through as it came.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from callgate.call import Headers, Meter
from callgate.errors import CallgateError, Failed
from callgate.wire.document import Document
from callgate.wire.images import Size


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says about itself, as far as the gate must know it."""

    document: Document
    """The body, with the places of its top-level values."""
    model: str
    stream: bool
    output_limit: int | None
    """The output limit that the client asked for, in tokens; None if it named none."""
    choices: int = 1
    messages: int
    """How many messages, tools and system parts there are (each costs a few hidden tokens)."""
    has_tools: bool
    opaque: str | None = None
    """Why the bytes do not bound the input (``messages[3] holds an image``); None if they do."""
    image_sizes: tuple[Size | None, ...] = ()
    """The images, each of which counts what its provider says, and not its bytes; None where its
    size is not known."""
    image_bytes: int = 0
    """The bytes of the body that they take."""
    wants_usage: bool = True
    """Whether the client itself asked for usage in the stream."""
    service_tier: object = None
    """The service tier that the request asks for, as it was written; None if it asks for none."""
    earlier: str | None = None
    """The earlier reply that it goes on from, by its id; its provider has kept it."""
    inputs: int = 1
    """How many inputs it has that the model takes one by one (embeddings): each may fill its window."""
    charged: str | None = None
    """What in it may be charged besides tokens, though no reply tells how much of it was used."""


class Rewrite(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it leaves."""

    body: bytes
    changes: tuple[str, ...]
    """What differs from what the client sent, for the audit row: ``model=gpt-5.5``."""


class Scanner(Protocol):
    """Reads a stream while it passes; keeps the meter up to date."""

    def feed(self, chunk: bytes, /) -> bytes:
        """Take bytes from the provider; return the bytes to relay now.

        Raises:
            Failed: An error event of the provider came before any content.
            BrokenReply: The stream says what cannot be read.
        """
        ...

    def end(self) -> bytes:
        """Say that the provider closed the stream; return what is left to relay.

        Raises:
            BrokenReply: The stream ended before its own end event.
        """
        ...

    @property
    def has_content(self) -> bool:
        """Whether anything that a reader would miss has been fed; before it, a fallback is safe."""
        ...


class Format(Protocol):
    """One way to ask a model, with its replies, streams and errors."""

    @property
    def name(self) -> str:
        """The format's name, such as ``openai_chat``."""
        ...

    @property
    def api(self) -> str:
        """The api of the providers that speak it, such as ``openai``."""
        ...

    @property
    def costs_output(self) -> bool:
        """False where a reply has no output to pay for (``count_tokens``)."""
        ...

    def path(self, *, model: str, stream: bool) -> str:
        """Return where a provider serves it, below its base URL, such as ``/chat/completions``.

        Args:
            model: The model's name at the provider.
            stream: Whether a stream is asked for.
        """
        ...

    def parse(self, body: bytes, /, *, model: str = "", stream: bool = False) -> Request:
        """Read a request.

        Args:
            body: The bytes.
            model: The model, where the format has it outside of the body (Gemini); the others read
                it from the body.
            stream: Whether a stream is asked for, likewise.

        Raises:
            Malformed: Not JSON, not an object, or a field that the gate must know has the
                wrong type; the message names the field and what was found.
        """
        ...

    def rewrite(
        self, request: Request, /, *, model: str, output_tokens: int | None, limit_field: str | None
    ) -> Rewrite:
        """Return the request as it leaves, changed in the named places only.

        Args:
            request: What was parsed.
            model: The model's name at the provider.
            output_tokens: The output limit to insert, or None to leave the request's own.
            limit_field: The field to insert it in, where the format knows several.
        """
        ...

    def read(self, body: bytes, meter: Meter, /) -> None:
        """Read a plain reply into ``meter``.

        Raises:
            BrokenReply: It is not what this format answers with.
        """
        ...

    def scanner(self, request: Request, meter: Meter, /) -> Scanner:
        """Return a reader for a stream that answers ``request``."""
        ...

    def failure(self, status: int, headers: Headers, body: bytes, /) -> Failed:
        """Say what a reply with a status of 400 or more means."""
        ...


class ClientFormat(Format, Protocol):
    """A format that clients speak too: it can tell them of an error."""

    def error_body(self, error: CallgateError, /) -> bytes:
        """Return the body that tells a client of this format about ``error``."""
        ...

    def error_event(self, error: CallgateError, /) -> bytes:
        """Return the bytes that end a started stream with ``error``."""
        ...
