"""Know your numbers: what a task of a type will cost, and the day, before anything is spent.

A profile says what a task does; prices say what that costs; limits say what it would meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from callgate.call import Candidate, Usage
from callgate.config.policies import Settings
from callgate.errors import Misconfigured
from callgate.money import Money
from callgate.observe.forecast import DAY_SECONDS
from callgate.pricing.table import PriceTable, unpriced_fix
from callgate.store.calendar import Window
from callgate.store.limits import BUDGETS, EVERY_USER, GATE, Limit


class Amount(msgspec.Struct, frozen=True):
    """A whole number that is known between a low and a high one."""

    low: int
    high: int


class Cost(msgspec.Struct, frozen=True):
    """Money that is known between a low and a high amount."""

    low: Money = Money()
    high: Money = Money()

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.low + other.low, self.high + other.high)

    def __mul__(self, times: Amount) -> Cost:
        return Cost(Money(self.low.nano * times.low), Money(self.high.nano * times.high))


class ModelUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a task asks of one model."""

    name: str
    calls: Amount
    input_tokens: Amount
    """Of one call, all of its input."""
    output_tokens: Amount
    """Of one call, with what the model thinks."""


class ToolUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a task asks of one tool."""

    name: str
    calls: Amount
    price: Cost
    """Of one call."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What tasks of a type do."""

    type: str
    agent: str | None = None
    tasks_per_day: Amount
    models: tuple[ModelUse, ...] = ()
    tools: tuple[ToolUse, ...] = ()


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What one model or tool adds to a task's cost."""

    kind: Literal["model", "tool"]
    name: str
    served_by: str | None
    """``provider:model``: the first candidate of the route; None for a tool."""
    calls: Amount
    cost: Cost
    """Of all its calls in a task."""


class Meeting(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a limit is met at one cost of a task."""

    tasks: int | None
    """How many tasks it pays for; None where they cost nothing."""
    is_met: bool | None
    """None where nobody can tell: how many tasks one user has."""
    after_seconds: float | None = None
    """When, from the start of its window, with the tasks spread evenly."""


class Met(msgspec.Struct, frozen=True, kw_only=True):
    """How the estimate stands to one limit of money."""

    rule: str
    scope: str
    window: Literal["task", "hour", "day", "month"]
    cap: Money
    low: Meeting
    """At the low estimate."""
    high: Meeting


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a task costs, and a day of them."""

    parts: tuple[Part, ...]
    task: Cost
    day: Cost
    limits: tuple[Met, ...]


def estimate(
    profile: Profile, settings: Settings, limits: Iterable[Limit], *, windows: Sequence[Window]
) -> Estimate:
    """Return what a task of a profile costs, a day of them, and which limits that meets.

    Args:
        profile: What a task does.
        settings: Routes, prices and the budget of the task type.
        limits: The limits that hold.
        windows: The hour, the day and the month that are looked at.

    Raises:
        Misconfigured: A model has no price, nobody knows who serves it, or the price list of the
            user's own cannot be used.
    """
    prices, at = PriceTable.of(settings), windows[0].starts_at
    parts = (
        *(_model_part(use, settings, prices, at=at) for use in profile.models),
        *(_tool_part(use) for use in profile.tools),
    )
    task = _sum(part.cost for part in parts)
    return Estimate(
        parts=parts,
        task=task,
        day=task * profile.tasks_per_day,
        limits=tuple(_met(profile, parts, settings, limits, windows)),
    )


def _model_part(use: ModelUse, settings: Settings, prices: PriceTable, *, at: float) -> Part:
    candidate = _candidate(use.name, settings)
    provider = settings.providers.get(candidate.provider)
    source = candidate.provider if provider is None else provider.price_source
    price = prices.find(source, candidate, at=at)
    if price is None:
        api = "openai" if provider is None else provider.api
        msg = f"{candidate.name} has no price; add to the settings file:\n{unpriced_fix(candidate, api=api)}"
        raise Misconfigured(msg)
    call = Cost(
        price.cost(Usage(input_tokens=use.input_tokens.low, output_tokens=use.output_tokens.low)),
        price.cost(Usage(input_tokens=use.input_tokens.high, output_tokens=use.output_tokens.high)),
    )
    return Part(
        kind="model", name=use.name, served_by=candidate.name, calls=use.calls, cost=call * use.calls
    )  # fmt: skip


def _tool_part(use: ToolUse) -> Part:
    return Part(
        kind="tool", name=use.name, served_by=None, calls=use.calls, cost=use.price * use.calls
    )


def _candidate(name: str, settings: Settings) -> Candidate:
    route = settings.models.get(name)
    if route is not None:
        return route.use[0]
    provider, colon, model = name.partition(":")
    if not colon:
        known = ", ".join(sorted(settings.models)) or "none"
        msg = f"nobody serves the model {name!r}: [models] names {known}; or write it as provider:model"
        raise Misconfigured(msg)
    return Candidate(provider=provider, model=model)


def _met(
    profile: Profile,
    parts: Sequence[Part],
    settings: Settings,
    limits: Iterable[Limit],
    windows: Sequence[Window],
) -> Iterator[Met]:
    task = _sum(part.cost for part in parts)
    policy = settings.tasks.get(profile.type)
    if policy is not None and policy.budget is not None:
        low, high = (_of_task(policy.budget, cost) for cost in (task.low, task.high))
        yield Met(
            rule=f"tasks.{profile.type}.budget",
            scope=f"type:{profile.type}",
            window="task",
            cap=policy.budget,
            low=low,
            high=high,
        )
    by_span = {window.span: window for window in windows}
    for limit in limits:
        if limit.name in BUDGETS and (share := _share(limit.scope, profile, parts)) is not None:
            yield _of_window(limit, by_span[BUDGETS[limit.name]], share, profile.tasks_per_day)


def _share(scope: str, profile: Profile, parts: Sequence[Part]) -> Cost | None:
    """Return what a task costs in a scope; None where it is not in it."""
    kind, _, name = scope.partition(":")
    if kind == "provider":
        served = f"{name}:"
        mine = [part.cost for part in parts if (part.served_by or "").startswith(served)]
        return _sum(mine) if mine else None
    scopes = {GATE, EVERY_USER, f"type:{profile.type}", f"agent:{profile.agent}"}
    return _sum(part.cost for part in parts) if scope in scopes else None


def _of_task(budget: Money, task: Money) -> Meeting:
    return Meeting(tasks=_tasks(budget, task), is_met=task > budget)


def _of_window(limit: Limit, window: Window, task: Cost, tasks_per_day: Amount) -> Met:
    cap, day = Money(limit.value), task * tasks_per_day
    low, high = (
        Meeting(tasks=_tasks(cap, of_task), is_met=None)
        if limit.scope == EVERY_USER
        else _meeting(cap, window, task=of_task, day=of_day)
        for of_task, of_day in ((task.low, day.low), (task.high, day.high))
    )
    return Met(
        rule=limit.setting, scope=limit.scope, window=window.span, cap=cap, low=low, high=high
    )


def _meeting(cap: Money, window: Window, *, task: Money, day: Money) -> Meeting:
    after = cap.nano * DAY_SECONDS / day.nano if day.nano else float("inf")
    is_met = after < window.ends_at - window.starts_at
    return Meeting(tasks=_tasks(cap, task), is_met=is_met, after_seconds=after if is_met else None)


def _tasks(cap: Money, task: Money) -> int | None:
    return cap.nano // task.nano if task.nano else None


def _sum(costs: Iterable[Cost]) -> Cost:
    return sum(costs, Cost())
