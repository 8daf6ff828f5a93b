"""How long a provider asks to wait, whatever way it says so."""

from __future__ import annotations

import pytest

from callgate.call import Headers
from callgate.wire.retry_after import LONGEST_SECONDS, retry_after_seconds

NOON = ("date", "Tue, 24 Nov 2026 12:00:00 GMT")
LATER = "Tue, 24 Nov 2026 12:00:07 GMT"
NOON_SECONDS = 1_795_521_600.0


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
        ((("retry-after", "3"), ("retry-after", "9")), 3.0),
    ],
)
def test_every_form_of_a_wait_is_understood(headers: Headers, seconds: float | None) -> None:
    assert retry_after_seconds(headers) == seconds


def test_a_date_is_reckoned_from_our_own_clock_where_the_reply_has_none() -> None:
    assert retry_after_seconds((("retry-after", LATER),), now=NOON_SECONDS) == 7.0


def test_the_providers_own_date_goes_before_our_clock() -> None:
    headers = (("retry-after", LATER), NOON)
    assert retry_after_seconds(headers, now=NOON_SECONDS + 3600) == 7.0
