"""Run the same runaway agents under Callgate and under other tools, and write what each let through.

``python -m bench.runaways`` installs the other tools at pinned versions, each into a folder of its
own; a simulated provider bills what it generated, whatever anybody else believes.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from bench.gateways import ROOT
from bench.rivals import HOMES
from bench.runaway_agent import PRICE, SCRIPTS, UNPRICED, Script
from callgate.money import Money
from callgate.testing.simulator import Simulator

PAGE: Final = ROOT / "docs/limits.md"
BEGIN: Final = "<!-- python -m bench.runaways writes from here -->\n"
END: Final = "<!-- to here -->\n"

AGENT: Final = ROOT / "bench/runaway_agent.py"
CAP: Final = Money.dollars("1")

WORDS: Final = 40
"""Of each reply; a stream has an event for each, besides those at its beginning and end."""

SETTINGS: Final = """\
[providers.openai]
api = "openai"
base_url = "{url}"
key = "env:OPENAI_API_KEY"

[agents.default]
models = ["openai:*"]

[tasks.default]
retries = 0
"""


class Tool(msgspec.Struct, frozen=True):
    """A tool, and how it is used."""

    name: str
    how: str
    guard: str
    """What is written around the agent; see ``runaway_agent``."""
    package: str | None = None
    """None is Callgate itself."""


AGENTBUDGET: Final = "agentbudget==0.4.0"
AGENTGUARD: Final = "agentguard47==2.0.0"
AGENT_SRE: Final = "agent-sre==3.7.0"

TOOLS: Final = (
    Tool("Callgate", "`callgate run --budget 1`", "nothing"),
    Tool("AgentBudget", "`wrap_client` in a session of $1", "agentbudget", AGENTBUDGET),
    Tool("AgentBudget", "the same, asked `would_exceed` first", "agentbudget_asked", AGENTBUDGET),
    Tool("agentguard47", "`patch_openai` with `BudgetGuard`", "agentguard", AGENTGUARD),
    Tool("agentguard47", "the same with a `StateStore`", "agentguard_store", AGENTGUARD),
    Tool("agent-sre", "`check_task`, `record_cost`", "agent_sre", AGENT_SRE),
    Tool("agent-sre", "`check_and_charge`, a limit by the day", "agent_sre_charge", AGENT_SRE),
)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an agent."""

    billed: Money
    calls: int
    reached: int
    """How many of its calls the provider got."""
    seen: Mapping[str, int]

    @property
    def over(self) -> Money:
        """What was billed above the cap."""
        return Money(max(0, self.billed.nano - CAP.nano))


def main() -> None:
    """Install, run and write."""
    table = asyncio.run(compare())
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}{table}{END}{after}", encoding="utf-8")
    print(table)


async def compare() -> str:
    """Run every agent under every tool; return the page's part."""
    for tool in TOOLS:
        await install(tool)
    tables = [_head()]
    for name, script in SCRIPTS.items():
        outcomes = {tool: await run(tool, name, script) for tool in TOOLS}
        tables.append(f"### {name[0].upper()}{name[1:]}\n\n{_told(script)}\n\n{_table(outcomes)}")
    return "\n".join([*tables, NOTES])


async def install(tool: Tool) -> None:
    """Install a tool if it is not there, with the SDK that the agents use.

    Raises:
        RuntimeError: It could not be installed; pip says why.
    """
    if tool.package is None or (_home(tool.package) / "ready").exists():
        return
    home = _home(tool.package)
    print(f"installing {tool.package} ...", flush=True)
    await _output(sys.executable, "-m", "venv", str(home))
    pip = (str(home / "bin/pip"), "install", "--quiet", "--disable-pip-version-check")
    await _output(*pip, tool.package, f"openai=={version('openai')}")
    (home / "ready").touch()


async def run(tool: Tool, name: str, script: Script) -> Outcome:
    """Let an agent run away under a tool."""
    print(f"{name}: {tool.name} {tool.how}", flush=True)
    async with Simulator(_played(script), seed=1) as simulator:
        with tempfile.TemporaryDirectory() as folder:
            told = await _run_away(tool, name, Path(folder), simulator.openai_url)
        await simulator.wait_idle()
        bill = simulator.bill()
    return Outcome(
        billed=Money(bill.total_nano_usd),
        calls=script.calls,
        reached=bill.requests,
        seen=msgspec.json.decode(told, type=dict[str, int]),
    )


