"""The end of a gate: calls that are open may finish, unless somebody is in a hurry."""

from __future__ import annotations

import asyncio

from callgate.doors.server import Server


async def drain(server: Server, *, hurry: asyncio.Event) -> None:
    """Take no new calls, and let those that are open finish.

    Args:
        server: It is stopped when this returns.
        hurry: Once it is set, open calls are broken off, and settled at what they held.
    """
    stopping = asyncio.ensure_future(server.stop())
    hurried = asyncio.ensure_future(hurry.wait())
    try:
        await asyncio.wait({stopping, hurried}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            server.break_off()
        await stopping
    finally:
        hurried.cancel()
