"""The way to a platform and back: one request, its key, and an answer of bounded size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from callgate.call import Headers
from callgate.config.platform_policies import PlatformPolicy
from callgate.errors import BrokenReply
from callgate.outside.client import Client, Response, Timeouts
from callgate.redact import Secret

JSON: Final = "application/json"
LONGEST_CALL_SECONDS: Final = 2 * 3600.0
"""The road ends a call; this only keeps a connection from staying for ever."""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What came back."""

    status: int
    headers: Headers
    body: bytes


class Counter:
    """Sends requests to one platform.

    Args:
        policy: Its settings.
        base_url: Where it is.
    """

    def __init__(self, policy: PlatformPolicy, base_url: str) -> None:
        self._name = policy.name
        self._base_url = base_url
        self._most_bytes = policy.max_result_bytes
        timeouts = Timeouts(
            connect_seconds=policy.connect_timeout_seconds,
            first_byte_seconds=LONGEST_CALL_SECONDS,
            read_seconds=policy.read_timeout_seconds,
            total_seconds=LONGEST_CALL_SECONDS,
        )
        self._client = Client(timeouts=timeouts, ca_file=policy.ca_file, proxy=policy.proxy)

    async def ask(self, path: str, credential: Secret | None) -> Answered:
        """Ask for something, which costs nothing and changes nothing.

        Raises:
            Failed: No answer came, or one that is too large.
        """
        return await self._send("GET", path, credential, b"")

    async def call(self, path: str, body: Mapping[str, Any], credential: Secret | None) -> Answered:
        """Let a tool do its work.

        Raises:
            Failed: No answer came, or one that is too large; ``billed`` says whether it may have
                been paid for.
        """
        return await self._send("POST", path, credential, msgspec.json.encode(body))

    async def _send(
        self, method: str, path: str, credential: Secret | None, body: bytes
    ) -> Answered:
        headers = [("accept", JSON), ("user-agent", "callgate")]
        if body:
            headers.append(("content-type", JSON))
        if credential is not None:
            headers.append(("authorization", f"Bearer {credential.reveal()}"))
        response = await self._client.send(
            self._base_url + path, headers=tuple(headers), body=body, method=method
        )
        try:
            return Answered(
                status=response.status, headers=response.headers, body=await self._read(response)
            )
        finally:
            await response.close()

    async def _read(self, response: Response) -> bytes:
        pieces: list[bytes] = []
        size = 0
        async for piece in response.chunks():
            size += len(piece)
            if size > self._most_bytes:
                fix = f"raise max_result under [platforms.{self._name}]"
                msg = f"the answer of {self._name} has more than {self._most_bytes:,} bytes; {fix}"
                raise BrokenReply(msg, billed=True)
            pieces.append(piece)
        return b"".join(pieces)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()
