"""A client that shows what is on the socket, where an SDK would hide it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from callgate.testing.simulator import Simulator

KEY = "sk-test-0123456789"
PATHS = {
    "openai": "/v1/chat/completions",
    "responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/gemini-3.5-flash:generateContent",
}
MODELS = {"openai": "gpt-5.5", "responses": "gpt-5.5", "anthropic": "claude-sonnet-5"}


class Answered:
    """All that came back on a socket, and how it ended."""

    def __init__(self, raw: bytes, *, was_reset: bool) -> None:
        self.raw = raw
        self.was_reset = was_reset
        head, _, self.payload = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1]) if raw else 0
        fields = (line.partition(": ") for line in lines[1:])
        self.headers = {name.lower(): value for name, _, value in fields}

    @property
    def chunks(self) -> list[bytes]:
        """The chunks of a chunked body; the last one is empty if the body has its end."""
        found: list[bytes] = []
        rest = self.payload
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            found.append(rest[: int(size, 16)])
            rest = rest[int(size, 16) + 2 :]
        return found

    @property
    def is_whole(self) -> bool:
        return self.payload.endswith(b"0\r\n\r\n")

    def json(self) -> Any:
        return json.loads(self.payload)


def path_of(api: str, *, stream: bool = False) -> str:
    """Return where a request goes; Gemini's path says whether it streams."""
    if api == "gemini" and stream:
        return PATHS[api].replace("generateContent", "streamGenerateContent?alt=sse")
    return PATHS[api]


def body_of(api: str, text: str = "hello", **fields: Any) -> bytes:
    if api == "gemini":
        fields.pop("stream", None)
        contents = [{"role": "user", "parts": [{"text": text}]}]
        return json.dumps({"contents": contents, **fields}).encode()
    if api == "responses":
        return json.dumps({"model": MODELS[api], "input": text, **fields}).encode()
    body: dict[str, object] = {
        "model": MODELS[api],
        "messages": [{"role": "user", "content": text}],
        **({"max_tokens": 1000} if api == "anthropic" else {}),
        **fields,
    }
    return json.dumps(body).encode()


def request(
    path: str, body: bytes, *, method: str = "POST", headers: Mapping[str, str] | None = None
) -> bytes:
    fields = {"host": "sim", "authorization": f"Bearer {KEY}", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def exchange(sim: Simulator, sent: bytes, *, wait_seconds: float = 5.0) -> Answered:
    """Send bytes, and read until the simulator ends the connection."""
    host, _, port = sim.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    raw, was_reset = b"", False
    try:
        writer.write(sent)
        async with asyncio.timeout(wait_seconds):
            while part := await reader.read(65536):
                raw += part
    except ConnectionResetError:
        was_reset = True
    finally:
        writer.close()
    return Answered(raw, was_reset=was_reset)


async def ask(
    sim: Simulator, api: str, *, text: str = "hello", path: str | None = None, **fields: Any
) -> Answered:
    """Send one request on a connection of its own."""
    body = body_of(api, text, **fields)
    path = path or path_of(api, stream=bool(fields.get("stream")))
    return await exchange(sim, request(path, body, headers={"connection": "close"}))


async def control(
    sim: Simulator, method: str, path: str, body: bytes = b"", kind: str = "json"
) -> Answered:
    """Use one of the simulator's own endpoints."""
    headers = {"connection": "close", "content-type": f"application/{kind}"}
    return await exchange(sim, request(path, body, method=method, headers=headers))
