"""A server of MCP that behaves, or does not, as it is told: a program over pipes, or over HTTP.

It is written without any SDK, so that it can say what no SDK would, and starts in no time.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Send = Callable[[dict[str, Any]], Awaitable[None]]

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}}
ANYTHING: dict[str, Any] = {"type": "object"}

TOOLS: dict[str, dict[str, Any]] = {
    "echo": {"inputSchema": TEXT, "annotations": {"readOnlyHint": True}},
    "data": {
        "inputSchema": ANYTHING,
        "outputSchema": {
            "type": "object",
            "required": ["n"],
            "properties": {"n": {"type": "integer"}},
        },
    },
}
PLACED = {"type": "string", "x-mcp-header": "Region"}
TOOLS["placed"] = {"inputSchema": {"type": "object", "properties": {"region": PLACED}}}
for name in (
    "ask", "ask_forever", "broken", "child", "crash", "env", "error", "giant", "hang", "invalid", "internal",
    "mistake", "noise", "own_code", "slow", "stderr", "strange", "swap", "wait",
):  # fmt: skip
    TOOLS[name] = {"inputSchema": ANYTHING}


def reply(number: Any, result: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "result": result}


def failure(number: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}


def says(text: str, **more: Any) -> dict[str, Any]:
    return {"resultType": "complete", "content": [{"type": "text", "text": text}], **more}


class Peer:
    """One server.

    Options:
        legacy: Whether it speaks only the versions with a handshake.
        journal: A file, in which it writes a line for whatever happens to it.
        list: How it lists: ``plain``, ``many``, ``endless``, ``twice``, ``odd``, ``huge``.
        deaf: Whether it goes on when its input ends, and when it is told to end.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.tools = dict(TOOLS)
        self.calls: dict[Any, asyncio.Task[None]] = {}
        self.answers: dict[Any, asyncio.Future[dict[str, Any]]] = {}
        self.listeners: list[tuple[Any, Send]] = []
        self.sessions: set[str] = set()

    def note(self, line: str) -> None:
        if self.options.get("journal"):
            with Path(self.options["journal"]).open("a") as journal:
                journal.write(line + "\n")

    async def hear(self, message: dict[str, Any], send: Send) -> None:
        """Answer a request, or take note of a notification."""
        method, number = message.get("method"), message.get("id")
        if method is None:
            self.answers.pop(number).set_result(message.get("result") or {})
        elif method == "notifications/cancelled":
            self.note("cancelled")
            call = self.calls.pop(message["params"]["requestId"], None)
            if call is not None:
                call.cancel()
        elif number is not None:
            self.calls[number] = asyncio.ensure_future(self.answer(method, message, send))

    async def answer(self, method: str, message: dict[str, Any], send: Send) -> None:
        number: Any = message["id"]
        params: dict[str, Any] = message.get("params") or {}
        match method:
            case "server/discover" if not self.options.get("legacy"):
                await send(reply(number, self.discovered()))
            case "initialize":
                await send(reply(number, self.initialized()))
            case "tools/list":
                await send(await self.listed(number, params.get("cursor")))
            case "tools/call":
                await self.call(number, params, send)
            case "subscriptions/listen":
                self.note("listen")
                self.listeners.append((number, send))
                params = {"notifications": {"toolsListChanged": True}, "_meta": stamp(number)}
                await send(notification("notifications/subscriptions/acknowledged", params))
                await asyncio.Event().wait()
            case "ping":
                await send(reply(number, {}))
            case _:
                await send(failure(number, -32601, "Method not found"))

    def initialized(self) -> dict[str, Any]:
        return {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {"listChanged": True}},
            "serverInfo": {"name": "peer", "version": "1"},
        }

    def discovered(self) -> dict[str, Any]:
        return {
            "supportedVersions": ["2026-07-28"],
            "capabilities": {"tools": {"listChanged": True}},
            "resultType": "complete",
            "ttlMs": 0,
            "cacheScope": "public",
        }

    async def listed(self, number: Any, cursor: str | None) -> dict[str, Any]:
        self.note("list")
        if "hung" in self.options.get("list", "") and self.options.get("hung"):
            await asyncio.Event().wait()
        tools = [{"name": name, **rest} for name, rest in self.tools.items()]
        page: dict[str, Any] = {
            "resultType": "complete",
            "ttlMs": 3_600_000,
            "cacheScope": "public",
        }
        match self.options.get("list", "plain"):
            case "many":
                start = int(cursor or 0)
                tools = [
                    {"name": f"tool{n}", "inputSchema": TEXT} for n in range(start, start + 100)
                ]
                if start + 100 < self.options["count"]:
                    page["nextCursor"] = str(start + 100)
            case "endless":
                page["nextCursor"] = "again"
            case "twice":
                tools = [*tools, {"name": "echo", "inputSchema": ANYTHING}]
            case "odd":
                names = [
                    "spaced out",
                    "a/b",
                    "a b",
                    "\u0435cho",
                    "x" * 200,
                    "new\nline",
                    "fine.name",
                ]
                tools = [{"name": name, "inputSchema": ANYTHING} for name in names]
            case _:
                pass
        return reply(number, {**page, "tools": tools})

    async def call(self, number: Any, params: dict[str, Any], send: Send) -> None:
        name: str = params["name"]
        arguments: dict[str, Any] = params.get("arguments") or {}
        self.note(f"call {name}")
        act = getattr(self, f"do_{name}", None)
        if act is None:
            await send(failure(number, -32602, f"Unknown tool: {name}"))
            return
        result = await act(number, params, arguments, send)
        if result is not None:
            self.note(f"done {name}")
            await send(reply(number, result) if "code" not in result else failure(number, **result))

    async def do_echo(self, _n: Any, _p: Any, arguments: Any, _s: Send) -> Any:
        return says(arguments.get("text", ""))

    async def do_data(self, _n: Any, _p: Any, arguments: Any, _s: Send) -> Any:
        return says("see the data", structuredContent={"n": arguments.get("n", 1)})

    async def do_placed(self, *_: Any) -> Any:
        return says("placed")

    async def do_error(self, *_: Any) -> Any:
        text = "1 mistake\n  x\n    Input should be valid [type=int]\n    For further information visit https://errors.pydantic.dev/2.13/v/int"
        return says(text, isError=True)

    async def do_env(self, *_: Any) -> Any:
        return says(json.dumps(dict(os.environ)))

    async def do_slow(self, number: Any, params: Any, arguments: Any, send: Send) -> Any:
        meta: dict[str, Any] = params.get("_meta") or {}
        token: Any = meta.get("progressToken", number)
        steps = arguments.get("steps", 3)
        for step in range(steps):
            progress: dict[str, Any] = {
                "progressToken": token,
                "progress": step + 1,
                "total": steps,
                "message": f"step {step + 1}",
            }
            await send(notification("notifications/progress", progress))
            await asyncio.sleep(arguments.get("seconds", 0) / steps)
        return says("slept")

    async def do_wait(self, *_: Any) -> Any:
        await asyncio.Event().wait()

    async def do_hang(self, *_: Any) -> Any:
        """Stop for good, as a program does that waits for a lock."""
        signal.pause()

    async def do_crash(self, *_: Any) -> Any:
        os._exit(3)

    async def do_giant(self, _n: Any, _p: Any, arguments: Any, _s: Send) -> Any:
        return says("x" * arguments["bytes"])

    async def do_invalid(self, *_: Any) -> Any:
        return {"code": -32602, "message": "text is missing"}

    async def do_internal(self, *_: Any) -> Any:
        return {"code": -32603, "message": "the disk is full"}

    async def do_own_code(self, *_: Any) -> Any:
        return {"code": 42, "message": "no such city"}

    async def do_strange(self, *_: Any) -> Any:
        return {"resultType": "postcard", "content": []}

    async def do_broken(self, *_: Any) -> Any:
        return {"resultType": "complete", "content": "no list"}

    async def do_mistake(self, *_: Any) -> Any:
        return says(
            "bad token " + os.environ.get("TOKEN", "s3cret-canary-0123456789"), isError=True
        )

    async def do_noise(self, *_: Any) -> Any:
        for _n in range(1000):
            sys.stdout.write("not a message\n")
        return says("quiet again")

    async def do_stderr(self, *_: Any) -> Any:
        for n in range(1000):
            sys.stderr.write(f"line {n} {os.environ.get('TOKEN', '')}\x1b[31m\n")
        return says("said a lot")

    async def do_child(self, *_: Any) -> Any:
        code = "import signal; signal.signal(15, signal.SIG_IGN); signal.pause()"
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
        return says(str(child.pid))

    async def do_swap(self, _n: Any, _p: Any, arguments: Any, send: Send) -> Any:
        """Have other tools from now on, and tell so."""
        self.tools = {
            arguments["name"]: {"inputSchema": ANYTHING},
            "swap": {"inputSchema": ANYTHING},
        }
        changed = "notifications/tools/list_changed"
        if self.options.get("legacy"):
            await send(notification(changed, {}))
        for number, listener in self.listeners:
            await listener(notification(changed, {"_meta": stamp(number)}))
        return says("swapped")

    async def do_ask(self, _n: Any, params: Any, _a: Any, send: Send) -> Any:
        question = {
            "method": "elicitation/create",
            "params": {
                "mode": "form",
                "message": "Which city?",
                "requestedSchema": {"type": "object", "properties": {"city": {"type": "string"}}},
            },
        }
        if self.options.get("legacy"):
            self.answers["q1"] = asyncio.get_running_loop().create_future()
            await send({"jsonrpc": "2.0", "id": "q1", **question})
            return says(json.dumps(await self.answers["q1"]))
        answers = params.get("inputResponses")
        if answers:
            return says(json.dumps({**answers["city"], "state": params["requestState"]}))
        return {
            "resultType": "input_required",
            "inputRequests": {"city": question},
            "requestState": "s1",
        }

    async def do_ask_forever(self, *_: Any) -> Any:
        return {"resultType": "input_required", "requestState": "again"}


def stamp(number: Any) -> dict[str, Any]:
    return {"io.modelcontextprotocol/subscriptionId": number}


def notification(method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params}


async def over_pipes(options: dict[str, Any]) -> None:
    peer = Peer(options)
    if options.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    peer.note(f"pid {os.getpid()}")

    async def send(message: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()

    while line := await reader.readline():
        await peer.hear(json.loads(line), send)
    peer.note("input ended")
    if options.get("deaf"):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(over_pipes(json.loads(sys.argv[1])))
