"""The road as a whole: what a call costs, leaves behind, and is refused for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from callgate.call import Usage
from callgate.errors import (
    BadCredential,
    BadRequest,
    BrokenReply,
    ClientLeft,
    Denied,
    Exhausted,
    Malformed,
    Misconfigured,
    OverBudget,
    RateLimited,
    TimedOut,
    TooLarge,
    Transient,
    Unknown,
    Unpriced,
)
from callgate.money import Money
from callgate.testing.fakes import Answer
from tests.unit.pipeline.road import open_road

OK = Answer(usage=Usage(input_tokens=10, output_tokens=5))
GONE = ClientLeft("gone")
COST_OF_OK = Money(10 * 1_000 + 5 * 10_000)
"""10 tokens at $1 and 5 at $10 for a million, in nano-dollars."""


async def test_a_good_call_books_its_cost_and_leaves_one_row(tmp_path: Path) -> None:
    async with open_road(tmp_path, OK) as road:
        await road.ask()
        assert road.spent() == (COST_OF_OK, Money())
        assert (road.last.state, road.last.cost, len(road.last.attempts)) == ("ok", COST_OF_OK, 1)


async def test_a_stream_is_settled_when_its_last_byte_is_read(tmp_path: Path) -> None:
    stream = Answer(usage=OK.usage, chunks=(b"a", b"b"))
    async with open_road(tmp_path, stream) as road:
        assert await road.ask() == b"ab"
        assert (road.spent(), road.last.state) == ((COST_OF_OK, Money()), "ok")


async def test_a_refused_call_leaves_a_row_and_no_attempt(tmp_path: Path) -> None:
    async with open_road(tmp_path) as road:
        with pytest.raises(Denied, match="may not use 'plain'"):
            await road.ask(agent="helper")
        assert (road.last.state, road.last.code, road.last.attempts) == (
            "refused",
            "model_denied",
            (),
        )
        assert road.providers["first"].sent == []


async def test_what_cannot_be_read_leaves_a_row_too(tmp_path: Path) -> None:
    async with open_road(tmp_path) as road:
        with pytest.raises(Malformed, match="not JSON"):
            await road.read(road.passage(body=b"nope"))
        assert (road.last.state, road.last.status) == ("refused", 400)


async def test_an_agent_may_use_a_candidate_by_its_full_name(tmp_path: Path) -> None:
    async with open_road(tmp_path, second=(OK,)) as road:
        await road.ask("smart", agent="helper")
        assert [a.provider for a in road.last.attempts] == ["second"]


async def test_a_name_that_nobody_serves_is_told_with_the_nearest(tmp_path: Path) -> None:
    async with open_road(tmp_path) as road:
        with pytest.raises(Unknown, match="did you mean 'smart'"):
            await road.ask("smrt")


async def test_the_key_reaches_the_provider_and_nothing_else(tmp_path: Path) -> None:
    async with open_road(tmp_path, OK) as road:
        passage = road.passage()
        await road.read(passage)
        credential = road.providers["first"].sent[0].credential
        assert credential is not None
        assert (credential.reveal(), passage.credential) == ("key-1", None)


async def test_a_transient_failure_is_tried_again_after_growing_waits(tmp_path: Path) -> None:
    down = Transient("500", billed=False)
    async with open_road(tmp_path, down, down, OK) as road:
        await road.ask()
        first, second = road.clock.waits
        assert 0.375 <= first <= 0.5
        assert 0.75 <= second <= 1.0
        assert [a.state for a in road.last.attempts] == ["failed", "failed", "ok"]


async def test_a_wait_is_never_shorter_than_the_provider_asks(tmp_path: Path) -> None:
    busy = RateLimited("429", billed=False, retry_after_seconds=7.0)
    async with open_road(tmp_path, busy, OK) as road:
        await road.ask()
        assert road.clock.waits == [7.0]


async def test_no_retry_is_begun_that_the_deadline_would_cut(tmp_path: Path) -> None:
    busy = RateLimited("429", billed=False, retry_after_seconds=61.0)
    async with open_road(tmp_path, busy) as road:
        passage = road.passage()
        tasks = road.gate.settings.tasks
        limited = msgspec.structs.replace(tasks["default"], timeout_seconds=60.0)
        changed = msgspec.structs.replace(road.gate.settings, tasks={"default": limited})
        await road.gate.reload(changed)
        with pytest.raises(RateLimited):
            await road.read(passage)
        assert road.clock.waits == []


async def test_when_retries_run_out_the_next_candidate_answers(tmp_path: Path) -> None:
    down = [Transient("500", billed=False) for _ in range(3)]
    async with open_road(tmp_path, *down, second=(OK,)) as road:
        await road.ask("smart")
        assert [a.provider for a in road.last.attempts] == ["first", "first", "first", "second"]


async def test_when_all_candidates_fail_each_is_named(tmp_path: Path) -> None:
    denied = BadCredential("no", billed=False)
    async with open_road(tmp_path, denied, second=(denied,)) as road:
        with pytest.raises(Exhausted, match="all 2 candidates"):
            await road.ask("smart")
        assert (road.last.state, road.last.code) == ("failed", "exhausted")


async def test_a_bad_request_is_never_sent_again_here_or_elsewhere(tmp_path: Path) -> None:
    async with open_road(tmp_path, BadRequest("400", billed=False), second=(OK,)) as road:
        with pytest.raises(BadRequest):
            await road.ask("smart")
        assert (len(road.last.attempts), road.clock.waits) == (1, [])


async def test_a_task_has_a_most_number_of_retries(tmp_path: Path) -> None:
    down = Transient("500", billed=False)
    async with open_road(tmp_path, *[down] * 40) as road:
        tasks = road.gate.settings.tasks
        often = {"default": msgspec.structs.replace(tasks["default"], retries=10)}
        await road.gate.reload(msgspec.structs.replace(road.gate.settings, tasks=often))
        for _ in range(3):
            with pytest.raises(Transient):
                await road.ask()
        retried = sum(len(call.attempts) - 1 for call in road.store.calls(limit=None))
        assert retried == 20


async def test_an_attempt_that_surely_cost_nothing_is_booked_as_nothing(tmp_path: Path) -> None:
    async with open_road(tmp_path, BadRequest("400", billed=False)) as road:
        with pytest.raises(BadRequest):
            await road.ask()
        assert road.spent() == (Money(), Money())


async def test_an_attempt_whose_key_is_missing_cost_nothing(tmp_path: Path) -> None:
    async with open_road(tmp_path, OK, environ={}) as road:
        with pytest.raises(Misconfigured, match="FIRST"):
            await road.ask()
        assert (road.spent(), road.providers["first"].sent) == ((Money(), Money()), [])
        assert (road.last.state, road.last.code) == ("failed", "misconfigured")


async def test_an_attempt_that_fails_in_no_known_way_is_booked_at_its_bound(
    tmp_path: Path,
) -> None:
    async with open_road(tmp_path, ZeroDivisionError("a mistake of ours")) as road:
        with pytest.raises(ZeroDivisionError):
            await road.ask()
        attempt = road.last.attempts[0]
        assert (attempt.state, attempt.cost, attempt.estimated) == (
            "failed",
            attempt.reserved,
            True,
        )
        assert (road.last.state, road.last.status, road.last.code) == ("failed", 500, "internal")


async def test_what_a_door_could_not_take_is_refused_on_the_road(tmp_path: Path) -> None:
    async with open_road(tmp_path) as road:
        passage = road.passage()
        passage.call = msgspec.structs.replace(passage.call, flaw=TooLarge("too much"))
        with pytest.raises(TooLarge):
            await road.read(passage)
        assert (road.last.state, road.last.code, road.last.status) == ("refused", "too_large", 413)


async def test_an_attempt_that_may_have_been_billed_is_booked_at_its_bound(tmp_path: Path) -> None:
    late = [TimedOut("no answer", billed=True) for _ in range(3)]
    async with open_road(tmp_path, *late) as road:
        with pytest.raises(TimedOut):
            await road.ask()
        bound = sum(a.reserved.nano for a in road.last.attempts if a.reserved)
        assert (road.spent(), bound > 0) == ((Money(bound), Money()), True)
        assert all(a.estimated for a in road.last.attempts)


async def test_a_reply_that_tells_no_usage_is_booked_at_its_bound(tmp_path: Path) -> None:
    async with open_road(tmp_path, Answer(usage=None)) as road:
        await road.ask()
        attempt = road.last.attempts[0]
        assert (attempt.cost, attempt.estimated, attempt.state) == (attempt.reserved, True, "ok")


async def test_a_reply_with_fees_besides_its_tokens_is_booked_at_its_bound(
    tmp_path: Path,
) -> None:
    async with open_road(tmp_path, Answer(unpriced="web_search_requests")) as road:
        await road.ask()
        attempt = road.last.attempts[0]
        assert (attempt.cost, attempt.estimated) == (attempt.reserved, True)
        assert attempt.usage is not None


async def test_a_stream_that_breaks_is_a_failure_booked_at_its_bound(tmp_path: Path) -> None:
    broken = Answer(chunks=(b"a", BrokenReply("cut", billed=True)))
    async with open_road(tmp_path, broken) as road:
        with pytest.raises(BrokenReply):
            await road.ask()
        attempt = road.last.attempts[0]
        assert (road.last.state, attempt.cost == attempt.reserved) == ("failed", True)


async def test_a_reader_who_hangs_up_is_booked_at_the_bound(tmp_path: Path) -> None:
    async with open_road(tmp_path, Answer(chunks=(b"a", b"b"))) as road:
        with pytest.raises(ClientLeft):
            async with road.gate.road(road.passage()):
                raise GONE
        attempt = road.last.attempts[0]
        assert (road.last.state, attempt.state, attempt.estimated) == ("left", "left", True)


async def test_a_reader_who_hangs_up_after_the_end_pays_what_it_cost(tmp_path: Path) -> None:
    async with open_road(tmp_path, Answer(usage=OK.usage, chunks=(b"a",))) as road:
        passage = road.passage()
        with pytest.raises(ClientLeft):
            async with road.gate.road(passage) as reply:
                assert reply.chunks is not None
                _ = [chunk async for chunk in reply.chunks]
                raise GONE
        assert (road.last.state, road.spent()) == ("ok", (COST_OF_OK, Money()))


async def test_a_cancelled_caller_does_not_cancel_the_settlement(tmp_path: Path) -> None:
    async with open_road(tmp_path, Answer(chunks=(b"a", b"b"))) as road:
        opened = asyncio.Event()

        async def hold() -> None:
            async with road.gate.road(road.passage()):
                opened.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(hold())
        await opened.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (road.last.state, road.spent()[1]) == ("left", Money())


async def test_a_caller_cancelled_while_it_is_admitted_leaves_no_hold(tmp_path: Path) -> None:
    async with open_road(tmp_path, OK, OK) as road:
        # With its first call the numbers of a price are noted, which is waited for too.
        await road.ask(task="before")
        task = asyncio.create_task(road.ask())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await road.settled()
        assert road.spent() == (Money(), Money())
        assert len(road.providers["first"].sent) == 1


async def test_a_call_that_does_not_fit_is_refused_before_it_leaves(tmp_path: Path) -> None:
    async with open_road(tmp_path, budget="0.0001") as road:
        with pytest.raises(OverBudget) as refused:
            await road.ask()
        assert (refused.value.status, road.providers["first"].sent) == (402, [])
        assert road.last.code == "over_budget"


async def test_a_budget_lowers_an_output_limit_that_the_gate_inserts(tmp_path: Path) -> None:
    body = b'{"model":"plain","messages":[]}'
    async with open_road(tmp_path, OK, budget="0.01") as road:
        passage = road.passage(body=body)
        await road.read(passage)
        sent = msgspec.json.decode(road.providers["first"].sent[0].body)
        limit = sent["max_completion_tokens"]
        assert 900 < limit < 1000
        assert passage.limited_to == limit
        assert road.last.attempts[0].changes == ("model=a", f"max_completion_tokens={limit}")


async def test_a_request_that_names_its_limit_keeps_it(tmp_path: Path) -> None:
    async with open_road(tmp_path, OK) as road:
        passage = road.passage()
        await road.read(passage)
        assert b'"max_tokens":100' in road.providers["first"].sent[0].body
        assert passage.limited_to is None


async def test_a_model_without_a_price_is_refused_under_a_budget(tmp_path: Path) -> None:
    async with open_road(tmp_path) as road:
        with pytest.raises(Unpriced, match=r'\[prices."first:unpriced"\]'):
            await road.ask("gratis")


async def test_without_a_budget_an_unpriced_cost_is_unknown_not_zero(tmp_path: Path) -> None:
    async with open_road(tmp_path, OK, budget=None) as road:
        await road.ask("gratis")
        row = road.store.task_row("t1")
        assert row is not None
        assert (road.last.attempts[0].cost, row.unknown_costs) == (None, 1)


async def test_an_input_that_its_bytes_do_not_bound_is_bounded_by_the_context_window(
    tmp_path: Path,
) -> None:
    image = b'{"model":"plain","max_tokens":1,"messages":[{"content":[{"type":"image_url"}]}]}'
    async with open_road(tmp_path, OK) as road:
        await road.read(road.passage(body=image))
        reserved = road.last.attempts[0].reserved
        # A sixteenth more, as lists round windows off.
        assert reserved == Money(106_250 * 1_000 + 10_000)


async def test_a_call_without_a_task_is_a_task_of_its_own_and_ends_it(tmp_path: Path) -> None:
    async with open_road(tmp_path, OK) as road:
        passage = road.passage(task=None)
        await road.read(passage)
        assert passage.task is not None
        task = road.store.find_task(passage.task.id)
        assert task is not None
        assert task.ended_at is not None


async def test_a_task_of_another_user_is_refused(tmp_path: Path) -> None:
    async with open_road(tmp_path, OK) as road:
        await road.ask(user="u1")
        with pytest.raises(Malformed, match="Callgate-User says 'u2'"):
            await road.ask(user="u2")


async def test_a_task_type_that_is_not_in_the_settings_is_refused(tmp_path: Path) -> None:
    async with open_road(tmp_path) as road:
        with pytest.raises(Unknown, match="did you mean 'default'"):
            await road.ask(task_type="defualt")


async def test_a_request_that_nothing_translates_is_refused_with_who_could_take_it(
    tmp_path: Path,
) -> None:
    async with open_road(tmp_path) as road:
        with pytest.raises(Denied, match="takes the format anthropic_count_tokens"):
            await road.ask("plain", format="anthropic_count_tokens")
        assert road.last.code == "other_format"


async def test_a_client_that_left_before_the_answer_is_not_retried_for(tmp_path: Path) -> None:
    async with open_road(tmp_path, Transient("500", billed=False), OK) as road:
        passage = road.passage()
        passage.left = True
        with pytest.raises(ClientLeft):
            await road.read(passage)
        assert road.providers["first"].sent == []
