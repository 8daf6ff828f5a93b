"""Who fails again and again is not asked for a while, nor is a key that is rejected."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import pytest

from callgate.call import Reply
from callgate.errors import (
    BadCredential,
    BadRequest,
    BreakerOpen,
    BrokenReply,
    Exhausted,
    Forbidden,
    NoSuchModel,
    OutOfCredit,
    OverBudget,
    Quarantined,
    Transient,
)
from callgate.pipeline import health
from callgate.pipeline.health import FAILURES
from callgate.providers import Outgoing
from callgate.store import Block
from callgate.testing.clocks import Turn
from callgate.testing.fakes import Answer, FakeProvider, Silence
from tests.unit.pipeline.road import KEYS, Line, Road, open_road
from tests.unit.pipeline.test_matrix import set_task

DOWN: Final = Transient("500", billed=False)
OK: Final = Answer()
MARK: Final = "#"


async def fail(road: Road, calls: int = FAILURES, model: str = "plain") -> None:
    """Make calls that fail, each with one attempt."""
    await set_task(road, retries=0)
    for _ in range(calls):
        with pytest.raises((Transient, Exhausted)):
            await road.ask(model)


def sent(road: Road, provider: str = "first") -> int:
    return len(road.providers[provider].sent)


async def subjects(road: Road) -> list[str]:
    await road.settled()
    return [block.subject.partition(MARK)[0] for block in road.store.blocks()]


async def test_who_fails_again_and_again_is_not_asked_any_more(tmp_path: Path) -> None:
    async with open_road(tmp_path, *[DOWN] * FAILURES) as road:
        await fail(road)
        with pytest.raises(BreakerOpen, match="failed again and again") as refused:
            await road.ask()
        assert (refused.value.status, refused.value.retry_after_seconds) == (503, 5.0)
        assert (sent(road), await subjects(road)) == (FAILURES, ["first:a"])
        assert road.last.attempts == ()


async def test_a_good_reply_between_them_begins_the_count_anew(tmp_path: Path) -> None:
    some = [DOWN] * (FAILURES - 1)
    async with open_road(tmp_path, *some, OK, *some) as road:
        await fail(road, FAILURES - 1)
        await road.ask()
        await fail(road, FAILURES - 1)
        assert await subjects(road) == []


async def test_one_call_that_fails_as_often_as_it_is_tried_blocks_nobody(tmp_path: Path) -> None:
    async with open_road(tmp_path, *[DOWN] * 12) as road:
        await set_task(road, retries=5)
        for _ in range(2):
            with pytest.raises(Transient):
                await road.ask()
        assert (sent(road), await subjects(road)) == (12, [])


async def test_a_bad_request_says_nothing_of_who_refused_it(tmp_path: Path) -> None:
    bad = BadRequest("400", billed=False)
    async with open_road(tmp_path, *[bad] * FAILURES, OK) as road:
        for n in range(FAILURES):
            with pytest.raises(BadRequest):
                await road.ask(task=f"t{n}")
        await road.ask(task="other")


async def test_a_reply_that_breaks_counts(tmp_path: Path) -> None:
    broken = Answer(chunks=(b"a", BrokenReply("cut", billed=True)))
    async with open_road(tmp_path, *[broken] * FAILURES) as road:
        for _ in range(FAILURES):
            with pytest.raises(BrokenReply):
                await road.ask()
        assert await subjects(road) == ["first:a"]


async def test_another_candidate_serves_meanwhile_without_a_wait(tmp_path: Path) -> None:
    async with open_road(tmp_path, *[DOWN] * FAILURES, second=(OK,) * (FAILURES + 1)) as road:
        await set_task(road, retries=0)
        for _ in range(FAILURES + 1):
            await road.ask("smart")
        assert (sent(road), sent(road, "second")) == (FAILURES, FAILURES + 1)
        assert road.clock.waits == []


async def test_a_lone_candidate_is_waited_for_until_it_may_be_tried(tmp_path: Path) -> None:
    async with open_road(tmp_path, *[DOWN] * FAILURES, OK) as road:
        await fail(road)
        await set_task(road, retries=2)
        await road.ask()
        assert road.clock.waits == [5.0]
        assert await subjects(road) == []


async def test_the_one_who_tries_in_vain_doubles_the_time(tmp_path: Path) -> None:
    async with open_road(tmp_path, *[DOWN] * (FAILURES + 1)) as road:
        await fail(road)
        road.clock.advance(5)
        await fail(road, 1)
        (block,) = road.store.blocks()
        assert (block.times, block.until) == (2, road.clock.now() + 10)
        with pytest.raises(BreakerOpen):
            await road.ask()


async def test_one_who_is_answered_badly_has_been_answered(tmp_path: Path) -> None:
    async with open_road(tmp_path, *[DOWN] * FAILURES, BadRequest("400", billed=False)) as road:
        await fail(road)
        road.clock.advance(5)
        with pytest.raises(BadRequest):
            await road.ask()
        assert await subjects(road) == []


async def test_only_one_tries_at_a_time(tmp_path: Path) -> None:
    async with open_road(tmp_path, *[DOWN] * FAILURES, OK, OK) as road:
        await fail(road)
        road.clock.advance(5)
        ended = await asyncio.gather(road.ask(), road.ask(), return_exceptions=True)
        assert [type(end) for end in ended].count(BreakerOpen) == 1
        assert sent(road) == FAILURES + 1


@pytest.mark.parametrize(("failure", "subject"), [(BadCredential, "first"), (Forbidden, "first:a")])
async def test_a_key_that_is_rejected_is_not_used_again(
    tmp_path: Path, failure: type[BadCredential], subject: str
) -> None:
    async with open_road(tmp_path, failure("no", billed=False)) as road:
        with pytest.raises(failure):
            await road.ask()
        road.clock.advance(86_400)
        with pytest.raises(Quarantined, match=r"callgate breakers close first") as refused:
            await road.ask()
        assert (refused.value.status, sent(road), await subjects(road)) == (502, 1, [subject])


class Rotating:
    """A provider whose key is renewed while it is asked."""

    def __init__(self, keys: dict[str, str], *script: Line) -> None:
        self._inner = FakeProvider(*script)
        self._keys = keys
        self.sent = self._inner.sent

    def open(self, outgoing: Outgoing, /) -> AbstractAsyncContextManager[Reply]:
        self._keys["FIRST"] = "key-new"
        return self._inner.open(outgoing)

    async def close(self) -> None:
        await self._inner.close()


async def test_a_new_key_is_used_at_once_and_the_attempt_repeated(tmp_path: Path) -> None:
    keys = dict(KEYS)
    rotating = Rotating(keys, BadCredential("no", billed=False), OK)
    async with open_road(tmp_path, environ=keys, make_provider=lambda _policy: rotating) as road:
        await road.ask()
        told = [out.credential.reveal() for out in rotating.sent if out.credential]
        assert (told, await subjects(road)) == (["key-1", "key-new"], [])
        assert road.clock.waits == [0.0]


async def test_a_key_that_takes_the_place_of_a_rejected_one_is_free(tmp_path: Path) -> None:
    keys = dict(KEYS)
    async with open_road(tmp_path, BadCredential("no", billed=False), OK, environ=keys) as road:
        with pytest.raises(BadCredential):
            await road.ask()
        keys["FIRST"] = "key-new"
        await road.ask()


async def test_an_empty_account_is_tried_again_after_a_minute(tmp_path: Path) -> None:
    empty = OutOfCredit("402", billed=False)
    async with open_road(tmp_path, empty, empty, OK) as road:
        with pytest.raises(OutOfCredit):
            await road.ask()
        with pytest.raises(Quarantined, match="top up its account"):
            await road.ask()
        road.clock.advance(60)
        with pytest.raises(OutOfCredit):
            await road.ask()
        road.clock.advance(119)
        with pytest.raises(Quarantined):
            await road.ask()
        road.clock.advance(1)
        await road.ask()


async def alerts(road: Road) -> list[tuple[str, str, bool]]:
    await road.settled()
    told = reversed(road.store.alerts())
    return [(alert.kind, alert.scope, alert.resolved_at is None) for alert in told]


async def test_a_breaker_that_opens_is_told_and_over_when_it_closes(tmp_path: Path) -> None:
    async with open_road(tmp_path, *[DOWN] * (FAILURES + 1), OK) as road:
        await fail(road)
        road.clock.advance(5)
        await fail(road, 1)
        assert await alerts(road) == [("breaker", "model:first:a", True)]
        since = road.store.blocks()[0].since
        assert since == road.store.alerts()[0].raised_at
        road.clock.advance(10)
        await road.ask()
        assert await alerts(road) == [("breaker", "model:first:a", False)]


async def test_an_alert_of_a_rejected_key_is_over_when_another_one_is_good(tmp_path: Path) -> None:
    keys = dict(KEYS)
    script = (BadCredential("no", billed=False), OK, OK)
    async with open_road(tmp_path, *script, second=(OK,), environ=keys) as road:
        await road.ask("smart")
        assert await alerts(road) == [("credential", "provider:first", True)]
        keys["FIRST"] = "key-new"
        for _ in range(2):
            await road.ask()
        assert await alerts(road) == [("credential", "provider:first", False)]
        # A gate that still has the old key has no use for it, and nobody is told again.
        assert await subjects(road) == ["first"]


async def test_a_good_reply_of_another_provider_ends_no_alert(tmp_path: Path) -> None:
    async with open_road(tmp_path, OutOfCredit("402", billed=False), second=(OK, OK)) as road:
        await road.ask("smart")
        await road.ask("smart")
        assert await alerts(road) == [("credit", "provider:first", True)]


async def test_a_model_that_is_missing_is_told_once_and_another_serves(tmp_path: Path) -> None:
    missing = NoSuchModel("404", billed=False)
    async with open_road(tmp_path, missing, missing, OK, second=(OK,) * 3) as road:
        for _ in range(2):
            await road.ask("smart")
        assert (sent(road), sent(road, "second")) == (1, 2)
        road.clock.advance(60)
        await road.ask("smart")
        assert await alerts(road) == [("missing", "model:first:a", True)]
        with pytest.raises(NoSuchModel, match=r"correct the model's name.*breakers close first:a"):
            await road.ask()
        road.clock.advance(120)
        await road.ask("smart")
        assert await alerts(road) == [("missing", "model:first:a", False)]


async def test_a_name_that_only_the_agent_knows_is_no_news(tmp_path: Path) -> None:
    missing = NoSuchModel("404", billed=False)
    async with open_road(tmp_path, second=(missing, missing), budget=None) as road:
        for _ in range(2):
            with pytest.raises(NoSuchModel):
                await road.ask("second:typo", agent="helper", task=None)
        assert (sent(road, "second"), await alerts(road)) == (2, [])


async def test_what_another_gate_found_holds_here_within_a_second(tmp_path: Path) -> None:
    async with open_road(tmp_path, *[DOWN] * FAILURES, OK) as road:
        other = health.Health(road.store, road.clock)
        await fail(road)
        asked = health.Asked(road.gate.settings.models["plain"].use[0], subject_mark(road))
        with pytest.raises(BreakerOpen):
            await other.check(asked)
        await road.store.unblock(road.store.blocks()[0].subject)
        road.clock.advance(1)
        assert await other.check(asked) is None


def subject_mark(road: Road) -> str:
    return road.store.blocks()[0].subject.partition(MARK)[2]


async def test_what_an_operator_closes_is_not_asked_until_it_is_opened(tmp_path: Path) -> None:
    async with open_road(tmp_path, OK) as road:
        block = Block(
            subject="first", kind="operator", reason="maintenance", since=road.clock.now()
        )
        await road.store.block(block)
        with pytest.raises(Quarantined, match=r"maintenance.*ask who closed it"):
            await road.ask()


async def test_a_store_that_is_down_does_not_keep_a_failure_from_being_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_road(tmp_path, OK, BadCredential("no", billed=False)) as road:
        await road.ask()
        with road.store_down(table="blocks"), pytest.raises(BadCredential):
            await road.ask()
        await road.settled()
    assert "other gates were not told" in caplog.text


async def test_of_very_many_names_nothing_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "MOST_SUBJECTS", 1)
    async with open_road(tmp_path, *[DOWN] * 4, second=(DOWN,) * 4) as road:
        for _ in range(4):
            await fail(road, 1, "smart")
        assert await subjects(road) == []


@pytest.mark.parametrize("ends", ["refused", "cancelled"])
async def test_one_who_was_to_try_and_found_nothing_out_is_followed_at_once(
    tmp_path: Path, ends: str
) -> None:
    async with open_road(tmp_path, *[DOWN] * FAILURES, Silence(), OK) as road:
        await fail(road)
        road.clock.advance(5)
        if ends == "refused":
            huge = b'{"model":"plain","messages":[],"max_tokens":100000000}'
            with pytest.raises(OverBudget):
                await road.read(road.passage(body=huge))
            road.providers["first"].script.pop(0)
        else:
            asking = asyncio.create_task(road.ask())
            while sent(road) == FAILURES:
                await Turn()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        await road.settled()
        await road.ask()
        assert await subjects(road) == []


async def test_one_who_tried_with_a_key_that_is_renewed_meanwhile_tries_again_at_once(
    tmp_path: Path,
) -> None:
    keys = dict(KEYS)
    rotating = Rotating(keys, BadCredential("no", billed=False), OK)
    async with open_road(tmp_path, environ=keys, make_provider=lambda _policy: rotating) as road:
        now = road.clock.now()
        closed = Block(subject="first", kind="operator", reason="a pause", since=now, until=now)
        await road.store.block(closed)
        await road.ask()
        assert await subjects(road) == []


async def test_one_who_is_cancelled_while_it_claims_its_turn_lets_go(tmp_path: Path) -> None:
    async with open_road(tmp_path, *[DOWN] * FAILURES, OK) as road:
        await fail(road)
        road.clock.advance(5)
        asking = asyncio.create_task(road.ask())
        await Turn()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await road.settled()
        await road.ask()
