"""The audit log as listings show it: tasks, calls and attempts as rows."""

from __future__ import annotations

from typing import Literal

import msgspec

from callgate.call import Usage
from callgate.money import Money
from callgate.store.priced import FirstPrice
from callgate.task import Task

CallState = Literal["running", "ok", "refused", "failed", "left"]
"""``left``: the reader hung up before the end."""

AttemptState = Literal["running", "ok", "failed", "left", "unknown"]
"""``unknown``: nobody knows what came of it, as its owner died, or as a tool that changes something did
not answer; it is booked at its reservation."""


class TaskRow(msgspec.Struct, frozen=True, kw_only=True):
    """A task with its ledger, as listings show it."""

    task: Task
    spent: Money
    """What it has cost, with all the tasks below it; as is ``held``."""
    held: Money
    calls: int
    refused: int
    estimated: bool
    """Whether any cost in ``spent`` is an estimate."""
    unknown_costs: int
    """Attempts whose cost nobody knows (no price and no budget); they are in no sum."""


class CallRow(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the audit log, with the sums of its attempts."""

    id: str
    task_id: str | None
    task_type: str | None
    agent: str
    user: str | None
    door: str
    kind: str
    target: str | None
    stream: bool
    state: CallState
    status: int | None
    code: str | None
    message: str | None
    rule: str | None
    started_at: float
    ended_at: float | None
    request_bytes: int
    client_retry: int = 0
    """How often its client had sent the same before."""
    input: str | None = None
    """What a call of a tool asked for, without what looks like a credential, and cut where it is long."""
    attempts: tuple[AttemptRow, ...] = ()

    @property
    def cost(self) -> Money:
        """What its attempts cost together, as far as it is known."""
        return Money(sum(a.cost.nano for a in self.attempts if a.cost is not None))


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of the audit log."""

    id: str
    n: int
    provider: str
    model: str
    state: AttemptState
    reserved: Money | None
    output_tokens_limit: int | None
    cost: Money | None
    estimated: bool
    usage: Usage | None
    price_version: str | None
    sent_at: float
    first_byte_at: float | None
    ended_at: float | None
    http_status: int | None
    error: str | None
    answered_by: str | None
    """The model that says it answered."""
    reply_id: str | None
    finish_reason: str | None
    changes: tuple[str, ...]
    service_tier: str | None = None
    """How the reply says that it was served."""
    unpriced: str | None = None
    """What it has used that no price tells: why its cost is unknown, or an estimate."""
    first: FirstPrice | None = None
    """What it was booked at before it was priced anew; None where it never was."""
