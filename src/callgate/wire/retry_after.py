"""How long a provider asks to wait, in every form that is in use."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from callgate.call import Headers


def retry_after_seconds(headers: Headers) -> float | None:
    """Return the wait that a reply asks for, in seconds; None where it asks for none.

    ``retry-after-ms`` goes first, as it is the finer; ``retry-after`` may be whole or broken
    seconds, or an HTTP date, which is reckoned from the reply's own ``date``.

    Source: RFC 9110 §10.2.3; the official OpenAI and Anthropic SDKs for ``retry-after-ms`` and
    for broken seconds.
    """
    named = dict(reversed(headers))
    milliseconds = _number(named.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = named.get("retry-after")
    seconds = _number(text)
    return _until(text, named.get("date")) if seconds is None else seconds


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    # Neither a negative wait nor "nan" or "inf" is a wait.
    return number if 0 <= number < float("inf") else None


def _until(text: str | None, date: str | None) -> float | None:
    if text is None or date is None:
        return None
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(date)
    except (ValueError, TypeError):
        return None
    return max(0.0, wait.total_seconds())
