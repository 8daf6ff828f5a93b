"""How long a provider asks to wait, in every form that is in use."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from callgate.call import Headers

NUMBER: Final = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*", re.ASCII)

LONGEST_SECONDS: Final = 10.0**9
"""Every longer wait counts as this one: it fits no deadline either."""


def retry_after_seconds(headers: Headers, *, now: float | None = None) -> float | None:
    """Return the wait that a reply asks for, in seconds; None where it asks for none.

    ``retry-after-ms`` goes first, as it is the finer; ``retry-after`` may be whole or broken
    seconds, or an HTTP date, which is reckoned from the reply's own ``date``: then the clocks of
    provider and gate need not agree.

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
    seconds = _number(asked)
    return _until(asked, _instant(named.get("date"), now)) if seconds is None else seconds


def _number(text: str | None) -> float | None:
    found = None if text is None else NUMBER.fullmatch(text)
    return None if found is None else min(float(found[1]), LONGEST_SECONDS)


def _instant(date: str | None, now: float | None) -> datetime | None:
    told = _read_date(date)
    if told is None and now is not None:
        return datetime.fromtimestamp(now, UTC)
    return told


def _until(text: str | None, since: datetime | None) -> float | None:
    until = _read_date(text)
    if until is None or since is None:
        return None
    return max(0.0, (until - since).total_seconds())


def _read_date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    # "-0000" says UTC and leaves out the zone.
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
