"""A gate that runs already, where ``CALLGATE_URL`` says."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from callgate.doors.cli.running import Ended, Entry, Wanted, Work
from callgate.doors.cli.screen import complain
from callgate.doors.cli.settings import referenced_variables, settings_of
from callgate.errors import CallgateError, Misconfigured
from callgate.gate.servers import ServerState
from callgate.observe.receipt import Receipt

ANSWER_SECONDS: Final = 10.0
LONGEST_TOLD: Final = 300
"""Characters of an answer that is not a gate's which are shown."""

THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "::1"})

Page = TypeVar("Page")


class NewTask(msgspec.Struct, frozen=True):
    """What ``POST /api/tasks`` answers, as far as a run needs it."""

    id: str
    agent: str
    key: str


class Problem(msgspec.Struct, frozen=True):
    """What a gate answers when it says no."""

    error: Mapping[str, Any]


async def work_at_named_gate(
    url: str, wanted: Wanted, environ: Mapping[str, str], *, work: Work
) -> Ended:
    """Have a task made by the gate at ``url``, with the agent's key of ``CALLGATE_KEY``.

    Raises:
        Misconfigured: No gate answers there, or it refuses such a task; no work was done.
    """
    gate = NamedGate(url.rstrip("/"), _agent_key(url, environ))
    hidden = referenced_variables(settings_of(wanted.config, environ))
    task = await gate.make_task(wanted)
    entry = Entry(url=gate.url, key=task.key, hidden=hidden)
    status = await work(entry)
    try:
        receipt = await gate.end_task(task.id)
    except CallgateError as error:
        complain(f"there is no receipt: {error.message}")
        receipt = None
    return Ended(exit_status=status, receipt=receipt)


def named_gate(environ: Mapping[str, str]) -> NamedGate:
    """Return the gate at ``CALLGATE_URL``, asked with the agent's key of ``CALLGATE_KEY``.

    Raises:
        Misconfigured: One of both is not set.
    """
    url = environ.get("CALLGATE_URL", "")
    return NamedGate(url.rstrip("/"), _agent_key(url, environ))


class NamedGate:
    """The control API of a gate, as an agent may use it."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self._key = key

    async def make_task(self, wanted: Wanted) -> NewTask:
        """Make a task, and a key that is good for it only."""
        page = {
            "id": wanted.task_id,
            "type": wanted.type,
            "user": wanted.user,
            "budget_nano_usd": None if wanted.budget is None else wanted.budget.nano,
            "timeout_seconds": wanted.timeout_seconds,
            "models": wanted.models,
            "tools": wanted.tools,
        }
        task = await self._ask("POST", "/api/tasks", page, type=NewTask)
        if wanted.agent not in {None, task.agent}:
            await self.end_task(task.id)
            msg = (
                f"the key in CALLGATE_KEY is for the agent {task.agent!r}, not for {wanted.agent!r}"
            )
            raise Misconfigured(msg)
        return task

    async def end_task(self, task_id: str) -> Receipt:
        """End a task; return its receipt."""
        path = f"/api/tasks/{quote(task_id, safe='')}"
        await self._ask("POST", f"{path}/end", {}, type=dict)
        return await self._ask("GET", path, None, type=Receipt)

    async def servers(self) -> list[ServerState]:
        """Return how the MCP servers are whose tools the agent may call."""
        return await self._ask("GET", "/api/mcp", None, type=list[ServerState])

    async def restart_server(self, name: str) -> ServerState:
        """End a server and start it anew; return how it is then."""
        path = f"/api/mcp/{quote(name, safe='')}/restart"
        return await self._ask("POST", path, {}, type=ServerState)

    async def _ask(
        self, method: str, path: str, page: Mapping[str, object] | None, *, type: type[Page]
    ) -> Page:
        return await asyncio.to_thread(self._asked, method, path, page, type=type)

    def _asked(
        self, method: str, path: str, page: Mapping[str, object] | None, *, type: type[Page]
    ) -> Page:
        url = self.url
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
        body = None if page is None else msgspec.json.encode(page)
        # The address is the user's own, and _agent_key has looked at its scheme.
        request = urllib.request.Request(url + path, data=body, headers=headers, method=method)  # noqa: S310
        try:
            with _opener(url).open(request, timeout=ANSWER_SECONDS) as response:
                return msgspec.json.decode(response.read(), type=type)
        except urllib.error.HTTPError as error:
            msg = f"the gate at {url} says no ({error.code}): {_sentence(error.read())}"
            raise Misconfigured(msg) from error
        except msgspec.DecodeError as error:
            msg = f"what answers at {url} is not a gate: {error}"
            raise Misconfigured(msg) from error
        except OSError as error:
            msg = f"no gate answers at {url}: {error}; unset CALLGATE_URL to start one for this run"
            raise Misconfigured(msg) from error


def _agent_key(url: str, environ: Mapping[str, str]) -> str:
    if not url.startswith(("http://", "https://")):
        msg = f"CALLGATE_URL is {url!r}, which is no URL; it is like http://127.0.0.1:4180"
        raise Misconfigured(msg)
    key = environ.get("CALLGATE_KEY")
    if not key:
        msg = f"CALLGATE_URL is {url}, and CALLGATE_KEY is not set: put the agent's key there (callgate keys create AGENT)"
        raise Misconfigured(msg)
    return key


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Return what opens ``url``: this machine is reached without the proxies of the environment."""
    if urlsplit(url).hostname in THIS_MACHINE:
        return urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener()


def _sentence(body: bytes) -> str:
    """Return what an answer says, in the gate's words or, if it is none, as it is."""
    try:
        return str(msgspec.json.decode(body, type=Problem).error["message"])
    except (msgspec.DecodeError, KeyError):
        return body[:LONGEST_TOLD].decode(errors="replace").strip() or "nothing more"
