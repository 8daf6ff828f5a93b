"""Records for the tests of the store, with everything filled in that a test does not care for."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from callgate.call import Caller, Candidate, Claims, Usage
from callgate.money import Money
from callgate.store import Bill, CallEnd, Intent, Key, Refusal, Settlement
from callgate.store.calendar import Calendar, Window
from callgate.store.limits import Limit, LimitName
from callgate.task import Task

NOW = 1_767_225_600.0
"""Where the clock of the tests starts."""

NOTHING_SAID = Claims()

USAGE = Usage(
    input_tokens=1,
    cache_read_tokens=2,
    cache_write_tokens=3,
    cache_write_long_tokens=4,
    output_tokens=5,
    reasoning_tokens=6,
)


def make_task(
    id: str = "t1",
    *,
    budget: int | None = None,
    agent: str = "researcher",
    type: str = "research",
    user: str | None = "u1",
    parent: str | None = None,
    deadline_at: float | None = None,
    tools: tuple[str, ...] | None = None,
) -> Task:
    """Return a task; the budget is in nano-dollars."""
    return Task(
        id=id,
        type=type,
        agent=agent,
        user=user,
        parent=parent,
        budget=None if budget is None else Money(budget),
        started_at=NOW + 0.25,
        deadline_at=deadline_at,
        tools=tools,
    )


def make_bill(nano: int, *, output_tokens: int = 0, least: int | None = None) -> Bill:
    """Return a bill of ``nano`` for the input, and one nano-dollar for each output token."""
    return Bill(
        input_femto=nano * 1_000_000,
        output_femto=1_000_000,
        output_tokens=output_tokens,
        least_output_tokens=output_tokens if least is None else least,
    )


def make_intent(
    task: Task,
    call: str = "c1",
    *,
    n: int = 1,
    bill: Bill | None = None,
    nano: int | None = 100,
    sent_at: float = NOW + 1,
    zone: str = "UTC",
    **more: Any,
) -> Intent:
    """Return an intent; without a bill it is one of ``nano``, unless that is None too."""
    made = Intent(
        task=task,
        call_id=call,
        attempt_id=f"{call}.{n}",
        n=n,
        door="python",
        target="smart",
        stream=True,
        candidate=Candidate(provider="openai", model="gpt-5.5"),
        bill=make_bill(nano) if bill is None and nano is not None else bill,
        price_version="v1",
        request_bytes=321,
        started_at=NOW + 0.5,
        sent_at=sent_at,
        windows=windows_of(sent_at, zone),
    )
    return msgspec.structs.replace(made, **more)


def ask(
    call: str,
    *,
    task: str | None = None,
    user: str | None = "u1",
    at: float = NOW + 1,
    **more: Any,
) -> Intent:
    """Return an intent by who asks and when; without a task it is of one for each user."""
    kinds = ("agent", "type", "parent", "budget", "deadline_at")
    of_task = {name: more.pop(name) for name in kinds if name in more}
    made = make_task(f"t-{user}" if task is None else task, user=user, **of_task)
    return make_intent(made, call, sent_at=at, **more)


def windows_of(instant: float, zone: str = "UTC") -> tuple[Window, ...]:
    """Return the hour, the day and the month of an instant."""
    return tuple(Calendar(ZoneInfo(zone)).windows(instant).values())


def make_limit(scope: str, name: LimitName, value: int, *, waits: bool = False) -> Limit:
    """Return a limit of a settings file."""
    return Limit(scope=scope, name=name, value=value, waits=waits)


def make_override(scope: str, name: LimitName, value: int, until: float | None = None) -> Limit:
    """Return an override of a limit."""
    return Limit(scope=scope, name=name, value=value, source="override", until=until)


def make_settlement(
    attempt: str = "c1.1",
    *,
    cost: int | None = 40,
    estimated: bool = False,
    end: CallEnd | None = None,
    at: float = NOW + 3,
) -> Settlement:
    """Return a settlement of a good reply; the cost is in nano-dollars."""
    return Settlement(
        attempt_id=attempt,
        state="ok",
        cost=None if cost is None else Money(cost),
        estimated=estimated,
        usage=USAGE,
        ended_at=at,
        first_byte_at=NOW + 2,
        http_status=200,
        model="gpt-5.5-0101",
        reply_id="r1",
        finish_reason="stop",
        changes=("model=gpt-5.5", "max_tokens=7"),
        call=end,
    )


def make_end(
    call: str = "c1", *, ends_task: str | None = None, ended_at: float = NOW + 3
) -> CallEnd:
    """Return the good end of a call."""
    return CallEnd(call_id=call, state="ok", status=200, ended_at=ended_at, ends_task=ends_task)


def make_refusal(
    call: str,
    *,
    task: Task | None = None,
    claims: Claims = NOTHING_SAID,
    agent: str = "researcher",
    ends_task: str | None = None,
) -> Refusal:
    """Return the row of a call that was refused."""
    end = CallEnd(
        call_id=call,
        state="refused",
        status=402,
        ended_at=NOW + 3,
        code="over_budget",
        message="no money",
        rule="task budget",
        ends_task=ends_task,
    )
    return Refusal(
        end=end,
        caller=Caller(agent=agent),
        claims=claims,
        task=task,
        door="openai",
        target="smart",
        stream=False,
        request_bytes=9,
        started_at=NOW + 2,
    )


def make_key(id: str = "k1", *, created_at: float = NOW) -> Key:
    """Return a key that never expires."""
    return Key(id=id, digest=id.encode() * 16, agent="researcher", created_at=created_at)
