"""The two generations of MCP: which one a request is of, and what differs in an answer."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from typing import Any, Final

import msgspec

import callgate
from callgate.doors.exchange import Exchange
from callgate.doors.mcp.messages import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    UNSUPPORTED_VERSION,
    Message,
    ProtocolFlaw,
)

STATELESS: Final = ("2026-07-28",)
"""Versions in which every request says by itself what it is."""

HANDSHAKE: Final = ("2025-03-26", "2025-06-18", "2025-11-25")
"""Versions that begin with ``initialize``; the first is meant where no version is told.

Source: MCP 2025-11-25, "Protocol Version Header".
"""

SUPPORTED: Final = (*STATELESS, *reversed(HANDSHAKE))

VERSION_HEADER: Final = "mcp-protocol-version"
METHOD_HEADER: Final = "mcp-method"
NAME_HEADER: Final = "mcp-name"

RESERVED: Final = "io.modelcontextprotocol/"
VERSION_KEY: Final = RESERVED + "protocolVersion"
CAPABILITIES_KEY: Final = RESERVED + "clientCapabilities"
SERVER_KEY: Final = RESERVED + "serverInfo"

SERVER: Final[Mapping[str, str]] = {
    "name": "callgate",
    "title": "Callgate",
    "version": callgate.__version__,
}

ENCODED: Final = ("=?base64?", "?=")
"""What stands around a value that a header could not hold as it is.

Source: MCP 2026-07-28, "Value Encoding".
"""

FRESH_MS: Final = 10_000
"""How long a client may keep a list of tools: so long it may not see new settings, unless it listens."""


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """The rules that a request goes by."""

    version: str
    is_stateless: bool

    def complete(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a result as it is told in this generation."""
        if not self.is_stateless:
            return value
        meta = {**value.get("_meta", {}), SERVER_KEY: SERVER}
        return {"resultType": "complete", **value, "_meta": meta}

    def listed(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a result that a client may keep for a while, and show to nobody else."""
        if not self.is_stateless:
            return value
        return self.complete({**value, "ttlMs": FRESH_MS, "cacheScope": "private"})

    def can_say(self, structured: object) -> bool:
        """Return whether structured content can be told: only objects could be, once."""
        return self.is_stateless or isinstance(structured, Mapping)


_STATELESS: Final = {each: Generation(version=each, is_stateless=True) for each in STATELESS}
_HANDSHAKE: Final = {each: Generation(version=each, is_stateless=False) for each in HANDSHAKE}


def negotiated(offered: str | None) -> str:
    """Return the version that ``initialize`` agrees on: what is offered, or the newest of them."""
    return offered if offered in _HANDSHAKE else HANDSHAKE[-1]


def generation_of(exchange: Exchange, message: Message) -> Generation:
    """Return the rules that a request goes by, and hold its headers against its body.

    Raises:
        ProtocolFlaw: Its headers say something else than it does, or nobody speaks its version.
    """
    told = exchange.header(VERSION_HEADER)
    meant = message.meta.get(VERSION_KEY)
    if meant is None and (told is None or told in _HANDSHAKE):
        return _HANDSHAKE[told or HANDSHAKE[0]]
    if meant is None and told not in _STATELESS:
        raise unsupported(message, told)
    _has_what_it_must(message)
    _stands_once(exchange, message)
    _agree(message, VERSION_HEADER, told, meant)
    _agree(message, METHOD_HEADER, exchange.header(METHOD_HEADER), message.method)
    if message.method == "tools/call":
        told_name = decoded(exchange.header(NAME_HEADER))
        _agree(message, NAME_HEADER, told_name, message.params.name)
    generation = _STATELESS.get(str(meant))
    if generation is None:
        raise unsupported(message, meant)
    return generation


def decoded(value: str | None) -> str | None:
    """Return what a header means that may be encoded; None where it means nothing."""
    before, after = ENCODED
    if value is None or not (value.startswith(before) and value.endswith(after)):
        return value
    try:
        return b64decode(value[len(before) : -len(after)], validate=True).decode()
    except (NotBase64, UnicodeDecodeError):
        return None


def mismatch(message: Message, header: str) -> ProtocolFlaw:
    """Return the flaw of a request whose header and body do not say the same."""
    msg = f"the header {header} is missing, or does not say what the body says"
    fix = "send the header with what stands in the body"
    return ProtocolFlaw(msg, number=HEADER_MISMATCH, id=message.id, fix=fix)


def unsupported(message: Message, version: object) -> ProtocolFlaw:
    """Return the flaw of a request of a version that nobody speaks here."""
    msg = f"this gate does not speak MCP {version}; it speaks {', '.join(SUPPORTED)}"
    return ProtocolFlaw(
        msg,
        number=UNSUPPORTED_VERSION,
        id=message.id,
        data={"supported": SUPPORTED, "requested": str(version)},
        fix="speak one of these versions",
    )


def _has_what_it_must(message: Message) -> None:
    missing = [key for key in (VERSION_KEY, CAPABILITIES_KEY) if key not in message.meta]
    if missing:
        msg = f"params._meta lacks {' and '.join(missing)}"
        raise ProtocolFlaw(msg, number=INVALID_PARAMS, id=message.id)


def _stands_once(exchange: Exchange, message: Message) -> None:
    """Refuse a header that stands twice: who goes by the first and who goes by the last would differ."""
    names = [name for name, _ in exchange.headers if name.startswith("mcp-")]
    if len(names) > len(set(names)):
        twice = next(name for name in names if names.count(name) > 1)
        raise mismatch(message, twice)


def _agree(message: Message, header: str, told: object, meant: object) -> None:
    if told is None or told != meant:
        raise mismatch(message, header)
