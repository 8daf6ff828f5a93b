"""A gate whose agent may refund, as a process of its own: ``python -m tests.soak.bank_gate FILE BANK``."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from callgate.config import load
from callgate.doors.app import http_app
from callgate.doors.server import Server
from callgate.gate import Gate
from tests.soak.bank import BankTools


async def serve(config: str, bank_url: str) -> None:
    """Serve until somebody ends it."""
    settings = load(Path(config), environ=os.environ)
    gate = await Gate.open(settings, environ=os.environ, toolsets=[BankTools(bank_url)])
    server = Server(http_app(gate), host="127.0.0.1", port=0, drain_seconds=5)
    await server.start()
    sys.stdout.write(f"serves at {server.url}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
