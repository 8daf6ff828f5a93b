"""Where an OpenAPI document comes from: a file or an address, in JSON or YAML."""

from __future__ import annotations

import asyncio
import json
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from callgate import __version__
from callgate.config.openapi.documents import Document
from callgate.errors import Failed, Misconfigured
from callgate.outside.client import Client, Timeouts

LARGEST: Final = 50_000_000
"""Bytes of a document that are read: GitHub's has 12 MB."""

TIMEOUTS: Final = Timeouts(
    connect_seconds=10.0, first_byte_seconds=60.0, read_seconds=60.0, total_seconds=300.0
)
GOOD: Final = 200
LOOPBACK: Final = ("http://localhost", "http://127.0.0.1", "http://[::1]")
ADDRESSES: Final = ("https://", "http://")

DATE: Final = "tag:yaml.org,2002:timestamp"
"""What YAML makes of text that looks like a date, and JSON does not."""


def read_document(source: str) -> Document:
    """Return the document of a file or an address.

    Raises:
        Misconfigured: It cannot be read, or is no OpenAPI document.
    """
    text = _fetched(source) if source.startswith(ADDRESSES) else _file(Path(source))
    try:
        page: object = json.loads(text)
    except RecursionError as error:
        msg = f"{source} is nested too deeply"
        raise Misconfigured(msg) from error
    except ValueError as error:
        page = _yaml(text, source, str(error))
    return Document(page)


def _file(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise _too_large(str(path))
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise Misconfigured(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path} is not in UTF-8: {error.reason} at byte {error.start}"
        raise Misconfigured(msg) from error


def _fetched(url: str) -> str:
    if not url.startswith(("https://", *LOOPBACK)):
        msg = f"{url} is not fetched without TLS, as anybody on the way could change what it says; use https"
        raise Misconfigured(msg)
    body = asyncio.run(_fetch(url))
    if body is None:
        raise _too_large(url)
    return body.decode("utf-8-sig", "replace")


async def _fetch(url: str) -> bytes | None:
    """Return what an address answers with, and follow it nowhere; None if it is too large."""
    client = Client(timeouts=TIMEOUTS)
    headers = (("accept", "application/json, */*"), ("user-agent", f"callgate/{__version__}"))
    try:
        response = await client.send(url, headers=headers, body=b"", method="GET")
        if response.status == GOOD:
            return await response.read_at_most(LARGEST)
    except Failed as failure:
        msg = f"{url} cannot be fetched: {failure.message}"
        raise Misconfigured(msg) from failure
    finally:
        await client.close()
    leads = next((value for name, value in response.headers if name == "location"), None)
    fix = "" if leads is None else f", which leads to {leads}: name that instead"
    msg = f"{url} answered with {response.status}{fix}"
    raise Misconfigured(msg)


def _too_large(source: str) -> Misconfigured:
    return Misconfigured(f"{source} has more than {LARGEST:,} bytes")


def _yaml(text: str, source: str, flaw: str) -> object:
    """Return what YAML holds, where there is a parser of it."""
    try:
        yaml: Any = import_module("yaml")
    except ImportError as error:
        msg = f"{source} is no JSON ({flaw}); if it is YAML, pip install 'callgate[yaml]' reads it"
        raise Misconfigured(msg) from error
    loader: Any = type("Plain", (yaml.SafeLoader,), {})
    loader.yaml_implicit_resolvers = {
        first: [pair for pair in pairs if pair[0] != DATE]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        return yaml.load(text, Loader=loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        told = " ".join(str(error).split())
        msg = f"{source} is neither JSON nor YAML: {told}"
        raise Misconfigured(msg) from error
