"""The receipt of a task: what it did, what it cost, how long it took, what was refused and why."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from callgate.call import COUNTED
from callgate.clock import rfc3339
from callgate.config.policies import Settings
from callgate.store import AttemptRow, CallRow, Store, TaskRow
from callgate.wire.replies import CUT

LIMITED: Final = re.compile(r"max_(completion_|output_)?tokens=|maxOutputTokens=")
"""What the changes of an attempt say where the gate chose its output limit, in every format."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that ended for the same reason."""

    code: str
    count: int
    message: str
    """The newest sentence of that kind."""


class ModelLine(msgspec.Struct, frozen=True, kw_only=True):
    """What one model did for the task."""

    model: str
    calls: int
    attempts: int
    input_tokens: int
    output_tokens: int
    cost_nano_usd: int
    """As far as it is known."""
    unknown_costs: int
    price_versions: tuple[str, ...]
    """By which prices; more than one where a price has changed, or a reply was served otherwise."""


class ToolLine(msgspec.Struct, frozen=True, kw_only=True):
    """What one tool did for the task."""

    tool: str
    calls: int
    attempts: int
    cost_nano_usd: int
    """As far as it is known."""
    unknown_costs: int
    unknown_outcomes: int
    """Attempts of which nobody knows whether they have done their work."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A task on one page; money in nano-dollars, times RFC 3339, lengths in seconds."""

    task_id: str
    task_type: str
    agent: str
    user: str | None
    started_at: str
    budget_nano_usd: int | None
    spent_nano_usd: int
    held_nano_usd: int
    estimated: bool
    """Whether a part of what was spent is an estimate."""
    unknown_costs: int
    """Attempts that cost nobody knows what; they are not in the sum."""
    calls: int
    ok: int
    refused: tuple[Refused, ...]
    failed: tuple[Refused, ...]
    p50_seconds: float | None
    p99_seconds: float | None
    models: tuple[ModelLine, ...]
    tools: tuple[ToolLine, ...]
    counted: int
    """Attempts that held a count of their tokens, as a proven bound did not fit into a budget."""
    resent: int
    """Calls that the library of the client had sent before, and the gate had admitted."""
    limited: int
    """Replies that ended at an output limit which the gate had chosen."""
    settings: Literal["built in", "file"] | None
    """Whether the gate ran on a settings file; None where that is not known any more."""


def make_receipt(
    store: Store, task_id: str, /, *, settings: Settings | None = None
) -> Receipt | None:
    """Return the receipt of a task, or None if there is no such task.

    Args:
        store: Where its calls are.
        task_id: The task.
        settings: Those that held for it, where that is known.
    """
    row = store.task_row(task_id)
    if row is None:
        return None
    calls = store.calls(task_id=task_id, limit=None)
    return _receipt(row, calls, settings)


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value that ``share`` (0..1) of ``values`` do not exceed (nearest rank)."""
    if not values:
        return None
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def _receipt(row: TaskRow, calls: Sequence[CallRow], settings: Settings | None) -> Receipt:
    task = row.task
    ok = [call for call in calls if call.state == "ok"]
    lengths = [call.ended_at - call.started_at for call in ok if call.ended_at is not None]
    return Receipt(
        task_id=task.id,
        task_type=task.type,
        agent=task.agent,
        user=task.user,
        started_at=rfc3339(task.started_at),
        budget_nano_usd=None if task.budget is None else task.budget.nano,
        spent_nano_usd=row.spent.nano,
        held_nano_usd=row.held.nano,
        estimated=row.estimated,
        unknown_costs=row.unknown_costs,
        calls=len(calls),
        ok=len(ok),
        refused=_grouped([call for call in calls if call.state == "refused"]),
        failed=_grouped([call for call in calls if call.state in {"failed", "left"}]),
        p50_seconds=percentile(lengths, 0.50),
        p99_seconds=percentile(lengths, 0.99),
        models=_models([call for call in calls if call.kind == "model"]),
        tools=_tools([call for call in calls if call.kind == "tool"]),
        counted=sum(COUNTED in attempt.changes for call in calls for attempt in call.attempts),
        resent=sum(call.client_retry > 0 for call in calls),
        limited=sum(_was_limited(call) for call in calls),
        settings=_source(settings),
    )


def _source(settings: Settings | None) -> Literal["built in", "file"] | None:
    if settings is None:
        return None
    return "built in" if settings.path is None else "file"


def _grouped(calls: Sequence[CallRow]) -> tuple[Refused, ...]:
    counts = Counter(call.code or call.state for call in calls)
    newest = {call.code or call.state: call.message or "" for call in reversed(calls)}
    return tuple(
        Refused(code=code, count=count, message=newest[code])
        for code, count in counts.most_common()
    )


def _models(calls: Sequence[CallRow]) -> tuple[ModelLine, ...]:
    served: dict[str, list[tuple[CallRow, int]]] = {}
    for call in calls:
        for index, attempt in enumerate(call.attempts):
            served.setdefault(f"{attempt.provider}:{attempt.model}", []).append((call, index))
    return tuple(_line(model, tries) for model, tries in sorted(served.items()))


def _line(model: str, tries: Sequence[tuple[CallRow, int]]) -> ModelLine:
    attempts = [call.attempts[index] for call, index in tries]
    usages = [attempt.usage for attempt in attempts if attempt.usage is not None]
    return ModelLine(
        model=model,
        calls=len({call.id for call, _ in tries}),
        attempts=len(attempts),
        input_tokens=sum(usage.total_input_tokens for usage in usages),
        output_tokens=sum(usage.total_output_tokens for usage in usages),
        cost_nano_usd=_cost(attempts),
        unknown_costs=_unknown_costs(attempts),
        price_versions=tuple(
            sorted({attempt.price_version for attempt in attempts if attempt.price_version})
        ),
    )


def _tools(calls: Sequence[CallRow]) -> tuple[ToolLine, ...]:
    named: dict[str, list[CallRow]] = {}
    for call in calls:
        if call.attempts:
            named.setdefault(call.target or "", []).append(call)
    return tuple(_tool_line(tool, its) for tool, its in sorted(named.items()))


def _tool_line(tool: str, calls: Sequence[CallRow]) -> ToolLine:
    attempts = [attempt for call in calls for attempt in call.attempts]
    return ToolLine(
        tool=tool,
        calls=len(calls),
        attempts=len(attempts),
        cost_nano_usd=_cost(attempts),
        unknown_costs=_unknown_costs(attempts),
        unknown_outcomes=sum(attempt.state == "unknown" for attempt in attempts),
    )


def _cost(attempts: Sequence[AttemptRow]) -> int:
    return sum(attempt.cost.nano for attempt in attempts if attempt.cost is not None)


def _unknown_costs(attempts: Sequence[AttemptRow]) -> int:
    return sum(each.cost is None and each.state != "running" for each in attempts)


def _was_limited(call: CallRow) -> bool:
    """Whether a reply ended at an output limit that the request itself had not named."""
    return any(
        attempt.finish_reason in CUT and any(map(LIMITED.search, attempt.changes))
        for attempt in call.attempts
    )