async def _run_away(tool: Tool, name: str, folder: Path, url: str) -> bytes:
    agent = (str(AGENT), name, tool.guard, str(CAP).removeprefix("$"))
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "OPENAI_API_KEY": "sk-simulated"}
    if tool.package is None:
        (folder / "callgate.toml").write_text(SETTINGS.format(url=url), encoding="utf-8")
        gate = (sys.executable, "-m", "callgate", "run", "--budget", "1")
        receipt = ("--receipt-file", str(folder / "receipt.txt"))
        return await _output(*gate, *receipt, "--", sys.executable, *agent, env=environ, cwd=folder)
    python = str(_home(tool.package) / "bin/python")
    environ["OPENAI_BASE_URL"] = url
    return await _output(python, *agent, env=environ, cwd=folder)


def _home(package: str) -> Path:
    return HOMES / package.replace("==", "-")


def _played(script: Script) -> Mapping[str, object]:
    """Return what the provider plays."""
    step: dict[str, object] = {
        "answer": {"words": WORDS, "usage": {"output_tokens": script.tokens}}
    }
    if script.stream:
        # Before the event that would tell the usage.
        step["fault"] = {"how": "end", "after_events": WORDS}
    price = {"api": "openai", "input": PRICE[0], "output": PRICE[1]}
    return {"rules": [{"steps": [step]}], "prices": {UNPRICED: price}}


async def _output(
    *command: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> bytes:
    child = await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, stderr=PIPE, env=env, cwd=cwd
    )
    out, trouble = await child.communicate()
    if child.returncode:
        msg = f"{' '.join(command)}: {trouble.decode(errors='replace')[-2000:]}"
        raise RuntimeError(msg)
    return out


HEAD: Final = """\
## Runaway agents, here and elsewhere

Five agents that do not know when to stop, each with $1 for its task, under Callgate and under tools for Python that
promise to stop them, each used as its documentation says, and once more in its strictest way. The provider is the
[simulator](simulator.md), whose bill counts. `make bench RUNAWAYS=1` installs the tools, each in a folder of its own, runs
it all again and writes this section.

Measured on {date} with {versions}, openai {openai} and
Callgate {callgate}. What an agent saw is the name of an exception, or a status of the gate.
"""

NOTES: Final = """\
What some of them do not offer:

- **AgentBudget** records a call when its reply is there. Where that passes the budget it raises, and forgets the cost:
  the next call leaves again. A model without a price and a stream without usage are booked as $0. Who asks
  `would_exceed` before each call, with a number of their own, is told about calls that are over, not about those under way.
- **agentguard47** looks at what is recorded before a call leaves, and does not reserve; a call that passes the budget is
  its last, and a stream without usage costs nothing. With a store it reserves the output limit at $150 for a million
  tokens, whatever the model costs, so it stops early; what a stream without usage held stays held.
- **agent-sre** sits in no client and knows no prices: the agent's author asks it before each call and tells it the
  costs, and without a price has none to tell. Its limit for a task is compared with one call at a time; what adds up is
  an agent's day, so a day is what the last row limits.
"""


def _head() -> str:
    versions = ", ".join(
        package.replace("==", " ")
        for package in dict.fromkeys(tool.package for tool in TOOLS if tool.package)
    )
    return HEAD.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        versions=versions,
        openai=version("openai"),
        callgate=version("callgate"),
    )


def _told(script: Script) -> str:
    """Tell what the agent does."""
    model = "a model whose price is new" if script.model == UNPRICED else script.model
    how = f", {script.at_once} at a time" if script.at_once > 1 else ", one after the other"
    stream = "streams that end without a word on usage" if script.stream else "calls"
    return (
        f"{script.calls} {stream} to {model}{how}, of at most {script.most_tokens:,} tokens and "
        f"${script.most_usd:.2f} each."
    )


def _table(outcomes: Mapping[Tool, Outcome]) -> str:
    head = ("tool", "used by", "billed", "over the cap", "calls that left", "calls refused before", "what the agent saw")  # fmt: skip
    rows = [_cells(tool, outcome) for tool, outcome in outcomes.items()]
    lines: Sequence[Sequence[str]] = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(tool: Tool, outcome: Outcome) -> Sequence[str]:
    seen = ", ".join(f"{count} {name}" for name, count in sorted(outcome.seen.items()))
    over = f"**${outcome.over.nano / 1e9:.2f}**" if outcome.over.nano else "$0"
    return (
        tool.name,
        tool.how,
        f"${outcome.billed.nano / 1e9:.2f}",
        over,
        str(outcome.reached),
        str(outcome.calls - outcome.reached),
        seen,
    )


if __name__ == "__main__":
    main()
