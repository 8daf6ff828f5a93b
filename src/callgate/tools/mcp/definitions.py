"""What a server says that its tools are: read with suspicion, kept word for word."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, cast

import msgspec

from callgate.tools.definitions import canonical

NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
"""Names that are taken as they are.

Source: specification of MCP 2025-11-25, server/tools, "Tool Names".
"""

ODD: Final = re.compile(r"[^A-Za-z0-9_.-]+")
LONGEST_NAME: Final = 128

MAX_DEFINITION_BYTES: Final = 256_000
"""The largest definition of one tool: a model reads it with every request."""

SHOWN: Final = 60
"""How many characters of a strange name a message shows."""


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """One tool as its server defines it."""

    name: str
    """What agents call it, after the name of the server."""
    remote_name: str
    """What the server calls it."""
    raw: Mapping[str, Any]
    """The definition, word for word."""
    digest: str
    """SHA-256 of its canonical form, as hexadecimal digits."""


class Unusable(msgspec.Struct, frozen=True, kw_only=True):
    """One tool that is not offered to anybody."""

    name: str
    """What the server calls it, in visible characters."""
    reason: str


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """The tools of a server, as it has told them at one time."""

    definitions: tuple[Definition, ...] = ()
    unusable: tuple[Unusable, ...] = ()
    digest: str
    """SHA-256 over the canonical forms of all definitions, in whatever order they came."""
    listed_at: float
    """When it was told, in seconds of the clock's monotonic time."""
    ttl_seconds: float
    """How long it holds."""


def listing(
    raws: Sequence[Mapping[str, Any]],
    *,
    listed_at: float,
    ttl_seconds: float,
    schema_flaw: Callable[[Any], str | None] | None = None,
) -> Listing:
    """Return the tools of a list, and which of it cannot be used, each with the reason.

    Args:
        raws: The definitions as they came.
        listed_at: When, in seconds of the clock's monotonic time.
        ttl_seconds: How long they hold.
        schema_flaw: What else may be wrong with a schema, by the version of MCP that is spoken.
    """
    forms = [canonical(raw) for raw in raws]
    names = [raw.get("name") for raw in raws]
    told = Counter(name for name in names if isinstance(name, str))
    offered = Counter(_offered(name) for name in told)
    definitions: list[Definition] = []
    unusable: list[Unusable] = []
    for raw, form, name in zip(raws, forms, names, strict=True):
        reason = _flaw(raw, form, told, offered)
        if reason is None and schema_flaw is not None:
            reason = schema_flaw(raw["inputSchema"])
        if reason is not None:
            unusable.append(Unusable(name=ascii(name)[1:-1][:SHOWN], reason=reason))
            continue
        definitions.append(
            Definition(
                name=_offered(str(name)),
                remote_name=str(name),
                raw=raw,
                digest=sha256(form).hexdigest(),
            )
        )
    return Listing(
        definitions=tuple(definitions),
        unusable=tuple(unusable),
        digest=sha256(b"\n".join(sorted(forms))).hexdigest(),
        listed_at=listed_at,
        ttl_seconds=ttl_seconds,
    )


def _flaw(
    raw: Mapping[str, Any], form: bytes, told: Counter[str], offered: Counter[str]
) -> str | None:
    """Return why a tool is not offered; None if it is."""
    name, schema = raw.get("name"), cast("Mapping[str, Any] | None", raw.get("inputSchema"))
    if not isinstance(name, str) or not name:
        return "it has no name"
    if told[name] > 1:
        return f"{told[name]} tools of the list have this name, and which one is meant is unclear"
    if offered[_offered(name)] > 1:
        return f"another tool of the list would be called {_offered(name)!r} too"
    if len(form) > MAX_DEFINITION_BYTES:
        return f"its definition has {len(form):,} bytes; one may have {MAX_DEFINITION_BYTES:,}"
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        return "its inputSchema is not the schema of an object"
    return _name_flaw(name)


def _name_flaw(name: str) -> str | None:
    if not (name.isascii() and name.isprintable()):
        return "its name has characters that look like others, or like nothing"
    if len(name) > LONGEST_NAME:
        return f"its name has {len(name)} characters; a name may have {LONGEST_NAME}"
    return None


def _offered(name: str) -> str:
    """Return what agents call a tool: its name, with what no name may have as underscores."""
    return name if NAME.fullmatch(name) else ODD.sub("_", name)
