"""What the tools of others were when they were accepted, and what they are now."""

from __future__ import annotations

import pytest

from callgate.money import Money
from callgate.store import Definition, Pinned, Sight, Store
from callgate.store.pins import Accepting
from tests.contract.store.making import NOW


def definition(tool: str = "log", text: str = "{}", **changes: str) -> Definition:
    digest = changes.get("digest", f"digest of {text}")
    return Definition(
        tool=tool, name=f"git.{tool}", text=text, digest=digest, effect="write", cost=Money(5)
    )


def sight(
    *definitions: Definition,
    accepting: Accepting = "the first list",
    toolset: str = "git",
    at: float = NOW,
    locked: tuple[Definition, ...] | None = None,
) -> Sight:
    return Sight(
        toolset=toolset, definitions=definitions, accepting=accepting, locked=locked, seen_at=at
    )


def told(store: Store, *, only_open: bool = True) -> list[tuple[str, str]]:
    return [(each.severity, each.scope) for each in store.alerts(only_open=only_open)]


def states(store: Store, toolset: str | None = None) -> dict[str, str]:
    return {f"{each.toolset}.{each.tool}": each.state for each in store.pins(toolset)}


async def test_the_first_list_is_accepted_as_a_whole(store: Store) -> None:
    await store.see_tools(sight(definition("log"), definition("add")))
    (add, _) = store.pins("git")
    assert add == Pinned(
        toolset="git", tool="add", accepted=definition("add"), seen=definition("add"),
        accepted_at=NOW, seen_at=NOW,
    )  # fmt: skip
    assert states(store) == {"git.add": "accepted", "git.log": "accepted"}


async def test_what_comes_later_or_changes_is_not_accepted(store: Store) -> None:
    await store.see_tools(sight(definition("log"), definition("add")))
    await store.see_tools(sight(definition("log", "other"), definition("push"), at=NOW + 1))
    assert states(store) == {"git.add": "gone", "git.log": "changed", "git.push": "new"}
    log = store.pins("git")[1]
    assert (log.accepted, log.seen) == (definition("log"), definition("log", "other"))
    assert (log.accepted_at, log.seen_at) == (NOW, NOW + 1)


async def test_each_tool_may_be_accepted_when_it_is_first_seen(store: Store) -> None:
    each: Accepting = "each tool at first"
    await store.see_tools(sight(definition("log"), accepting=each))
    await store.see_tools(sight(definition("log", "other"), definition("push"), accepting=each))
    assert states(store) == {"git.log": "changed", "git.push": "accepted"}


async def test_nothing_may_be_accepted_at_first(store: Store) -> None:
    await store.see_tools(sight(definition("log"), accepting="nothing"))
    assert states(store) == {"git.log": "new"}


async def test_a_tool_is_as_it_is_since_it_last_changed(store: Store) -> None:
    await store.see_tools(sight(definition("log")))
    await store.see_tools(sight(definition("log"), at=NOW + 9))
    assert [each.seen_at for each in store.pins()] == [NOW]


async def test_only_what_the_digest_leaves_out_is_another_text_of_the_same(store: Store) -> None:
    await store.see_tools(sight(definition("log", "in Berlin", digest="d")))
    await store.see_tools(sight(definition("log", "in Tokyo", digest="d")))
    (log,) = store.pins()
    assert (log.state, log.seen and log.seen.text) == ("accepted", "in Tokyo")


async def test_toolsets_are_told_apart(store: Store) -> None:
    await store.see_tools(sight(definition("log")))
    await store.see_tools(sight(definition("log", "other"), toolset="another"))
    assert states(store, "git") == {"git.log": "accepted"}
    assert list(states(store)) == ["another.log", "git.log"]
    assert states(store, "none") == {}


async def test_a_change_is_accepted_by_somebody(store: Store) -> None:
    await store.see_tools(sight(definition("log"), definition("add")))
    await store.see_tools(sight(definition("log", "other"), definition("push")))
    digests = {"log": "digest of other", "add": None}
    assert await store.accept_tools("git", digests, NOW + 7) == ["add", "log"]
    assert states(store) == {"git.log": "accepted", "git.push": "new"}
    assert store.pins()[0].accepted_at == NOW + 7


@pytest.mark.parametrize("looked_at", ["digest of before", None])
async def test_what_has_changed_since_somebody_looked_is_not_accepted(
    store: Store, looked_at: str | None
) -> None:
    await store.see_tools(sight(definition("log")))
    await store.see_tools(sight(definition("log", "other")))
    assert await store.accept_tools("git", {"log": looked_at}, NOW) == []
    assert states(store) == {"git.log": "changed"}


async def test_a_lock_says_what_is_accepted_and_nothing_else_does(store: Store) -> None:
    await store.see_tools(sight(definition("log"), definition("add")))
    locked = (definition("log", "other"), definition("push"))
    await store.see_tools(sight(definition("log"), definition("add"), locked=locked))
    assert states(store) == {"git.add": "new", "git.log": "changed", "git.push": "gone"}


async def test_a_first_sight_is_told_once_and_needs_nobody(store: Store) -> None:
    tools = [definition(f"tool{n:02}") for n in range(25)]
    await store.see_tools(sight(*tools))
    await store.see_tools(sight(*tools))
    (alert,) = store.alerts()
    assert (alert.severity, alert.scope, alert.resolved_at) == ("info", "toolset:git", NOW)
    assert "tool00, tool01" in alert.message
    assert "tool19 and 5 more" in alert.message


async def test_what_waits_for_somebody_is_told_until_it_is_accepted(store: Store) -> None:
    await store.see_tools(sight(definition("log")))
    await store.see_tools(sight(definition("log", "other"), definition("push")))
    assert told(store) == [("warning", "tool:git.push"), ("critical", "tool:git.log")]
    assert "callgate tools accept git push" in store.alerts()[0].message
    await store.accept_tools("git", {"log": "digest of other"}, NOW + 1)
    assert told(store) == [("warning", "tool:git.push")]


async def test_what_is_again_as_it_was_accepted_is_over(store: Store) -> None:
    await store.see_tools(sight(definition("log")))
    await store.see_tools(sight(definition("log", "other")))
    await store.see_tools(sight(definition("log")))
    assert told(store) == []
    assert ("critical", "tool:git.log") in told(store, only_open=False)
