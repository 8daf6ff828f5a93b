"""Checks the signature of a request, as AWS does before it reads one.

Source: AWS's reference "Create a signed AWS API request" (Signature Version 4).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, quote

from callgate.testing.simulator.connection import Incoming
from callgate.testing.simulator.request import Problem

SCHEME: Final = "AWS4-HMAC-SHA256"
SIGNED: Final = re.compile(
    r"Credential=(?P<key>[^/]+)/(?P<scope>(?P<date>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)"
    r"/aws4_request),\s*SignedHeaders=(?P<headers>[^,]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)
SERVICE: Final = "bedrock"
NEEDED: Final = frozenset({"host", "x-amz-date"})
"""Headers that must be signed."""


def access_key_in(authorization: str) -> str | None:
    """Return the access key that a request is signed with."""
    found = SIGNED.search(authorization)
    return None if found is None else found["key"]


def check_signature(incoming: Incoming, secrets: Mapping[str, str]) -> None:
    """Refuse a request that is not signed with one of the keys, or wrongly.

    Args:
        incoming: The request.
        secrets: The secrets by access key.

    Raises:
        Problem: It is one of these.
    """
    found = SIGNED.search(incoming.header("authorization") or "")
    if found is None or found["key"] not in secrets:
        raise Problem(403, kind="credential")
    names = found["headers"].split(";")
    if found["service"] != SERVICE or not set(names) >= NEEDED:
        raise Problem(403, kind="signature")
    digest = hashlib.sha256(_canonical(incoming, names).encode()).hexdigest()
    instant = incoming.header("x-amz-date") or ""
    told = f"{SCHEME}\n{instant}\n{found['scope']}\n{digest}"
    key = f"AWS4{secrets[found['key']]}".encode()
    for step in (found["date"], found["region"], found["service"], "aws4_request", told):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    if not hmac.compare_digest(key.hex(), found["signature"]):
        raise Problem(403, kind="signature")


def _canonical(incoming: Incoming, names: list[str]) -> str:
    """Return what is signed: method, path, query, some headers, and the digest of the body.

    The path is escaped a second time, as everywhere but in S3.
    """
    query = sorted(parse_qsl(incoming.query, keep_blank_values=True))
    told = "&".join(
        f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query
    )
    headers = "".join(
        f"{name}:{' '.join((incoming.header(name) or '').split())}\n" for name in names
    )
    body = hashlib.sha256(incoming.body).hexdigest()
    path = quote(incoming.path, safe="/-_.~")
    return "\n".join([incoming.method, path, told, headers, ";".join(names), body])
