"""One live connection to a server: its tools, and calls of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from mcp import Client, MCPError
from mcp.client import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.inbound import find_invalid_x_mcp_header
from mcp_types import (
    CallToolRequest,
    CallToolRequestParams,
    ElicitRequestParams,
    ElicitResult,
    Implementation,
    ListToolsRequest,
    PaginatedRequestParams,
    ToolListChangedNotification,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import RootModel, ValidationError

from callgate.call import ToolResult
from callgate.clock import Clock, paused
from callgate.config.mcp_policies import McpPolicy
from callgate.errors import BrokenReply, Failed, TimedOut
from callgate.redact import Secret
from callgate.tools import Invocation
from callgate.tools.mcp.definitions import Listing, listing
from callgate.tools.mcp.disguise import Disguise
from callgate.tools.mcp.failures import SESSION_GONE, failure_of
from callgate.tools.mcp.http import Trip, open_client, trip
from callgate.tools.mcp.process import Command, ServerProcess
from callgate.tools.mcp.results import result_of, too_large
from callgate.tools.mcp.stdio import TOO_LARGE, pipes

CLIENT: Final = Implementation(name="callgate", version="1")

MAX_TOOLS: Final = 5_000
MAX_LIST_BYTES: Final = 16_000_000
MAX_PAGES: Final = 500

LIST_HOLDS_SECONDS: Final = 300.0
"""How long a list holds whose server does not say how long."""

SHORTEST_TTL_SECONDS: Final = 5.0
"""A list holds at least this long, so that a server which says 0 is not asked all the time."""

MAX_QUESTIONS: Final = 10
"""How often a tool may ask for something before it answers.

Source: the SDKs of MCP, which have the same default.
"""

EVENT_TOO_LARGE: Final = "Server-sent event exceeded the"
"""How the SDK says that a message over HTTP is too large.

Source: httpx2 2.16, ``EventSource``.
"""

ENVELOPE_BYTES: Final = 65_536
"""What a message may have besides its result."""

ASKS_AGAIN_SECONDS: Final = 0.25
"""The wait before a call is sent again whose server asks for nothing but that."""


# The SDK logs what it cannot read together with a piece of it, as often as a server likes to send
# it: nobody bounds that, and a credential may be in it. What matters of it is told here.
for _talker in ("mcp.client", "mcp.shared", "client"):
    logging.getLogger(_talker).setLevel(logging.CRITICAL)
logging.getLogger("httpx2").setLevel(logging.WARNING)


class Unusable(Exception):
    """What a server lists is nothing that agents could be offered."""


class Raw(RootModel[dict[str, Any]]):
    """A result as it came, word for word."""


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection is made of, with every secret in its place."""

    policy: McpPolicy
    command: Command | None
    """What to start; None where the server is at ``policy.url``."""
    headers: Mapping[str, str]
    """What is sent to ``policy.url`` with every request."""
    secrets: tuple[Secret, ...]
    """Everything of it that nobody may read."""
    auth: Any = None
    """What adds a token to each request (``httpx2.Auth``)."""


class _Underway(msgspec.Struct, eq=False):
    """A call that has not been answered."""

    invocation: Invocation
    limit: asyncio.Timeout


@asynccontextmanager
async def connect(given: Given, clock: Clock) -> AsyncGenerator[Connection]:
    """Connect to a server, starting it where it is a program.

    Raises:
        CannotStart: There is no such program.
        BaseExceptionGroup: Whatever the transport or the protocol met.
    """
    is_lost = asyncio.Event()
    command = given.command
    over = _over_http(given) if command is None else _over_pipes(given, command, clock, is_lost)
    async with over as transport:
        connection = Connection(given.policy, Disguise(given.secrets), clock, is_lost)
        client = Client(
            transport,
            client_info=CLIENT,
            cache=None,
            message_handler=connection.hear,
            elicitation_callback=connection.ask,
        )
        async with client:
            connection.client = client
            yield connection


@asynccontextmanager
async def _over_pipes(
    given: Given, command: Command, clock: Clock, is_lost: asyncio.Event
) -> AsyncGenerator[Any]:
    policy = given.policy
    process = await ServerProcess.start(command, disguise=Disguise(given.secrets), clock=clock)
    try:
        yield pipes(
            process, largest=_largest(policy), server=policy.name, clock=clock, is_lost=is_lost
        )
    except Exception as error:
        await _without_interruption(process.end())
        error.add_note(f"its process has {process.status}{process.last_words}")
        raise
    finally:
        await _without_interruption(process.end())


async def _without_interruption(ending: Any) -> None:
    """Wait for something to its end, also where the waiting is cancelled: a process would be left."""
    task = asyncio.ensure_future(ending)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


@asynccontextmanager
async def _over_http(given: Given) -> AsyncGenerator[Any]:
    policy = given.policy
    largest = _largest(policy)
    client = open_client(
        headers=dict(given.headers), ca_file=policy.ca_file, largest=largest, auth=given.auth
    )
    async with client:
        yield streamable_http_client(
            policy.url or "", http_client=client, max_sse_event_size=largest
        )


