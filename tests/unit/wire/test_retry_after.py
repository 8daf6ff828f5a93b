"""How long a provider asks to wait, whatever way it says so."""

from __future__ import annotations

from typing import Any

import pytest

from callgate.call import Headers
from callgate.wire.retry_after import (
    LONGEST_SECONDS,
    RETRY_INFO,
    hinted_seconds,
    retry_after_seconds,
)

NOON = ("date", "Tue, 24 Nov 2026 12:00:00 GMT")
LATER = "Tue, 24 Nov 2026 12:00:07 GMT"
NOON_SECONDS = 1_795_521_600.0


def of_openai(**remaining: str) -> Headers:
    """OpenAI's limits, with what is left of each."""
    resets = (("x-ratelimit-reset-requests", "1s"), ("x-ratelimit-reset-tokens", "6m2.5s"))
    left = ((f"x-ratelimit-remaining-{name}", number) for name, number in remaining.items())
    return (*resets, *left)


def of_anthropic(remaining: str, *, until: str = "2026-11-24T12:00:07Z") -> Headers:
    """One of Anthropic's limits."""
    name = "anthropic-ratelimit-input-tokens"
    return ((f"{name}-remaining", remaining), (f"{name}-reset", until))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ((), None),
        ((("retry-after", "2"),), 2.0),
        ((("retry-after", " 1.5 "),), 1.5),
        ((("retry-after", "0"),), 0.0),
        ((("retry-after-ms", "200"), ("retry-after", "1")), 0.2),
        ((("retry-after-ms", "soon"), ("retry-after", "1")), 1.0),
        ((("retry-after", LATER), NOON), 7.0),
        ((("retry-after", "Tue, 24 Nov 2026 12:00:07 -0000"), NOON), 7.0),
        ((("retry-after", "Tuesday, 24-Nov-26 12:00:07 GMT"), NOON), 7.0),
        ((NOON, ("retry-after", "Tue, 24 Nov 2026 11:59:00 GMT")), 0.0),
        ((("retry-after", LATER),), None),
        ((("retry-after", "tomorrow"), NOON), None),
        ((("retry-after", "-3"),), None),
        ((("retry-after", "nan"),), None),
        ((("retry-after", "1_0"),), None),
        ((("retry-after", "9" * 400),), LONGEST_SECONDS),
        ((("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT"), NOON), LONGEST_SECONDS),
        ((("retry-after", "3"), ("retry-after", "9")), 3.0),
        (of_openai(requests="0"), 1.0),
        (of_openai(tokens="0"), 362.5),
        (of_openai(requests="0", tokens="0"), 362.5),
        (of_openai(requests="5", tokens="9"), None),
        ((*of_openai(tokens="0"), ("retry-after", "0")), 0.0),
        ((("x-ratelimit-reset-tokens", "6m0s"),), None),
        ((("x-ratelimit-remaining-x", "0"), ("x-ratelimit-reset-x", "soon")), None),
        ((*of_anthropic("0"), NOON), 7.0),
        ((*of_anthropic("12"), NOON), None),
        (of_anthropic("0"), None),
        ((*of_anthropic("0", until="next week"), NOON), None),
        ((*of_anthropic("0", until="2026-11-24T12:00:09"), NOON), 9.0),
    ],
)
def test_every_form_of_a_wait_is_understood(headers: Headers, seconds: float | None) -> None:
    assert retry_after_seconds(headers) == seconds


def test_a_date_is_reckoned_from_our_own_clock_where_the_reply_has_none() -> None:
    assert retry_after_seconds((("retry-after", LATER),), now=NOON_SECONDS) == 7.0


def test_the_providers_own_date_goes_before_our_clock() -> None:
    headers = (("retry-after", LATER), NOON)
    assert retry_after_seconds(headers, now=NOON_SECONDS + 3600) == 7.0


@pytest.mark.parametrize(
    ("details", "seconds"),
    [
        (None, None),
        ("soon", None),
        ([], None),
        ([{"@type": RETRY_INFO, "retryDelay": "45.837906927s"}], 45.837906927),
        ([{"@type": "other"}, 7, {"@type": RETRY_INFO, "retryDelay": "2s"}], 2.0),
        ([{"@type": RETRY_INFO, "retryDelay": 2}], None),
        ([{"@type": RETRY_INFO, "retryDelay": "a while"}], None),
        ([{"@type": "other", "retryDelay": "2s"}], None),
    ],
)
def test_a_wait_may_stand_in_the_details_of_an_error(details: Any, seconds: float | None) -> None:
    assert hinted_seconds({"details": details}) == seconds
