"""A count instead of a proven bound: only by choice, only where the bound does not fit."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callgate.call import Candidate, Usage
from callgate.config.policies import Bound, PricePolicy, RoutePolicy, TaskPolicy
from callgate.errors import BrokenReply, OverBudget, TimedOut, Unbounded, Unpriced
from callgate.money import Money
from callgate.pricing.counting import FOLDER, O200K
from callgate.providers.counting import ANSWER_SECONDS
from callgate.testing.fakes import Answer, Silence
from tests.unit.pipeline.road import (
    DOLLAR_A_MILLION,
    KEYS,
    PRICE,
    Line,
    Road,
    open_road,
    settings,
    whole,
)
from tests.unit.pricing.vocabularies import put

LONG = "The gate holds the money before a call leaves. " * 200
"""9,400 bytes, and 2,000 tokens or so."""

COUNTED = Answer(usage=None, counted_tokens=2_000)
SAID = Answer(usage=Usage(input_tokens=2_050, output_tokens=100))


def body(limit: int | None = 100, **fields: Any) -> bytes:
    message = {"role": "user", "content": LONG}
    named = {} if limit is None else {"max_tokens": limit}
    return msgspec.json.encode({"model": "other", "messages": [message], **named, **fields})


def open_counted(
    path: Path,
    *script: Line,
    budget: str | None = "0.005",
    bound: Bound = "counted",
    **more: Any,
) -> AbstractAsyncContextManager[Road]:
    """A road whose tasks may hold a count: the input costs a dollar a million, the output ten."""
    made = settings(path, budget=budget).tasks["default"]
    task = msgspec.structs.replace(made, bound=bound)
    return open_road(path, third=script, tasks={"default": task}, **more)


async def ask(road: Road, sent: bytes | None = None) -> None:
    await road.read(road.passage(format="anthropic_messages", body=sent or body()))


def asked(road: Road) -> list[str]:
    return [outgoing.format.name for outgoing in road.providers["third"].sent]


async def test_a_bound_that_does_not_fit_is_counted_and_held_with_a_margin(tmp_path: Path) -> None:
    async with open_counted(tmp_path, COUNTED, SAID) as road:
        await ask(road)
        (attempt,) = road.last.attempts
        assert asked(road) == ["anthropic_count_tokens", "anthropic_messages"]
        assert attempt.reserved == Money(2_100 * 1_000 + 100 * 10_000)
        assert (attempt.cost, attempt.changes) == (
            Money(2_050 * 1_000 + 100 * 10_000),
            ("bound=counted", "counted_tokens=2000", "counted_by=third", "bound_tokens=2100",
             "model=c"),
        )  # fmt: skip


async def test_a_reservation_that_stands_on_a_count_says_so_while_it_is_held(
    tmp_path: Path,
) -> None:
    """If the gate dies meanwhile, its row still tells."""
    stream = Answer(chunks=[b"data: 1\n\n"], usage=SAID.usage)
    async with open_counted(tmp_path, COUNTED, stream) as road:
        passage = road.passage(format="anthropic_messages", body=body(stream=True))
        async with road.gate.road(passage) as reply:
            (attempt,) = road.last.attempts
            assert (attempt.state, attempt.changes[0]) == ("running", "bound=counted")
            await whole(reply)


async def test_nothing_is_counted_where_only_proven_bounds_may_be_held(tmp_path: Path) -> None:
    async with open_counted(tmp_path, bound="proven") as road:
        with pytest.raises(OverBudget) as refused:
            await ask(road)
        assert asked(road) == []
        assert "counted" not in refused.value.message


@pytest.mark.parametrize("budget", [None, "1"])
async def test_nothing_is_counted_where_the_bound_fits(tmp_path: Path, budget: str | None) -> None:
    async with open_counted(tmp_path, SAID, budget=budget) as road:
        await ask(road)
        assert asked(road) == ["anthropic_messages"]
        assert road.last.attempts[0].changes == ("model=c",)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Silence(), "third sent none within 2 s"),
        (TimedOut("no connection", billed=False), "third sent none: no connection"),
        (BrokenReply("that is no count", billed=False), "third sent none: that is no count"),
        (Answer(usage=None, counted_tokens=0), "third counted nothing"),
        (Answer(usage=None), "third counted nothing"),
    ],
)
async def test_without_an_answer_the_proven_bound_stands_and_the_refusal_says_why(
    tmp_path: Path, answer: Line, why: str
) -> None:
    async with open_counted(tmp_path, answer) as road:
        with pytest.raises(OverBudget, match=f"its tokens were not counted, as {why}"):
            await ask(road)
        assert asked(road) == ["anthropic_count_tokens"]
        assert (road.last.state, road.last.attempts) == ("refused", ())


async def test_a_provider_that_is_slow_to_count_is_not_waited_for(tmp_path: Path) -> None:
    async with open_counted(tmp_path, Silence()) as road:
        with pytest.raises(OverBudget):
            await ask(road)
        assert road.clock.waits == [ANSWER_SECONDS]
        assert [task for task in asyncio.all_tasks() if "Counter" in repr(task)] == []


async def test_a_count_that_does_not_fit_either_is_refused_by_what_it_would_hold(
    tmp_path: Path,
) -> None:
    async with open_counted(tmp_path, COUNTED, budget="0.003") as road:
        with pytest.raises(OverBudget, match=r"may cost \$0\.0031,"):
            await ask(road)
        assert asked(road) == ["anthropic_count_tokens"]


async def test_a_provider_is_not_asked_where_the_output_alone_does_not_fit(tmp_path: Path) -> None:
    async with open_counted(tmp_path, budget="0.0009") as road:
        with pytest.raises(OverBudget, match="as no count could have made it fit"):
            await ask(road)
        assert asked(road) == []


async def test_what_running_calls_hold_is_no_room_for_a_count_either(tmp_path: Path) -> None:
    stream = Answer(chunks=[b"data: 1\n\n"], usage=SAID.usage)
    async with open_counted(tmp_path, stream, budget="0.0115") as road:
        passage = road.passage(format="anthropic_messages", body=body(stream=True))
        async with road.gate.road(passage) as reply:
            with pytest.raises(OverBudget, match="as no count could have made it fit"):
                await ask(road)
            await whole(reply)
        assert asked(road) == ["anthropic_messages"]


async def test_a_count_above_the_proven_bound_is_not_held(tmp_path: Path) -> None:
    high = Answer(usage=None, counted_tokens=50_000)
    async with open_counted(tmp_path, high, SAID, budget="0.0125") as road:
        await ask(road, body(limit=None))
        assert asked(road) == ["anthropic_count_tokens", "anthropic_messages"]


ABOVE = Answer(usage=Usage(input_tokens=3_000, output_tokens=100))
"""It costs $0.004 where $0.0031 are held for the count: 1.291 times as much."""


async def test_a_bill_above_what_was_counted_is_paid_and_raises_the_next_count_once(
    tmp_path: Path,
) -> None:
    async with open_counted(tmp_path, COUNTED, ABOVE, COUNTED, ABOVE, budget="0.0081") as road:
        await ask(road)
        assert road.spent() == (Money(4_000_000), Money())
        await ask(road)
        assert road.last.attempts[0].reserved == Money(3_100_000 * 1_291 // 1_000)
        (raised,) = road.gate.store.overruns()
        assert (raised.candidate.name, raised.thousandths, raised.counted) == (
            "third:c",
            1_291,
            True,
        )


async def test_a_refusal_of_a_raised_count_says_so(tmp_path: Path) -> None:
    async with open_counted(tmp_path, COUNTED, ABOVE, COUNTED, budget="0.0075") as road:
        await ask(road)
        with pytest.raises(OverBudget, match=r"may cost \$0\.0040021,.* 1\.291 times its count is"):
            await ask(road)


async def test_a_retry_is_counted_for_itself(tmp_path: Path) -> None:
    lost = TimedOut("lost", billed=False)
    async with open_counted(tmp_path, COUNTED, lost, COUNTED, SAID) as road:
        await ask(road)
        assert [attempt.changes[0] for attempt in road.last.attempts] == ["bound=counted"] * 2


async def test_an_attempt_at_a_candidate_whose_bound_fits_holds_no_count(tmp_path: Path) -> None:
    cheap = PricePolicy(input_femto=DOLLAR_A_MILLION // 100, output_femto=DOLLAR_A_MILLION)
    both = tuple(Candidate(provider="third", model=model) for model in ("c", "d"))
    lost: list[Line] = [COUNTED, TimedOut("lost", billed=False)] * 3
    routes = {"other": RoutePolicy(name="other", use=both)}
    prices = {"third:c": PRICE, "third:d": cheap}
    async with open_counted(tmp_path, *lost, SAID, models=routes, prices=prices) as road:
        await ask(road)
        assert [attempt.model for attempt in road.last.attempts] == ["c", "c", "c", "d"]
        assert road.last.attempts[-1].changes == ("model=d",)


async def test_a_reply_is_made_longer_by_a_count_before_it_is_cut_short(tmp_path: Path) -> None:
    """9,700 tokens leave 530 for output, 2,100 leave 1,290."""
    async with open_counted(tmp_path, COUNTED, SAID, budget="0.015") as road:
        await ask(road, body(limit=None))
        assert "max_tokens=1290" in road.last.attempts[0].changes


async def test_a_reply_is_cut_short_where_nothing_can_be_counted(tmp_path: Path) -> None:
    async with open_counted(tmp_path, Silence(), SAID, budget="0.015") as road:
        await ask(road, body(limit=None))
        (limited,) = road.last.attempts[0].changes[1:]
        assert 500 < int(limited.removeprefix("max_tokens=")) < 600


async def test_a_reply_that_would_be_cut_too_short_is_refused_with_the_reason(
    tmp_path: Path,
) -> None:
    async with open_counted(tmp_path, Silence(), budget="0.005") as road:
        with pytest.raises(OverBudget, match="not counted, as third sent none within 2 s"):
            await ask(road, body(limit=None))


DOCUMENT = [{"role": "user", "content": [{"type": "document", "source": {"type": "base64"}}]}]


async def test_a_document_is_counted_by_its_provider(tmp_path: Path) -> None:
    """Without its count it would hold all that the model can take."""
    async with open_counted(tmp_path, COUNTED, SAID) as road:
        await ask(road, body(messages=DOCUMENT))
        assert road.last.attempts[0].reserved == Money(3_100_000)


async def test_what_nobody_bounds_at_all_is_counted_too(tmp_path: Path) -> None:
    price = PricePolicy(input_femto=DOLLAR_A_MILLION, output_femto=DOLLAR_A_MILLION)
    prices = {"third:c": price}
    async with open_counted(tmp_path, COUNTED, SAID, Silence(), prices=prices) as road:
        await ask(road, body(messages=DOCUMENT))
        assert road.last.attempts[0].reserved == Money(2_200_000)
        with pytest.raises(Unbounded, match="not counted, as third sent none within"):
            await ask(road, body(messages=DOCUMENT))


@pytest.mark.parametrize(
    ("field", "type", "why"),
    [
        ("mcp_servers", "url", "mcp_servers adds to the input"),
        ("tools", "web_search_20260318", r"tools\[0\] is of type 'web_search"),
    ],
)
async def test_what_a_provider_adds_by_itself_is_covered_by_no_count(
    tmp_path: Path, field: str, type: str, why: str
) -> None:
    async with open_counted(tmp_path) as road:
        with pytest.raises(OverBudget, match=f"not counted, as {why}"):
            await ask(road, body(100, **{field: [{"type": type}]}))
        assert asked(road) == []


async def test_a_model_without_a_price_is_not_counted(tmp_path: Path) -> None:
    async with open_counted(tmp_path, prices={}) as road:
        with pytest.raises(Unpriced):
            await ask(road)
        assert asked(road) == []


async def test_a_provider_without_a_tokenizer_is_told(tmp_path: Path) -> None:
    task = TaskPolicy(type="default", budget=Money.dollars("0.005"), bound="counted")
    async with open_road(tmp_path, tasks={"default": task}) as road:
        message = {"role": "user", "content": LONG}
        sent = msgspec.json.encode({"model": "plain", "messages": [message], "max_tokens": 100})
        with pytest.raises(OverBudget, match="there is no tokenizer for models of first"):
            await road.read(road.passage(body=sent))


MODEL = Candidate(provider="first", model="gpt-5.5")


def open_tokenized(
    path: Path, *script: Line, vocabulary: bool = True, model: Candidate = MODEL
) -> AbstractAsyncContextManager[Road]:
    """A road to a model of OpenAI, on a machine that has its vocabulary."""
    made = settings(path, budget="0.005")
    first = msgspec.structs.replace(made.providers["first"], price_source="openai")
    if vocabulary:
        put(O200K, path)
    return open_road(
        path,
        *script,
        providers={**made.providers, "first": first},
        models={"plain": RoutePolicy(name="plain", use=(model,))},
        prices={model.name: PRICE},
        tasks={"default": msgspec.structs.replace(made.tasks["default"], bound="counted")},
        environ={**KEYS, FOLDER: str(path)},
    )


async def tokenize(road: Road, *content: dict[str, Any]) -> None:
    parts = [{"type": "text", "text": LONG}, *content]
    message = {"role": "user", "content": parts if content else LONG}
    sent = msgspec.json.encode({"model": "plain", "messages": [message], "max_tokens": 50})
    await road.read(road.passage(body=sent))


async def test_a_model_of_openai_is_counted_by_its_tokenizer(tmp_path: Path) -> None:
    async with open_tokenized(tmp_path, Answer()) as road:
        await tokenize(road)
        (attempt,) = road.last.attempts
        tokens = dict(change.split("=") for change in attempt.changes)
        assert tokens["counted_by"] == "o200k_base"
        assert 2_000 < int(tokens["counted_tokens"]) < 2_050
        # And what a template adds, for itself and for a message.
        assert int(tokens["bound_tokens"]) == -(-int(tokens["counted_tokens"]) * 21 // 20) + 144
        assert attempt.reserved == Money(int(tokens["bound_tokens"]) * 1_000 + 50 * 10_000)


async def test_escapes_are_read_before_they_are_counted(tmp_path: Path) -> None:
    async with open_tokenized(tmp_path, Answer()) as road:
        message = {"role": "user", "content": "\u8bf7\u6c42\u79bb\u5f00" * 300}
        sent = json.dumps({"model": "plain", "messages": [message], "max_tokens": 50})
        assert len(sent) > 7_000
        await road.read(road.passage(body=sent.encode()))
        (tokens,) = (text for text in road.last.attempts[0].changes if "counted_tokens" in text)
        assert int(tokens.removeprefix("counted_tokens=")) < 1_000


async def test_an_image_beside_a_counted_text_holds_what_is_published(tmp_path: Path) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 90_000}}
    model = Candidate(provider="first", model="gpt-4o")
    async with open_tokenized(tmp_path, Answer(), model=model) as road:
        await tokenize(road, image)
        reserved = road.last.attempts[0].reserved
        assert reserved is not None
        assert 2_000 + 1_445 < reserved.nano // 1_000 - 500 < 2_200 + 1_445 + 200


async def test_what_a_tokenizer_cannot_see_is_not_counted_by_one(tmp_path: Path) -> None:
    async with open_tokenized(tmp_path) as road:
        with pytest.raises(OverBudget, match=r"not counted, as messages\[0\] holds a part of"):
            await tokenize(road, {"type": "input_audio"})


async def test_without_the_vocabulary_start_and_refusal_say_how_to_get_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_tokenized(tmp_path, vocabulary=False) as road:
        with pytest.raises(OverBudget, match="the vocabulary o200k_base is not at"):
            await tokenize(road)
        assert "no request to a model of OpenAI can be counted: the vocabulary" in caplog.text


async def test_a_text_that_is_too_long_for_a_tokenizer_is_told(tmp_path: Path) -> None:
    async with open_tokenized(tmp_path) as road:
        with pytest.raises(OverBudget, match="it has more than 8,000,000 characters"):
            await tokenize(road, {"type": "text", "text": "a" * 8_000_000})


async def test_a_key_that_is_not_there_is_told(tmp_path: Path) -> None:
    async with open_counted(tmp_path, environ={}) as road:
        with pytest.raises(OverBudget, match="THIRD"):
            await ask(road)


async def test_the_gate_says_at_its_start_that_counts_are_estimates(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_counted(tmp_path, bound="proven"):
        assert "estimated" not in caplog.text
    async with open_counted(tmp_path):
        assert 'tasks.default: bound = "counted"' in caplog.text
        assert "estimated" in caplog.text
        # None of its models is OpenAI's.
        assert "no request to a model of OpenAI can be counted" not in caplog.text
