"""Tools as the rest of the house sees them: frozen, and with what the settings leave to the source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from callgate.call import Effect, Tool, Within, Witness
from callgate.money import Money

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

FROM_THE_QUERY: Final = frozenset({"GET", "DELETE"})
"""Methods whose parameters go into the query where nothing else is said: a body has no meaning to
them in general. Source: RFC 9110 §9.3.1, §9.3.5."""

Place = Literal["path", "query", "header", "json", "form", "body"]
"""Where a parameter of a tool over HTTP goes."""

Returns = Literal["json", "text", "any"]

Meaning = Literal[
    "answer", "bad_request", "bad_credential", "forbidden", "out_of_credit", "rate_limited",
    "transient", "timed_out",
]  # fmt: skip
"""What a status of an error means: an answer for the agent, or a kind of failure."""

LARGEST_RESULT: Final = 64_000
"""Bytes of text that an agent gets where nobody says: some 16,000 tokens."""

DOLLAR: Final = Money.dollars("1")


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a call of a tool over HTTP takes, or that all its calls send."""

    name: str
    """What agents call it."""
    place: Place
    sent_as: str
    """What it is called where it goes."""
    schema: Mapping[str, Any] = {}
    """What JSON schema says about it."""
    is_optional: bool = False
    value: Any = None
    """What every call sends, so that no agent sees it; None where agents choose."""


class HttpPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """``[tools.NAME.http]``: how a tool over HTTP is asked."""

    method: Method = "GET"
    url: str
    """With its parameters in braces; they stand in the path only."""
    parameters: tuple[Parameter, ...] = ()
    auth: str = "bearer"
    """How the key is sent: ``bearer``, ``basic``, ``header:NAME`` or ``query:NAME``."""
    idempotency_header: str | None = None
    returns: Returns = "json"
    pick: str | None = None
    """What of a reply the agent gets; this and what follows that names a place is JMESPath."""
    fails_when: str | None = None
    error_message: str | None = None
    errors: Mapping[int, Meaning] = {}
    """What statuses mean that mean something else than usual."""
    cost_from: str | None = None
    cost_unit: Money = DOLLAR
    ca_file: Path | None = None
    proxy: str | None = None


class ToolPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """``[tools.NAME]``: a tool of the settings, or what they say about one of a server.

    None leaves it to where the tool comes from.
    """

    name: str
    python: str | None = None
    """``module:function``."""
    http: HttpPolicy | None = None
    description: str | None = None
    effect: Effect | None = None
    is_idempotent: bool | None = None
    key: str | None = None
    """A secret reference, such as ``env:SHOP_KEY``."""
    cost: Money | None = None
    timeout_seconds: float | None = None
    max_bytes: int = LARGEST_RESULT
    """The most text that an agent gets of a result."""
    once: str | None = None
    once_in: Within | None = None
    repeats: bool | None = None
    error_is_unknown: bool | None = None
    check: Witness | None = None

    def applied_to(self, tool: Tool) -> Tool:
        """Return a tool with what the settings say about it, whatever its source says."""
        said = {field: getattr(self, field) for field in OVERRIDES}
        return msgspec.structs.replace(
            tool, **{field: value for field, value in said.items() if value is not None}
        )


OVERRIDES: Final = (
    "name", "description", "effect", "is_idempotent", "key", "cost", "timeout_seconds", "once",
    "once_in", "repeats", "error_is_unknown", "check",
)  # fmt: skip
"""What the settings may say about a tool in the place of its source."""
