"""The control API below ``/api``: tasks and their keys, for ``callgate run`` and for services."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from callgate.call import Caller, Claims
from callgate.clock import rfc3339
from callgate.doors.exchange import key_of
from callgate.errors import CallgateError, Denied, Malformed, Reason, Unknown
from callgate.gate import Gate
from callgate.money import Money
from callgate.observe.receipt import make_receipt
from callgate.task import Task

LARGEST_BODY_BYTES = 64 * 1024


class NewTask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``POST /api/tasks`` takes; everything may be left out."""

    id: str | None = None
    type: str | None = None
    user: str | None = None
    parent: str | None = None
    budget_nano_usd: int | None = None
    timeout_seconds: float | None = None
    models: list[str] | None = None
    """Names or globs; of what its agent may ask for, what none of them covers it may not."""
    tools: list[str] | None = None


class ControlApi:
    """Answers for one gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def create_task(self, request: Request) -> Response:
        """Make a task and a key that is good for it only."""
        caller = self._caller(request)
        if caller.task_id is not None:
            msg = f"the key of task {caller.task_id!r} cannot make tasks; use the agent's key"
            raise Denied(msg, reason=Reason(code="task_key", fix="use the agent's key"))
        asked = _decode(await request.body())
        task = await self._gate.create_task(
            caller,
            Claims(task_id=asked.id, task_type=asked.type, user=asked.user, parent=asked.parent),
            budget=None if asked.budget_nano_usd is None else Money(asked.budget_nano_usd),
            timeout_seconds=asked.timeout_seconds,
            models=asked.models,
            tools=asked.tools,
        )
        key = await self._gate.create_task_key(task)
        return _json({**task_page(task), "key": key}, status=201)

    async def end_task(self, request: Request) -> Response:
        """Mark a task as ended."""
        task = self._task(request)
        await self._gate.end_task(task.id)
        return _json({**task_page(task), "ended": True})

    async def show_receipt(self, request: Request) -> Response:
        """Return the receipt of a task."""
        task = self._task(request)
        return _json(make_receipt(self._gate.store, task.id, settings=self._gate.settings))

    async def show_servers(self, request: Request) -> Response:
        """Return how the MCP servers are whose tools the caller may call."""
        return _json(self._gate.servers(self._caller(request)))

    async def restart_server(self, request: Request) -> Response:
        """End an MCP server, and start it anew."""
        caller = self._caller(request)
        if caller.task_id is not None:
            msg = f"the key of task {caller.task_id!r} cannot restart servers; use the agent's key"
            raise Denied(msg, reason=Reason(code="task_key", fix="use the agent's key"))
        name: str = request.path_params["name"]
        state = await self._gate.restart_server(caller, name)
        if state is None:
            msg = f"this key's agent {caller.agent!r} may call no tool of an MCP server {name!r}"
            raise Unknown(msg, reason=Reason(code="unknown_server", fix="callgate mcp list"))
        return _json(state)

    def _caller(self, request: Request) -> Caller:
        return self._gate.authenticate(key_of(request.headers.get))

    def _task(self, request: Request) -> Task:
        """Return the task of the path, if it is the caller's."""
        caller = self._caller(request)
        task_id: str = request.path_params["task_id"]
        task = self._gate.store.find_task(task_id)
        if task is None or task.agent != caller.agent or caller.task_id not in {None, task_id}:
            msg = f"this key's agent {caller.agent!r} has no task {task_id!r}"
            raise Unknown(
                msg,
                reason=Reason(
                    code="unknown_task", scope=f"task:{task_id}", fix="callgate tasks lists them"
                ),
            )
        return task


def routes(gate: Gate) -> list[Route]:
    """Return the paths of this door."""
    api = ControlApi(gate)
    return [
        Route("/api/tasks", api.create_task, methods=["POST"]),
        Route("/api/tasks/{task_id:path}/end", api.end_task, methods=["POST"]),
        Route("/api/tasks/{task_id:path}", api.show_receipt, methods=["GET"]),
        Route("/api/mcp", api.show_servers, methods=["GET"]),
        Route("/api/mcp/{name}/restart", api.restart_server, methods=["POST"]),
    ]


async def answer_refusal(_request: Request, error: Exception) -> Response:
    """Turn an error of this package into the control API's own error object."""
    if not isinstance(error, CallgateError):
        raise error
    body = {"error": {"message": error.message, "type": error.code}, "callgate": error.reason}
    return _json(body, status=error.status)


def task_page(task: Task) -> dict[str, object]:
    """Return a task as the control API shows it."""
    return {
        "id": task.id,
        "type": task.type,
        "agent": task.agent,
        "user": task.user,
        "parent": task.parent,
        "budget_nano_usd": None if task.budget is None else task.budget.nano,
        "started_at": rfc3339(task.started_at),
        "deadline_at": None if task.deadline_at is None else rfc3339(task.deadline_at),
        "models": task.models,
        "tools": task.tools,
    }


def _decode(body: bytes) -> NewTask:
    if len(body) > LARGEST_BODY_BYTES:
        msg = f"the body has {len(body):,} bytes; a task needs less than {LARGEST_BODY_BYTES:,}"
        raise Malformed(msg)
    try:
        asked = msgspec.json.decode(body or b"{}", type=NewTask)
    except msgspec.DecodeError as error:
        msg = (
            f"the body is not a new task: {error}; it takes {', '.join(NewTask.__struct_fields__)}"
        )
        raise Malformed(msg) from error
    if asked.budget_nano_usd is not None and asked.budget_nano_usd < 0:
        msg = f"budget_nano_usd is {asked.budget_nano_usd}; a budget is 0 or more nano-dollars"
        raise Malformed(msg)
    if asked.timeout_seconds is not None and not asked.timeout_seconds > 0:
        msg = f"timeout_seconds is {asked.timeout_seconds}; a timeout is more than 0 seconds"
        raise Malformed(msg)
    return asked


def _json(page: object, *, status: int = 200) -> Response:
    return Response(msgspec.json.encode(page), status_code=status, media_type="application/json")
