"""Every test of this folder runs on both event loops, which close and abort differently."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path

import pytest
import trustme
import uvloop

from callgate.outside.client import Client
from tests.contract.client.peers import connect


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def client() -> AsyncGenerator[Client]:
    """A client that waits for as long as it takes."""
    async with connect() as made:
        yield made


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate authority's file, and what makes a peer use a certificate of it."""
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.issue_cert("127.0.0.1").configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    return tmp_path / "ca.pem", context
