"""The tree of errors is whole: each has its own code, its place on the page, and survives a copy."""

from __future__ import annotations

import ast
import copy
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callgate import errors
from callgate.config.problems import InvalidSettings, Problem
from callgate.errors import (
    AlreadyDone,
    Answer,
    CallgateError,
    ClientLeft,
    Exhausted,
    Failed,
    OverBudget,
    RateLimited,
    Reason,
    Refused,
    TimedOut,
    Transient,
)
from tests.architecture.source import PACKAGE, ROOT, python_files, tree


def below(root: type[CallgateError]) -> Iterator[type[CallgateError]]:
    """An error of the vocabulary, and all that are more special."""
    if root.__module__ == errors.__name__:
        yield root
        for kind in root.__subclasses__():
            yield from below(kind)


TREE = list(below(CallgateError))
FAILURES = list(below(Failed))


def make(kind: type[CallgateError]) -> CallgateError:
    """An error as it is raised, with all it can carry."""
    more: dict[str, Any] = {}
    parameters = inspect.signature(kind).parameters
    if kind is Exhausted:
        return Exhausted("all failed", [TimedOut("too late", billed=True)])
    if "billed" in parameters:
        more |= {"billed": False, "answer": Answer(status=429, headers=(("a", "b"),), body=b"no")}
    if "reason" in parameters:
        more["reason"] = Reason(code=kind.code, fix="do this", limit=5)
    if "retry_after_seconds" in parameters:
        more["retry_after_seconds"] = 1.5
    if kind is AlreadyDone:
        more |= {"call_id": "call_1", "done_at": 1.5, "result": b"{}", "is_same": True}
    return kind("what happened", **more)


def elsewhere(error: Any) -> Any:
    """An error as another process gets it."""
    here, there = Pipe()
    with here, there:
        there.send(error)
        return here.recv()


def told(error: CallgateError) -> tuple[Any, ...]:
    """All that an error tells."""
    failures = tuple(told(failure) for failure in getattr(error, "failures", ()))
    state = {key: value for key, value in vars(error).items() if key != "failures"}
    return type(error), str(error), error.args, state, failures


@pytest.mark.parametrize("kind", TREE)
def test_an_error_survives_a_copy_and_another_process(kind: type[CallgateError]) -> None:
    error = make(kind)
    assert told(copy.copy(error)) == told(error)
    assert told(copy.deepcopy(error)) == told(error)
    assert told(elsewhere(error)) == told(error)


def test_an_error_of_another_shape_survives_too() -> None:
    problem = Problem(line=3, key="gate.port", found="x", allowed="a number")
    error = InvalidSettings(Path("callgate.toml"), [problem])
    again = elsewhere(error)
    assert (str(again), again.problems) == (str(error), (problem,))


def test_every_code_is_one_errors_own() -> None:
    codes = Counter(kind.code for kind in TREE)
    assert [code for code, times in codes.items() if times > 1] == []


@pytest.mark.parametrize("kind", [kind for kind in TREE if kind is not CallgateError])
def test_a_code_is_its_errors_name(kind: type[CallgateError]) -> None:
    assert kind.code == re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


@pytest.mark.parametrize("kind", TREE)
def test_every_error_stands_on_the_page_with_its_code_and_status(kind: type[CallgateError]) -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    row = rf"^\| (?:&emsp;)*`{kind.__name__}` \| `{kind.code}` \| {kind.status} \| \S"
    assert re.search(row, page, re.MULTILINE)


@pytest.mark.parametrize("kind", TREE)
def test_the_tree_at_the_top_of_the_module_shows_every_error(kind: type[CallgateError]) -> None:
    lines = (errors.__doc__ or "").splitlines()
    shown = [line for line in lines if re.search(rf"(?:^ *|[├└]── ){kind.__name__}\b", line)]
    assert len(shown) == 1
    assert shown[0].index(kind.__name__) == 4 * (
        len(kind.__mro__) - CallgateError.__mro__.__len__() + 1
    )


@pytest.mark.parametrize("kind", TREE)
def test_a_reason_that_is_not_given_tells_the_code_of_the_class(kind: type[CallgateError]) -> None:
    bare = (
        kind("m", billed=True) if issubclass(kind, Failed) and kind is not Exhausted else make(kind)
    )
    assert bare.reason.code == kind.code
    assert bare.message == str(bare)


@pytest.mark.parametrize("kind", [kind for kind in FAILURES if kind is not Exhausted])
def test_no_failure_leaves_open_whether_it_may_have_cost_money(kind: type[Failed]) -> None:
    untyped: Any = kind
    with pytest.raises(TypeError, match="billed"):
        untyped("what happened")


@pytest.mark.parametrize("billed", [[False, False], [False, True], [True]])
def test_a_call_may_have_cost_money_where_any_candidate_may(billed: list[bool]) -> None:
    failures = [Transient("no", billed=one) for one in billed]
    error = Exhausted("all failed", failures)
    assert (error.billed, error.failures) == (any(billed), tuple(failures))


@pytest.mark.parametrize("kind", list(below(Refused)))
def test_a_refusal_is_the_callers_or_the_operators_to_mend(kind: type[Refused]) -> None:
    """409 is left out on purpose: a client takes it for a conflict and tries again."""
    # What is done already is a good answer, and 424 one that no client sends again.
    assert kind.status in {200, 400, 401, 402, 403, 404, 413, 424, 429, 503}
    assert kind.may_retry is (kind.status in {429, 503})


def test_a_failure_keeps_what_the_provider_said() -> None:
    answer = Answer(status=429, headers=(("retry-after", "2"),), body=b"{}")
    error = RateLimited("slow down", billed=False, answer=answer, retry_after_seconds=2.0)
    assert (error.status, error.answer, error.retry_after_seconds) == (429, answer, 2.0)


def test_who_hung_up_is_neither_refused_nor_failed() -> None:
    assert not issubclass(ClientLeft, Refused | Failed)


def test_a_reason_tells_a_client_just_what_it_knows() -> None:
    reason = Reason(code=OverBudget.code, limit=5, fix="raise it")
    assert msgspec.to_builtins(reason) == {"code": "over_budget", "limit": 5, "fix": "raise it"}


ROOMS = ("pipeline", "store", "wire", "gate", "doors/exchange.py")
"""Where a refusal is made that reaches an agent."""


def made_without(keyword: str, *names: str) -> list[str]:
    """Every place in these rooms that calls one of some names and leaves a keyword out."""
    files = [PACKAGE / room for room in ROOMS if room.endswith(".py")]
    files += python_files(*(f"src/callgate/{room}" for room in ROOMS))
    return [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in files
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) in names
        if not {keyword, None} & {given.arg for given in node.keywords}
    ]


def test_every_refusal_has_a_reason_and_every_reason_says_what_to_do() -> None:
    assert made_without("reason", *(kind.__name__ for kind in below(Refused))) == []
    assert made_without("fix", "Reason") == []
