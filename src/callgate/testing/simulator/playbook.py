"""Which step of a script answers a request."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Final

from callgate.testing.simulator.request import Asked
from callgate.testing.simulator.script import MatchTable, RuleTable, Script, StepTable

UNSCRIPTED: Final = StepTable()


class Playbook:
    """A script, and how far each of its rules has been played.

    Args:
        script: What to play.
    """

    def __init__(self, script: Script) -> None:
        self._rules = [_Rule(rule) for rule in script.rules]

    def next_step(self, asked: Asked) -> StepTable:
        """Return the step for a request and move on; an empty step where no rule takes it."""
        for rule in self._rules:
            if rule.matches(asked):
                step = rule.next_step(asked)
                if step is not None:
                    return step
        return UNSCRIPTED


class _Rule:
    """One rule with its count of requests."""

    def __init__(self, rule: RuleTable) -> None:
        self._tests = _tests(rule.match)
        self._steps = rule.steps
        self._repeats = rule.then == "repeat"
        self._per = rule.per
        self._taken: Counter[object] = Counter()

    def matches(self, asked: Asked) -> bool:
        return all(test(asked) for test in self._tests)

    def next_step(self, asked: Asked) -> StepTable | None:
        group = self._group(asked)
        taken = self._taken[group]
        for step in self._steps:
            if taken < step.times:
                self._taken[group] += 1
                return step
            taken -= step.times
        return self._steps[-1] if self._repeats else None

    def _group(self, asked: Asked) -> object:
        if self._per == "request":
            return asked.digest
        return {"rule": None, "key": asked.key, "model": asked.model}[self._per]


def _tests(match: MatchTable) -> list[Callable[[Asked], bool]]:
    """Return one test for each thing that a rule names, the cheap ones first."""
    tests: list[Callable[[Asked], bool]] = [
        lambda asked: asked.endpoint == match.endpoint,
    ]
    exact = {name: getattr(match, name) for name in ("api", "format", "last", "stream", "attempt")}
    for name, wanted in exact.items():
        if wanted is not None:
            tests.append(_equals(name, wanted))
    if match.model is not None:
        tests.append(_is_like("model", match.model))
    if match.key is not None:
        tests.append(_is_like("key", match.key))
    if match.text is not None:
        search = re.compile(match.text).search
        tests.append(lambda asked: search(asked.text) is not None)
    return tests


def _equals(name: str, wanted: object) -> Callable[[Asked], bool]:
    return lambda asked: getattr(asked, name) == wanted


def _is_like(name: str, glob: str) -> Callable[[Asked], bool]:
    return lambda asked: fnmatchcase(getattr(asked, name) or "", glob)
