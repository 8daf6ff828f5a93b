"""How long a provider asks to wait, in every form that is in use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast

from callgate.call import Headers

NUMBER: Final = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*", re.ASCII)

LENGTH: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+", re.ASCII)
LENGTH_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

LONGEST_SECONDS: Final = 10.0**9
"""Every longer wait counts as this one: it fits no deadline either."""

RESET: Final = re.compile(
    r"(x-ratelimit|anthropic-ratelimit)-(?:reset-(\w+)|([\w-]+)-reset)", re.ASCII
)
"""The name of a header that tells when a limit is full again.

Source: OpenAI's guide on rate limits (``x-ratelimit-reset-tokens: 6m0s``); Anthropic's
(``anthropic-ratelimit-tokens-reset``, RFC 3339).
"""

RETRY_INFO: Final = "type.googleapis.com/google.rpc.RetryInfo"
"""The detail of an error in which Google's services tell a wait.

Source: google/rpc/error_details.proto.
"""


def retry_after_seconds(headers: Headers, *, now: float | None = None) -> float | None:
    """Return the wait that a reply asks for, in seconds; None where it asks for none.

    ``retry-after-ms`` goes first, as it is the finer; ``retry-after`` may be whole or broken
    seconds, or an HTTP date, which is reckoned from the reply's own ``date``: then the clocks of
    provider and gate need not agree. Without either the limit that has nothing left tells when it
    is full again.

    Args:
        headers: The reply's headers, with names in lower case.
        now: The instant that a date is reckoned from where the reply has no ``date``, in seconds
            since 1970.

    Source: RFC 9110 §10.2.3; the official OpenAI and Anthropic SDKs for ``retry-after-ms`` and
    for broken seconds.
    """
    named = dict(reversed(headers))
    milliseconds = _number(named.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    asked = named.get("retry-after")
    since = _instant(named.get("date"), now)
    told = (_number(asked), _until(_read_date(asked), since), _reset(named, since))
    return next((wait for wait in told if wait is not None), None)


def hinted_seconds(error: Mapping[str, Any]) -> float | None:
    """Return the wait that an error's details ask for, in seconds; None where they ask for none."""
    details = error.get("details")
    if not isinstance(details, list):
        return None
    for detail in cast("list[object]", details):
        if isinstance(detail, dict):
            named = cast("dict[str, object]", detail)
            delay = named.get("retryDelay")
            if named.get("@type") == RETRY_INFO and isinstance(delay, str):
                return _length(delay)
    return None


def _reset(named: Mapping[str, str], since: datetime | None) -> float | None:
    """Return when the limit is full again that has nothing left; the last, of several."""
    return max(_resets(named, since), default=None)


def _resets(named: Mapping[str, str], since: datetime | None) -> Iterable[float]:
    for name, value in named.items():
        found = RESET.fullmatch(name)
        if found is None:
            continue
        family, of_openai, of_anthropic = found.groups()
        remaining = (
            f"{family}-remaining-{of_openai}"
            if of_anthropic is None
            else f"{family}-{of_anthropic}-remaining"
        )
        # One that says nothing of what is left may be any limit, also one that has enough.
        if _number(named.get(remaining)) != 0:
            continue
        wait = _length(value) if of_anthropic is None else _until(_read_instant(value), since)
        if wait is not None:
            yield wait


def _number(text: str | None) -> float | None:
    found = None if text is None else NUMBER.fullmatch(text)
    return None if found is None else min(float(found[1]), LONGEST_SECONDS)


def _length(text: str) -> float | None:
    """Return a length of time such as ``6m0s`` or ``45.8s``, in seconds; a bare number is seconds."""
    if LENGTH.fullmatch(text) is None:
        return _number(text)
    seconds = sum(float(n) * SECONDS[unit] for n, unit in LENGTH_PART.findall(text))
    return min(seconds, LONGEST_SECONDS)


def _instant(date: str | None, now: float | None) -> datetime | None:
    told = _read_date(date)
    if told is None and now is not None:
        return datetime.fromtimestamp(now, UTC)
    return told


def _until(until: datetime | None, since: datetime | None) -> float | None:
    if until is None or since is None:
        return None
    return min(max(0.0, (until - since).total_seconds()), LONGEST_SECONDS)


def _read_date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    # "-0000" says UTC and leaves out the zone.
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def _read_instant(text: str) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
