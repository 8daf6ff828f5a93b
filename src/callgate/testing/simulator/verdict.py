"""What the simulated providers think of their clients: requests that should not have come again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

import msgspec

from callgate.testing.simulator.bill import Entry

Rule = Literal[
    "retry_after_ignored", "retried_money", "retried_non_retryable", "retry_storm", "no_backoff"
]

NOT_RETRYABLE: Final = frozenset({400, 401, 403, 404, 405, 413, 422})
OUT_OF_MONEY: Final = 402
MOST_RETRIES: Final = 3
"""How often the same request may come again after a failure before it is a storm."""
SHORTEST_BACKOFF_SECONDS: Final = 0.1
TOLERANCE_SECONDS: Final = 0.005
"""What a timer of the client may fire early."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One request that should not have come, or not yet."""

    rule: Rule
    n: int
    """Its line on the bill."""
    after_n: int
    """The line of the failure before it."""
    api: str
    model: str | None
    key: str | None
    """The last four characters of the key."""
    status: int
    """How the one before it ended; 0 where the client got no status."""
    waited_seconds: float | None
    """From that answer to this request; None where the connection just broke."""
    wanted_seconds: float | None
    """What that answer asked to wait."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a server can hold against its clients."""

    ok: bool
    requests: int
    retries: int
    """Requests that came again, byte for byte and with the same key, after they had failed."""
    findings: tuple[Finding, ...]


def judge(entries: Sequence[Entry]) -> Verdict:
    """Return the verdict as it stands.

    Args:
        entries: Every line of the bill, in the order of arrival.
    """
    latest: dict[bytes, Entry] = {}
    counts: dict[bytes, int] = {}
    findings: list[Finding] = []
    retries = 0
    for entry in entries:
        before = latest.get(entry.digest)
        latest[entry.digest] = entry
        if before is None or before.state not in {"refused", "cut"}:
            counts[entry.digest] = 0
            continue
        retries += 1
        counts[entry.digest] += 1
        found = list(_rules(before, entry))
        if counts[entry.digest] == MOST_RETRIES + 1:
            found.append("retry_storm")
        findings += [_finding(rule, before, entry) for rule in found]
    return Verdict(
        ok=not findings, requests=len(entries), retries=retries, findings=tuple(findings)
    )


def _rules(before: Entry, entry: Entry) -> Iterator[Rule]:
    error = before.error
    if error is None:
        return
    waited = entry.arrived_at - before.refused_at
    if error.kind == "money" or error.status == OUT_OF_MONEY:
        yield "retried_money"
    elif error.status in NOT_RETRYABLE:
        yield "retried_non_retryable"
    elif error.retry_after_seconds is None:
        if waited < SHORTEST_BACKOFF_SECONDS:
            yield "no_backoff"
    elif waited + TOLERANCE_SECONDS < error.retry_after_seconds:
        yield "retry_after_ignored"


def _finding(rule: Rule, before: Entry, entry: Entry) -> Finding:
    error = before.error
    return Finding(
        rule=rule,
        n=entry.n,
        after_n=before.n,
        api=entry.api,
        model=entry.model,
        key=entry.key,
        status=before.status,
        waited_seconds=None if error is None else round(entry.arrived_at - before.refused_at, 6),
        wanted_seconds=None if error is None else error.retry_after_seconds,
    )
