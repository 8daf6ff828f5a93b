"""AgentPatch's own MCP server: four tools by which all others are found and called.

Source: the platform's documentation for consumers; tools, arguments and key are as it says there, and
what a call answers with is what the same request gets over REST. It speaks MCP of 2025-11-25.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from callgate.testing.simulator.connection import Incoming
from callgate.testing.simulator.platform.agentpatch import AgentPatch
from callgate.testing.simulator.platform.books import Books, Job, Refusal
from callgate.testing.simulator.platform.words import Body, Wanted, Words
from callgate.testing.simulator.request import is_object

PATH: Final = "/mcp"
VERSION: Final = "2025-11-25"
REST: Final = AgentPatch()

NO_SUCH_METHOD, BAD_REQUEST = -32601, -32600
TEXT: Final = {"type": "string"}


def _tool(name: str, description: str, **arguments: Mapping[str, object]) -> Body:
    schema = {"type": "object", "properties": arguments, "required": list(arguments)}
    return {"name": name, "description": description, "inputSchema": schema}


TOOLS: Final = (
    _tool("search_tools", "Search the marketplace for tools.", query=TEXT),
    _tool("get_tool_details", "Tell what a tool takes and costs.", username=TEXT, slug=TEXT),
    _tool(
        "invoke_tool", "Call a tool.", username=TEXT, slug=TEXT, input={"type": "object"}
    ),
    _tool("get_job_status", "Tell how a call stands.", job_id=TEXT),
)  # fmt: skip


class Mcp:
    """One request to the server, in the words of JSON-RPC.

    Args:
        id: What the client calls the request.
        method: What it asks for.
        params: With what.
    """

    api = REST.api
    credit_nano_usd = REST.credit_nano_usd
    has_jobs = True

    def __init__(self, id: object, method: str, params: Mapping[str, Any]) -> None:
        self._id = id
        self._method = method
        self._params = params

    @property
    def _arguments(self) -> Mapping[str, Any]:
        found = self._params.get("arguments")
        return found if is_object(found) else {}

    @property
    def wanted(self) -> Wanted:
        """What it comes to on the platform."""
        asked = self._arguments
        name = self._params.get("name") if self._method == "tools/call" else None
        slug, owner = str(asked.get("slug")), str(asked.get("username"))
        if name == "search_tools":
            return Wanted(operation="list", method="POST", query={"q": str(asked.get("query"))})
        if name == "get_tool_details":
            return Wanted(operation="look", method="POST", owner=owner, slug=slug)
        if name == "invoke_tool":
            return Wanted(operation="invoke", method="POST", owner=owner, slug=slug)
        if name == "get_job_status":
            return Wanted(operation="poll", method="POST", job_id=str(asked.get("job_id")))
        return Wanted(operation="note" if self._id is None else "talk", method="POST")

    def status(self, status: int, /) -> int:
        """Return the HTTP status: what a tool says is an answer, whatever it says."""
        return status if status in {401, 405} else 200

    def read(self, wanted: Wanted, body: object, /) -> tuple[Wanted, object, int | None]:
        """Return the call, whose input is an argument."""
        del body
        return wanted, self._arguments.get("input"), None

    def page(self, wanted: Wanted, books: Books, key: str | None, /) -> Body:
        """Return a list, a tool, or what the protocol wants to know."""
        if wanted.operation != "talk":
            return self._said(REST.page(wanted, books, key))
        books.account(key)
        if self._method == "initialize":
            info = {"name": "agentpatch", "version": "0.0.0"}
            return self._result(
                {"protocolVersion": VERSION, "capabilities": {"tools": {}}, "serverInfo": info}
            )
        if self._method == "tools/list":
            return self._result({"tools": TOOLS})
        if self._method == "ping":
            return self._result({})
        error = {"code": NO_SUCH_METHOD, "message": f"Method not found: {self._method}"}
        return {"jsonrpc": "2.0", "id": self._id, "error": error}

    def pending(self, job: Job, /) -> Body:
        """Return that a call goes on."""
        return self._said(REST.pending(job))

    def done(self, job: Job, /) -> Body:
        """Return a call that is over."""
        return self._said(REST.done(job), is_error=job.status != "success")

    def job(self, job: Job, /) -> Body:
        """Return a job."""
        return self._said(REST.job(job))

    def error(self, refusal: Refusal, job: Job | None = None, /) -> Body:
        """Return an error as a tool tells it."""
        return self._said(REST.error(refusal, job), is_error=True)

    def _said(self, body: Body, *, is_error: bool = False) -> Body:
        text = msgspec.json.encode(body).decode()
        return self._result({"content": [{"type": "text", "text": text}], "isError": is_error})

    def _result(self, result: Body) -> Body:
        return {"jsonrpc": "2.0", "id": self._id, "result": result}


def find_mcp(incoming: Incoming) -> tuple[Words, Wanted] | None:
    """Return what a request to the server wants; None if it is none."""
    if incoming.path != PATH:
        return None
    try:
        body: object = msgspec.json.decode(incoming.body)
    except msgspec.DecodeError:
        body = None
    page = body if is_object(body) else {}
    params = page.get("params")
    words = Mcp(page.get("id"), str(page.get("method")), params if is_object(params) else {})
    return words, words.wanted
