"""A wire to the server that is cut at a commit: before the server hears of it, or before we hear back."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

CHUNK = 65_536
COMMIT = b"COMMIT\0"


class Wire:
    """Carries bytes between clients of a socket and the server.

    Attributes:
        url: Leads to the server over this wire.
        cuts: When the connection of the next commit is cut; None for never.
        meanwhile: What happens between that commit and the cut.
        is_down: Whether nobody gets through.
    """

    def __init__(self, url: str, folder: Path) -> None:
        told = conninfo_to_dict(url)
        self._host, self._port = str(told["host"]), int(told.get("port") or 5432)
        self._socket = folder / f".s.PGSQL.{self._port}"
        self.url = f"{url}&host={quote(str(folder), safe='')}"
        self.cuts: Literal["before", "after"] | None = None
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self.is_down = False
        self.carrying: list[asyncio.Future[None]] = []

    async def listen(self) -> asyncio.Server:
        return await asyncio.start_unix_server(self._carry, self._socket)

    async def fail(self) -> None:
        """Let nobody through any more."""
        self.is_down = True

    async def _carry(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self.is_down:
            writer.close()
            return
        self.carrying.append(asyncio.ensure_future(self._carry_on(reader, writer)))

    async def _carry_on(self, reader: StreamReader, writer: StreamWriter) -> None:
        from_server, to_server = await self._reach()
        back = asyncio.ensure_future(self._back(from_server, writer))
        while chunk := await reader.read(CHUNK):
            cuts = self.cuts if COMMIT in chunk else None
            if cuts is None:
                to_server.write(chunk)
                continue
            self.cuts = None
            back.cancel()
            await asyncio.wait([back])
            if cuts == "after":
                to_server.write(chunk)
                await from_server.read(CHUNK)
            if self.meanwhile is not None:
                await self.meanwhile()
            break
        for end in (to_server, writer):
            end.close()
        await asyncio.wait([back])

    async def _reach(self) -> tuple[StreamReader, StreamWriter]:
        if self._host.startswith("/"):
            return await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        return await asyncio.open_connection(self._host, self._port)

    async def _back(self, reader: StreamReader, writer: StreamWriter) -> None:
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)


@asynccontextmanager
async def cut_wire(url: str, folder: Path) -> AsyncGenerator[Wire]:
    """Listen in a folder."""
    wire = Wire(url, folder)
    server = await wire.listen()
    yield wire
    server.close()
    await asyncio.gather(*wire.carrying)
