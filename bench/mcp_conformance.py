"""The official conformance runner of MCP against the gate's ``/mcp``, in both generations.

It comes from npm, at the versions and hashes of ``bench/mcp_runner/package-lock.json``, into a folder
outside of what is committed. What it finds is written to ``docs/mcp-conformance.md``. It fails where a
scenario fails whose features the gate offers.

    python -m bench.mcp_conformance
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.gateways import ROOT, running

PINNED: Final = ROOT / "bench/mcp_runner"
HOME: Final = ROOT / ".venvs/mcp-conformance"
PAGE: Final = ROOT / "docs/mcp-conformance.md"

REVISIONS: Final = ("2026-07-28", "2025-11-25")

NOT_OFFERED: Final = {
    "completion": "completions",
    "resources": "resources",
    "sep-2164-resource": "resources",
    "prompts": "prompts",
    "logging": "log messages",
    "tools-call-with-logging": "log messages",
    "tools-call-sampling": "asking the client's model",
    "input-required-result-basic-sampling": "asking the client's model",
    "input-required-result-basic-list-roots": "asking for the client's folders",
    "input-required-result-multiple": "asking for the client's folders",
    "input-required-result-non-tool": "prompts",
    "input-required-result-capability": "asking the client's model",
    "tasks": "the extension for tasks",
}
"""Features that a gate of tools does not have, by how the names of their scenarios begin."""

PARTLY: Final = {
    "server-stateless": "two checks call a tool that asks the client's model",
    "caching": "three checks list prompts and resources",
    "input-required-result-basic-elicitation": "it wants a question to have a name of its own choice",
}
"""Scenarios of which a part is about such a feature, and why they cannot pass whole."""

NAMES_OF_THE_REST: Final = frozenset({
    "sep-2575-server-rejects-undeclared-capability", "sep-2575-missing-capability-http-400",
    "sep-2549-prompts-list-caching-hints", "sep-2549-resources-list-caching-hints",
    "sep-2549-resources-templates-list-caching-hints", "sep-2322-elicitation-incomplete",
})  # fmt: skip
"""The checks of those parts; no other may fail."""

WHEN: Final = re.compile(r"-\d{4}-\d\d-\d\dT.*")
"""The time of a run, at the end of the name of what it has written."""

BEGIN: Final = """\
# MCP conformance

What the official runner, [@modelcontextprotocol/conformance]({repository}) {version}, finds at the gate's
[/mcp](mcp-server.md), by `make conformance`. It calls tools that answer as its scenarios want, over the road that every
call takes.

"""

REPOSITORY: Final = "https://github.com/modelcontextprotocol/conformance"


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one scenario."""

    revision: str
    name: str
    passed: int
    failed: Sequence[str]
    """The checks that failed."""

    @property
    def lack(self) -> str | None:
        """What it needs that the gate does not offer."""
        return next(
            (why for begin, why in NOT_OFFERED.items() if self.name.startswith(begin)), None
        )

    @property
    def surprises(self) -> Sequence[str]:
        """Failures that nothing explains."""
        return [] if self.lack else [each for each in self.failed if each not in NAMES_OF_THE_REST]


def main() -> None:
    """Run it, write the page, and fail where something surprises."""
    _install()
    found = asyncio.run(_run())
    version = json.loads((PINNED / "package.json").read_text())["dependencies"]
    begin = BEGIN.format(
        repository=REPOSITORY, version=version["@modelcontextprotocol/conformance"]
    )
    PAGE.write_text(begin + "\n".join(_section(found, revision) for revision in REVISIONS))
    print(PAGE.read_text())
    surprises = [
        f"{each.revision} {each.name}: {each.surprises}" for each in found if each.surprises
    ]
    sys.exit("\n".join(surprises) or None)


def _install() -> None:
    lock = PINNED / "package-lock.json"
    kept = HOME / "package-lock.json"
    if kept.exists() and kept.read_bytes() == lock.read_bytes():
        return
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PINNED / name, HOME / name)
    subprocess.run(("npm", "ci", "--silent", "--no-audit", "--no-fund"), cwd=HOME, check=True)


async def _run() -> list[Scenario]:
    found: list[Scenario] = []
    async with running(sys.executable, "-m", "bench.mcp_tools") as (_, line):
        url = json.loads(line)["url"]
        for revision in REVISIONS:
            with tempfile.TemporaryDirectory(prefix="callgate-mcp-") as folder:
                runner = (HOME / "node_modules/.bin/node", HOME / "node_modules/.bin/conformance")
                asked = ("server", "--url", url, "--requirements", revision, "-o", folder)
                child = await asyncio.create_subprocess_exec(
                    *runner, *asked, cwd=HOME, stdout=asyncio.subprocess.DEVNULL
                )
                await child.wait()
                found += _read(Path(folder), revision)
    return found


def _read(folder: Path, revision: str) -> list[Scenario]:
    read: list[Scenario] = []
    for file in sorted(folder.glob("*/checks.json")):
        checks: list[dict[str, Any]] = json.loads(file.read_text())
        named = [str(each["id"]) for each in checks if each["status"] == "FAILURE"]
        passed = sum(each["status"] == "SUCCESS" for each in checks)
        name = WHEN.sub("", file.parent.name.removeprefix("server-"))
        read.append(Scenario(revision=revision, name=name, passed=passed, failed=named))
    assert read, "the runner has written no results"
    return read


def _section(found: Sequence[Scenario], revision: str) -> str:
    here = [each for each in found if each.revision == revision]
    offered = [each for each in here if each.lack is None]
    rows = [
        f"| {each.name} | {each.passed} | {len(each.failed)} | {PARTLY.get(each.name, '')} |\n"
        for each in offered
    ]
    lacks: dict[str, int] = {}
    for each in here:
        if each.lack is not None:
            lacks[each.lack] = lacks.get(each.lack, 0) + 1
    told = ", ".join(f"{why} ({count})" for why, count in sorted(lacks.items()))
    passed = sum(each.passed for each in offered)
    failed = sum(len(each.failed) for each in offered)
    return (
        f"## {revision}\n\nOf what the gate offers {passed} checks pass and {failed} fail. Not offered,"
        f" with the scenarios that need it: {told}.\n\n"
        f"| scenario | passed | failed | |\n| --- | --- | --- | --- |\n{''.join(rows)}"
    )


if __name__ == "__main__":
    main()
