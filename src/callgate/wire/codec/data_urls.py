"""URLs that hold what they name: ``data:image/png;base64,…``."""

from __future__ import annotations

import re
from typing import Final

DATA_URL: Final = re.compile(
    r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w-]+=[^;,]*)*;base64,", re.ASCII | re.IGNORECASE
)
"""Source: RFC 2397; only base64 is in use for images and documents."""


def parse(url: str) -> tuple[str | None, str] | None:
    """Return media type and base64; None if it is another kind of URL."""
    found = DATA_URL.match(url)
    return None if found is None else (found[1], url[found.end() :])


def write(media_type: str | None, data: str) -> str:
    """Return a URL that holds base64."""
    return f"data:{media_type or 'application/octet-stream'};base64,{data}"
