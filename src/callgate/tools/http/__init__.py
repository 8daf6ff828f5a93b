"""Tools that are interfaces over HTTP, as the settings describe them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from yarl import URL

from callgate.call import Tool, ToolResult
from callgate.config.tool_policies import HttpPolicy, ToolPolicy
from callgate.errors import BrokenReply, Failed
from callgate.outside.client import Client, Response, Timeouts
from callgate.tools import Invocation
from callgate.tools.http.failures import redirected, refusal_of
from callgate.tools.http.replies import LARGEST_BODY, Received, result_of, unpacked
from callgate.tools.http.requests import Request, draft
from callgate.tools.results import concealed, limited

TOOLSET: Final = "http"

CONNECT_SECONDS: Final = 5.0
LONGEST_CALL_SECONDS: Final = 2 * 3600.0
"""The road ends a call; this only keeps a connection from staying for ever."""

FIRST_ERROR: Final = 400
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS: Final = 3
"""How often a read is led on, on the same host."""


class HttpTools:
    """The toolset of interfaces over HTTP.

    Args:
        policies: Those of the settings that have ``http``.
    """

    name = TOOLSET
    pinning = None

    def __init__(self, policies: Iterable[ToolPolicy]) -> None:
        self._policies = {policy.name: policy for policy in policies}
        self._tools = tuple(
            tool_of(policy, policy.http)
            for policy in self._policies.values()
            if policy.http is not None
        )
        self._clients: dict[tuple[Path | None, str | None], Client] = {}

    def tools(self) -> Sequence[Tool]:
        """Return them all."""
        return self._tools

    def start(self) -> None:
        """Do nothing: a connection is opened when it is needed."""

    async def call(self, invocation: Invocation, /) -> ToolResult:
        """Run one attempt; see :class:`callgate.tools.Toolset`."""
        policy = self._policies[invocation.tool.name]
        http = policy.http
        if http is None:
            raise KeyError(policy.name)
        request = draft(http, invocation)
        received = await self._ask(request, http, invocation)
        if received.status >= FIRST_ERROR:
            result = refusal_of(received, http)
        elif received.status in REDIRECTS:
            raise redirected(received, method=http.method)
        else:
            result = _result(received, http)
        return concealed(limited(result, policy.max_bytes), invocation.credential)

    async def close(self) -> None:
        """Close every connection."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.close()

    async def _ask(self, request: Request, http: HttpPolicy, invocation: Invocation) -> Received:
        """Send a request, and read what comes; a read is led on as long as it stays on its host."""
        for _ in range(MOST_REDIRECTS):
            received = await self._ask_once(request, http, invocation)
            elsewhere = _elsewhere(request, received)
            if elsewhere is None:
                return received
            request = msgspec.structs.replace(request, url=elsewhere)
        return await self._ask_once(request, http, invocation)

    async def _ask_once(
        self, request: Request, http: HttpPolicy, invocation: Invocation
    ) -> Received:
        response = await self._client(http).send(
            request.url, headers=request.headers, body=request.body, method=request.method
        )
        try:
            body = await _read(response)
        finally:
            await response.close()
        return Received(
            tool=invocation.tool.name,
            status=response.status,
            headers=response.headers,
            body=unpacked(body, response.headers),
            credential=invocation.credential,
        )

    def _client(self, http: HttpPolicy) -> Client:
        """Return the client for certificates and proxy of a tool."""
        way = (http.ca_file, http.proxy)
        if way not in self._clients:
            timeouts = Timeouts(
                connect_seconds=CONNECT_SECONDS,
                first_byte_seconds=LONGEST_CALL_SECONDS,
                read_seconds=LONGEST_CALL_SECONDS,
                total_seconds=LONGEST_CALL_SECONDS,
            )
            self._clients[way] = Client(timeouts=timeouts, ca_file=http.ca_file, proxy=http.proxy)
        return self._clients[way]


async def _read(response: Response) -> bytes | None:
    """Return a body; None where it has more than is read. An error's may stop before its end."""
    try:
        return await response.read_at_most(LARGEST_BODY)
    except Failed:
        if response.status < FIRST_ERROR:
            raise
        # The status has said no already; half of its explanation does not change that.
        return b""


def _result(received: Received, http: HttpPolicy) -> ToolResult:
    try:
        return result_of(received, http)
    except RecursionError:
        msg = f"{received.tool} answered with what is nested too deeply to be read"
        raise BrokenReply(msg, billed=True) from None


def _elsewhere(request: Request, received: Received) -> str | None:
    """Return where a read goes on; None where it does not, or not on its host."""
    location = received.header("location")
    if request.method != "GET" or received.status not in REDIRECTS or not location:
        return None
    here = URL(request.url, encoded=True)
    try:
        there = here.join(URL(location, encoded=True))
    except ValueError:
        return None
    same = (there.scheme, there.raw_host, there.port) == (here.scheme, here.raw_host, here.port)
    return str(there.with_fragment(None)) if same else None


def tool_of(policy: ToolPolicy, http: HttpPolicy) -> Tool:
    """Return the tool that settings describe."""
    taken = [parameter for parameter in http.parameters if parameter.value is None]
    schema: Mapping[str, Any] = {
        "type": "object",
        "properties": {parameter.name: dict(parameter.schema) for parameter in taken},
        "required": [parameter.name for parameter in taken if not parameter.is_optional],
        "additionalProperties": False,
    }
    own = Tool(
        name=policy.name,
        description="",
        input_schema=schema,
        toolset=TOOLSET,
        remote_name=f"{http.method} {http.url}",
        takes_key=http.idempotency_header is not None,
    )
    return policy.applied_to(own)
