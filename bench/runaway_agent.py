"""Agents that do not know when to stop, each under one of the tools that promise to stop them.

``python bench/runaway_agent.py SCRIPT GUARD CAP`` runs in the environment of the tool, with the usual
variables of the OpenAI SDK, and prints what the agent saw. The agents are the same under every tool;
a guard is what its own documentation says to write around them.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import openai

MODEL: Final = "gpt-5.5"
PRICE: Final = (5.0, 30.0)
"""Dollars for a million tokens, in and out; every tool that takes prices is told them."""

UNPRICED: Final = "gpt-of-tomorrow"
"""A model that no tool has a price for; its provider bills it all the same."""

PROMPT: Final = "Go on until the work is done."
PROMPT_TOKENS: Final = 64
"""More than the prompt has, for a tool that must be told what a call may cost."""


@dataclass(frozen=True)
class Script:
    """How an agent runs away."""

    calls: int
    most_tokens: int
    """The output limit of each call."""
    tokens: int
    """The output that each call is billed for, where it ends as it should."""
    model: str = MODEL
    at_once: int = 1
    stream: bool = False

    @property
    def most_usd(self) -> float:
        """What one call may cost."""
        return (PROMPT_TOKENS * PRICE[0] + self.most_tokens * PRICE[1]) / 1e6


SCRIPTS: Final[Mapping[str, Script]] = {
    "catches every error": Script(calls=100, most_tokens=5_000, tokens=4_000),
    "a model without a price": Script(calls=50, most_tokens=5_000, tokens=4_000, model=UNPRICED),
    "streams that never tell": Script(calls=50, most_tokens=5_000, tokens=4_000, stream=True),
    "20 calls at once": Script(calls=20, most_tokens=6_600, tokens=6_500, at_once=20),
    "many small charges": Script(calls=45, most_tokens=1_000, tokens=1_000),
}

Ask = Callable[[], None]
"""Makes one call and reads its reply to the end."""


def ask(client: openai.OpenAI, script: Script) -> None:
    """Make one call, as any agent does."""
    reply: Any = client.chat.completions.create(
        model=script.model,
        messages=[{"role": "user", "content": PROMPT}],
        max_tokens=script.most_tokens,
        stream=script.stream,
    )
    for _ in reply if script.stream else ():
        pass


def run(script: Script, one: Ask) -> Counter[str]:
    """Make every call, whatever the answers are; return what the agent saw."""

    def stubborn(_: int) -> str:
        try:
            one()
        except openai.APIStatusError as error:
            return f"HTTP {error.status_code}"
        except Exception as error:  # noqa: BLE001  the agent that never gives up is the point
            return type(error).__name__
        return "served"

    with ThreadPoolExecutor(script.at_once) as threads:
        return Counter(threads.map(stubborn, range(script.calls)))


class Blocked(Exception):
    """What an agent's author raises where a tool that was asked says no."""


@contextmanager
def nothing(client: openai.OpenAI, script: Script, cap: float) -> Generator[Ask]:
    """Write nothing around the agent: what governs it stands between it and the provider."""
    del cap
    yield lambda: ask(client, script)


@contextmanager
def agentbudget(client: openai.OpenAI, script: Script, cap: float) -> Generator[Ask]:
    """Attach a session to the client, which holds for every thread."""
    tool: Any = importlib.import_module("agentbudget")
    tool.register_model(MODEL, *PRICE)
    with tool.AgentBudget(max_spend=f"${cap:.2f}").session() as session:
        wrapped = tool.wrap_client(client, session)
        yield lambda: ask(wrapped, script)


@contextmanager
def agentbudget_asked(client: openai.OpenAI, script: Script, cap: float) -> Generator[Ask]:
    """Ask besides, before each call, whether the most that it may cost would be too much."""
    tool: Any = importlib.import_module("agentbudget")
    tool.register_model(MODEL, *PRICE)
    most, _ = _costs(script)
    with tool.AgentBudget(max_spend=f"${cap:.2f}").session() as session:
        wrapped = tool.wrap_client(client, session)

        def one() -> None:
            if session.would_exceed(most):
                raise Blocked
            ask(wrapped, script)

        yield one


@contextmanager
def agentguard(client: openai.OpenAI, script: Script, cap: float) -> Generator[Ask]:
    """Patch the SDK with a budget in memory, as the first example of its README."""
    tool: Any = importlib.import_module("agentguard")
    _patch(tool, tool.BudgetGuard(max_cost_usd=cap))
    yield lambda: ask(client, script)


@contextmanager
def agentguard_store(client: openai.OpenAI, script: Script, cap: float) -> Generator[Ask]:
    """Patch the SDK with a budget in a store, which reserves before a call leaves."""
    tool: Any = importlib.import_module("agentguard")
    store = tool.JsonFileStateStore("budget.json")
    _patch(tool, tool.BudgetGuard(max_cost_usd=cap, store=store, key="task"))
    yield lambda: ask(client, script)


def _patch(tool: Any, budget: Any) -> None:
    sink = tool.JsonlFileSink("traces.jsonl")
    tool.patch_openai(tool.Tracer(service="bench", sink=sink), budget_guard=budget)


@contextmanager
def agent_sre(client: openai.OpenAI, script: Script, cap: float) -> Generator[Ask]:
    """Check before and record after each call, as its README says; it asks the author for the costs."""
    guard: Any = importlib.import_module("agent_sre.cost.guard").CostGuard(per_task_limit=cap)
    most, cost = _costs(script)

    def one() -> None:
        allowed, reason = guard.check_task("agent", estimated_cost=most)
        if not allowed:
            raise Blocked(reason)
        ask(client, script)
        guard.record_cost("agent", "task", cost_usd=cost)

    yield one


@contextmanager
def agent_sre_charge(client: openai.OpenAI, script: Script, cap: float) -> Generator[Ask]:
    """Charge the most before each call, against a daily limit, as no limit adds up a task's charges."""
    guard: Any = importlib.import_module("agent_sre.cost.guard").CostGuard(
        per_task_limit=cap, per_agent_daily_limit=cap
    )
    most, _ = _costs(script)

    def one() -> None:
        allowed, reason, _ = guard.check_and_charge("agent", "task", most)
        if not allowed:
            raise Blocked(reason)
        ask(client, script)

    yield one


def _costs(script: Script) -> tuple[float, float]:
    """Return what the agent's author can tell: the most, and what was used; nothing without a price."""
    if script.model == UNPRICED:
        return 0.0, 0.0
    # Nobody was told what a broken stream has used.
    used = 0 if script.stream else script.tokens
    return script.most_usd, used * PRICE[1] / 1e6


GUARDS: Final = {
    "nothing": nothing,
    "agentbudget": agentbudget,
    "agentbudget_asked": agentbudget_asked,
    "agentguard": agentguard,
    "agentguard_store": agentguard_store,
    "agent_sre": agent_sre,
    "agent_sre_charge": agent_sre_charge,
}


def main() -> None:
    """Run away, and tell."""
    name, guard, cap = sys.argv[1:]
    script = SCRIPTS[name]
    with GUARDS[guard](openai.OpenAI(max_retries=0), script, float(cap)) as one:
        seen = run(script, one)
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