def _largest(policy: McpPolicy) -> int:
    """Return how large a message may be: a list of tools may be larger than a result."""
    return max(policy.max_result_bytes, MAX_LIST_BYTES) + ENVELOPE_BYTES


class Connection:
    """Speaks with one server until one of both ends.

    Args:
        policy: What the settings say about it.
        disguise: Hides its credentials.
        clock: What time it is.
        is_lost: Set where nothing more can come of this connection.

    Attributes:
        is_lost: The same.
        is_stale: Set where the server says that its tools have changed.
    """

    client: Client

    def __init__(
        self, policy: McpPolicy, disguise: Disguise, clock: Clock, is_lost: asyncio.Event
    ) -> None:
        self._policy = policy
        self._disguise = disguise
        self._clock = clock
        self._underway: set[_Underway] = set()
        self.is_stale = asyncio.Event()
        self.is_lost = is_lost

    @property
    def protocol_version(self) -> str:
        """Which version of MCP is spoken."""
        return self.client.protocol_version

    @property
    def calls(self) -> int:
        """How many calls are under way."""
        return len(self._underway)

    @property
    def _is_modern(self) -> bool:
        return self.protocol_version in MODERN_PROTOCOL_VERSIONS

    async def tools(self) -> Listing:
        """Ask for all tools.

        Raises:
            Unusable: There are too many, or the list has no end.
            MCPError: The server did not answer, or not with a list.
            pydantic.ValidationError: What it answered is no list.
        """
        raws: list[Mapping[str, Any]] = []
        size, cursor, cursors = 0, None, set[str]()
        while True:
            page = await self._page(cursor)
            raws += page["tools"]
            size += len(msgspec.json.encode(page))
            _check_bounds(len(raws), size, len(cursors))
            cursor = page.get("nextCursor")
            if not cursor:
                break
            if cursor in cursors:
                msg = "its list of tools goes round in a circle: it names a page that it has named before"
                raise Unusable(msg)
            cursors.add(cursor)
        if self._is_modern and self._policy.url is not None:
            await self._note_header_arguments(raws)
        ttl = page.get("ttlMs")
        holds = LIST_HOLDS_SECONDS if ttl is None else ttl / 1000
        return listing(
            raws,
            listed_at=self._clock.monotonic(),
            ttl_seconds=max(holds, SHORTEST_TTL_SECONDS),
            schema_flaw=find_invalid_x_mcp_header if self._is_modern else None,
        )

    async def _page(self, cursor: str | None) -> dict[str, Any]:
        params = None if cursor is None else PaginatedRequestParams(cursor=cursor)
        return (await self.client.session.send_request(ListToolsRequest(params=params), Raw)).root

    async def _note_header_arguments(self, raws: list[Mapping[str, Any]]) -> None:
        """Let the SDK see the list too where arguments go into headers, which it then writes.

        Source: specification of MCP 2026-07-28, ``x-mcp-header``.
        """
        if not any(b'"x-mcp-header"' in msgspec.json.encode(raw) for raw in raws):
            return
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            params = None if cursor is None else PaginatedRequestParams(cursor=cursor)
            cursor = (await self.client.session.list_tools(params=params)).next_cursor
            if cursor is None:
                return

    async def listen(self) -> bool:
        """Hear of changes of the list as long as the server tells them.

        Returns:
            Whether it makes sense to listen again; a server of the older versions tells them
            unasked.
        """
        tools = self.client.server_capabilities.tools
        if not self._is_modern or tools is None or not tools.list_changed:
            return False
        async with self.client.listen(tools_list_changed=True) as changes:
            async for _ in changes:
                self.is_stale.set()
        return True

    async def call(self, invocation: Invocation) -> ToolResult:
        """Call a tool once.

        Raises:
            Failed: As :meth:`callgate.tools.Toolset.call` says.
        """
        noted = Trip()
        token = trip.set(noted)
        try:
            raw = await self._within_limit(invocation)
            if isinstance(raw, ToolResult):
                return raw
            return result_of(
                raw,
                invocation.tool,
                disguise=self._disguise,
                max_result_bytes=self._policy.max_result_bytes,
            )
        except MCPError as error:
            return self._told(error, noted, invocation)
        except ValidationError as error:
            msg = f"what the MCP server {self._policy.name} answered is no result of MCP ({error.error_count()} mistakes)"
            raise BrokenReply(msg, billed=True) from None
        finally:
            trip.reset(token)

    def _told(self, error: MCPError, noted: Trip, invocation: Invocation) -> ToolResult:
        """Return the result that an error stands for, or raise what it means."""
        if error.error.message == SESSION_GONE:
            self.is_lost.set()
        if error.error.code == TOO_LARGE or EVENT_TOO_LARGE in error.error.message:
            raise too_large(
                invocation.tool, error.error.message, self._policy.max_result_bytes
            ) from None
        meaning = failure_of(self._policy.name, error, noted)
        if isinstance(meaning, Failed):
            meaning.message = self._disguise.text(meaning.message)
            meaning.args = (meaning.message,)
            raise meaning from None
        (block,) = meaning.content
        return msgspec.structs.replace(
            meaning, content=({**block, "text": self._disguise.text(block["text"])},)
        )

    async def _within_limit(self, invocation: Invocation) -> dict[str, Any] | ToolResult:
        """Call, and give up when it is time; then the server may be slow, or dead: its list tells."""
        try:
            async with asyncio.timeout(invocation.timeout_seconds) as limit:
                underway = _Underway(invocation, limit)
                self._underway.add(underway)
                try:
                    return await self._answered(underway)
                finally:
                    self._underway.discard(underway)
        except asyncio.CancelledError:
            self.is_stale.set()
            raise
        except TimeoutError:
            self.is_stale.set()
            msg = (
                f"{invocation.tool.name} did not answer within {invocation.timeout_seconds:g} s and was "
                "told to stop; whether it has happened is not known"
            )
            raise TimedOut(msg, billed=True) from None

    async def _answered(self, underway: _Underway) -> dict[str, Any] | ToolResult:
        """Call until there is a result, answering what the server wants to know before."""
        answers: dict[str, Any] | None = None
        state: str | None = None
        for _ in range(MAX_QUESTIONS):
            raw = await self._send(underway.invocation, answers, state)
            kind = raw.get("resultType", "complete")
            if kind == "complete":
                return raw
            if kind != "input_required":
                msg = f"{underway.invocation.tool.name} answered with a result of the kind {kind!r}, which this gate does not know"
                raise BrokenReply(msg, billed=True)
            questions: Mapping[str, Mapping[str, Any]] = raw.get("inputRequests") or {}
            state = raw.get("requestState")
            if not questions:
                await self._clock.sleep(ASKS_AGAIN_SECONDS)
            answers = {}
            for key, question in questions.items():
                answer = await self._answer(underway, question)
                if answer is None:
                    return _nobody_answers(underway.invocation, question)
                answers[key] = answer
        msg = f"{underway.invocation.tool.name} asked {MAX_QUESTIONS} times for more, and never answered"
        raise BrokenReply(msg, billed=True)

    async def _send(
        self, invocation: Invocation, answers: dict[str, Any] | None, state: str | None
    ) -> dict[str, Any]:
        request = CallToolRequest(
            params=CallToolRequestParams(
                name=invocation.tool.remote_name,
                arguments=dict(invocation.arguments),
                input_responses=answers or None,
                request_state=state,
            )
        )
        tell = invocation.on_progress

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            if tell is not None:
                await tell(progress, total, message)

        raw = await self.client.session.send_request(
            request, Raw, progress_callback=None if tell is None else on_progress
        )
        return raw.root

    async def _answer(self, underway: _Underway, question: Mapping[str, Any]) -> Any:
        """Return what somebody answers; None where nobody can be asked this."""
        on_question = underway.invocation.on_question
        if on_question is None or question.get("method") != "elicitation/create":
            return None
        with paused(underway.limit):
            answer = await on_question(question.get("params") or {})
        return ElicitResult.model_validate(answer)

    async def ask(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        """Answer a question that a server of the older versions asks while it works.

        It does not say which call it asks for: where several are under way, nobody is asked.
        """
        del context
        if len(self._underway) != 1:
            return ElicitResult(action="cancel")
        (underway,) = self._underway
        asked = params.model_dump(by_alias=True, mode="json", exclude_none=True)
        answer = await self._answer(underway, {"method": "elicitation/create", "params": asked})
        return ElicitResult(action="cancel") if answer is None else answer

    async def hear(self, message: object) -> None:
        """Take note of what a server says unasked."""
        if isinstance(message, ToolListChangedNotification):
            self.is_stale.set()


def _check_bounds(tools: int, size: int, pages: int) -> None:
    """Refuse a list that no agent could read, and that would fill the memory."""
    for found, most, what in (
        (tools, MAX_TOOLS, "tools"),
        (size, MAX_LIST_BYTES, "bytes"),
        (pages, MAX_PAGES, "pages"),
    ):
        if found > most:
            msg = f"its list of tools has more than {most:,} {what}; none of them is offered"
            raise Unusable(msg)


def _nobody_answers(invocation: Invocation, question: Mapping[str, Any]) -> ToolResult:
    """Tell an agent that a tool wants to know something, where nobody can be asked."""
    params: Mapping[str, Any] = question.get("params") or {}
    wanted = params.get("message") or question.get("method")
    url = f" It points to {params['url']}." if params.get("url") else ""
    text = (
        f"{invocation.tool.name} is not done: it asks for something first, and nobody can be asked on "
        f"this way in. It asks: {wanted}{url}"
    )
    return ToolResult(content=({"type": "text", "text": text},), is_error=True)
