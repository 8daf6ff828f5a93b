"""For which time a call of a tool is meant, on purpose, as every door over HTTP is told."""

from __future__ import annotations

import re
from typing import Final

from callgate.errors import Malformed, Reason

HEADER: Final = "callgate-repeat"

NUMBER: Final = re.compile(r"-?[0-9]{1,9}")

LONGEST_SHOWN: Final = 40
"""Characters of what was said that a refusal repeats."""


def repeat_of(said: object) -> int | None:
    """Return for which time a call says that it is meant; None where it says nothing.

    Raises:
        Malformed: It says no whole number.
    """
    if said is None or said == "":
        return None
    text = str(said)
    if not NUMBER.fullmatch(text):
        fix = "send for which time this call is meant: 2 for the second"
        msg = f"Callgate-Repeat is no whole number: {text[:LONGEST_SHOWN]!r}; {fix}"
        raise Malformed(msg, reason=Reason(code="repeat_range", fix=fix))
    return int(text)
