"""No request costs more than its bound: every byte counts, in every form, at the dearest rate."""

from __future__ import annotations

import json
import unicodedata
from random import Random
from typing import Any, Literal, cast

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from callgate.call import Usage
from callgate.money import from_femto
from callgate.pricing import Price, Rates, Tier
from callgate.pricing.bound import (
    ESCAPE_BYTES,
    LONG_ESCAPE,
    TAME,
    TOKENS_FOR_TEMPLATE,
    TOKENS_FOR_TOOLS,
    TOKENS_PER_PART,
    CacheWrites,
    cache_writes_of,
    input_bound_tokens,
    make_bill,
)
from tests.unit.pricing.prices import flat, prices, usages

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]


def bound(body: str | bytes) -> int:
    """The bound of a text itself, without what templates add."""
    source = body if isinstance(body, bytes) else body.encode()
    return input_bound_tokens(source, parts=0, has_tools=False) - TOKENS_FOR_TEMPLATE


def normalised(form: Form, text: str) -> int:
    """The bytes of a text as a tokenizer sees it that normalises first."""
    return len(unicodedata.normalize(form, text).encode("utf-8", "surrogatepass"))


def every_character() -> list[str]:
    return [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000]


MARKS = "\u0301\u0323\u0328\u0344\u0345\u3099\u093c"
GROWING = "\ufdfa\u3300\u2a74\u0958\ufb2c\u1d15e\u00bd\u2026\uff21\ufb03\uac01"
hard = st.text(st.characters(codec="utf-8") | st.sampled_from(MARKS + GROWING))
"""Texts full of what changes its length when it is normalised."""


@given(hard)
def test_a_text_counts_as_many_tokens_as_its_longest_form_has_bytes(text: str) -> None:
    longest = max(len(text.encode()), normalised("NFC", text), normalised("NFKC", text))
    assert bound(text) >= longest


@given(hard, st.data())
def test_it_does_not_matter_which_characters_are_escaped(text: str, data: st.DataObject) -> None:
    """A provider reads the escapes of a body; a tokenizer then sees the text, in its own form."""
    written = "".join(
        json.dumps(character, ensure_ascii=data.draw(st.booleans()))[1:-1] for character in text
    )
    body = f'{{"text":"{written}"}}'
    assert json.loads(body)["text"] == text
    assert bound(body) >= max(len(text.encode()), normalised("NFC", text), normalised("NFKC", text))


@given(hard)
def test_an_escape_inside_of_a_text_that_is_json_itself_is_read_too(text: str) -> None:
    arguments = json.dumps({"query": text})
    body = json.dumps({"arguments": arguments})
    assert bound(body) >= max(len(arguments), normalised("NFC", text), normalised("NFKC", text))


@given(st.binary())
def test_a_byte_is_at_least_a_token(raw: bytes) -> None:
    body = raw.decode(errors="replace").encode()
    assert bound(body) >= len(body)


def test_a_plain_text_counts_its_bytes_and_no_more() -> None:
    for body in (
        "x" * 50_000,
        "请求离开之前" * 100,
        "naïve café — “quoted” 👩‍👩‍👧",
        '{"a": "\\n\\u4e2d"}',
    ):
        assert bound(body) == len(body.encode())


def test_one_character_that_claude_2_makes_15_tokens_of_counts_for_more_than_15() -> None:
    assert bound("\ufdfa") >= 15
    assert bound('"\\ufdfa"') >= 15


def test_each_form_is_measured_by_itself() -> None:
    """Qwen's tokenizer makes the first character two of three bytes; NFKC shortens the second."""
    text = "\u0958\uff21"
    assert (normalised("NFC", text), normalised("NFKC", text), len(text.encode())) == (9, 7, 6)
    assert bound(text) == 9


def test_an_escape_counts_every_time() -> None:
    assert bound('"' + "\\ufdfa" * 5 + '"') == 2 + 5 * normalised("NFKC", "\ufdfa")


@pytest.mark.slow
def test_no_tame_character_grows_in_any_form_or_joins_another() -> None:
    tame = [character for character in every_character() if TAME.fullmatch(character)]
    assert len(tame) > 30_000
    for character in tame:
        assert unicodedata.combining(character) == 0
        longest = max(normalised("NFC", character), normalised("NFKC", character))
        assert longest <= len(character.encode()), hex(ord(character))


@pytest.mark.slow
def test_every_escape_that_may_spell_more_than_it_takes_is_looked_at() -> None:
    for character in every_character():
        escape = (
            json.dumps(character)[1:-1] if ord(character) > 0x7F else f"\\u{ord(character):04x}"
        )
        longest = max(normalised("NFC", character), normalised("NFKC", character))
        if longest > len(escape):
            assert LONG_ESCAPE.fullmatch(escape.encode()), escape
            assert LONG_ESCAPE.fullmatch(escape.upper().replace("U", "u").encode()), escape
        assert len(escape) >= ESCAPE_BYTES


@pytest.mark.slow
def test_no_mark_makes_a_neighbour_grow_by_more_than_its_own_escape_takes() -> None:
    """What joins only shortens; what is torn apart grows by less than the escape that tears it."""
    every = every_character()
    marks = [mark for mark in every if unicodedata.combining(mark) and ord(mark) < 0x10000]
    # Korean syllables are joined of letters, which are no marks: nothing tears them apart.
    joined = [
        one
        for one in every
        if len(unicodedata.normalize("NFD", one)) > 1 and not "\uac00" <= one <= "\ud7a3"
    ]
    for form in ("NFC", "NFKC"):
        alone = {one: normalised(form, one) for one in joined}
        worst = max(normalised(form, one + mark) - alone[one] for one in joined for mark in marks)
        assert worst <= ESCAPE_BYTES


def test_templates_add_for_themselves_for_each_part_and_for_tools() -> None:
    empty = input_bound_tokens(b"", parts=0, has_tools=False)
    assert empty == TOKENS_FOR_TEMPLATE
    assert input_bound_tokens(b"", parts=7, has_tools=False) == empty + 7 * TOKENS_PER_PART
    assert input_bound_tokens(b"", parts=0, has_tools=True) == empty + TOKENS_FOR_TOOLS


NONE = b'{"messages":[]}'
SHORT = b'{"system":[{"cache_control":{"type":"ephemeral"}}]}'
LONG = b'{"cache_control" : {"type":"ephemeral", "ttl" : "1h"}}'
DISGUISED = b'{"cache\\u005Fcontr\\u006fl":{"ttl":"1\\u0068"}}'


@pytest.mark.parametrize(
    ("body", "api", "expected"),
    [
        (NONE, "anthropic", "none"),
        (SHORT, "anthropic", "short"),
        (LONG, "anthropic", "long"),
        (DISGUISED, "anthropic", "long"),
        (b'{"text":"a\\n"}', "anthropic", "none"),
        (b'{"text":"\\u00e4"}', "anthropic", "none"),
        (b'{"text":"put \\"cache_control\\" of \\"1h\\" there"}', "anthropic", "none"),
        (b'{"cache_control":{"ttl":"\\u0031h"}}', "anthropic", "long"),
        (b'{"system":[{"text":"a cachePoint"}]}', "bedrock", "none"),
        (b'{"system":[{"cachePoint":{"type":"default"}}]}', "bedrock", "short"),
        (b'{"system":[{"cachePoint":{"ttl":"1h"}}]}', "bedrock", "long"),
        (b'{"cache_control":{"ttl":"5m"},"text":"\\u00e4 for 1h"}', "anthropic", "short"),
        (NONE, "openai", "long"),
    ],
)
def test_a_cache_is_written_for_as_long_as_the_request_can_ask(
    body: bytes, api: str, expected: str
) -> None:
    assert cache_writes_of(body, api=api) == expected


@given(
    st.recursive(
        st.text() | st.sampled_from(["cache_control", "1h", '"cache_control"', "\\u0031h"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text() | st.just("cache_control"), inner, max_size=3)
        ),
    ),
    st.randoms(use_true_random=False),
)
def test_no_way_to_write_a_key_hides_that_a_cache_is_written(page: Any, rng: Random) -> None:
    written = json.dumps(page, ensure_ascii=rng.choice([True, False]))
    disguised = "".join(
        f"\\u{ord(letter):04{rng.choice('xX')}}"
        if letter in "ache_ontrl1" and rng.random() < 0.3 and "\\" not in written
        else letter
        for letter in written
    )
    assume(json.loads(disguised) == page)
    asked = cache_writes_of(disguised.encode(), api="anthropic")
    assert asked != "none" or not has_key(page)


def has_key(page: Any) -> bool:
    if isinstance(page, dict):
        named = cast("dict[str, Any]", page)
        return "cache_control" in named or any(map(has_key, named.values()))
    return isinstance(page, list) and any(map(has_key, cast("list[object]", page)))


WRITTEN: dict[CacheWrites, tuple[str, ...]] = {
    "none": ("input_tokens", "cache_read_tokens"),
    "short": ("input_tokens", "cache_read_tokens", "cache_write_tokens"),
    "long": (
        "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_long_tokens",
    ),
}  # fmt: skip
"""The buckets that input can be in."""


@given(
    st.lists(prices, min_size=1, max_size=3),
    usages,
    st.sampled_from(sorted(WRITTEN)),
    st.integers(1, 8),
    st.integers(0, 1_000),
)
def test_no_usage_within_the_bound_costs_more_than_the_bill(
    may_hold: list[Price], usage: Usage, writes: CacheWrites, choices: int, slack: int
) -> None:
    inputs = {bucket: getattr(usage, bucket) for bucket in WRITTEN[writes]}
    used = Usage(
        **inputs, output_tokens=usage.output_tokens, reasoning_tokens=usage.reasoning_tokens
    )
    limit = -(-used.total_output_tokens // choices)
    bill = make_bill(
        may_hold,
        input_tokens=used.total_input_tokens + slack,
        cache_writes=writes,
        output_tokens=limit,
        least_output_tokens=limit,
        choices=choices,
    )
    assert from_femto(bill.femto(limit)) >= max(price.cost(used) for price in may_hold)


def bill_of(price: Price, **changes: Any) -> tuple[int, int]:
    """What a request of a hundred tokens may cost: for its input, and for a token of output."""
    wanted: dict[str, Any] = {
        "input_tokens": 100, "cache_writes": "long", "output_tokens": 1, "least_output_tokens": 1,
        "choices": 1,
    }  # fmt: skip
    bill = make_bill([price], **{**wanted, **changes})
    return bill.input_femto, bill.output_femto


RATES = Rates(
    input_femto=2, cache_read_femto=1, cache_write_femto=3, cache_write_long_femto=4,
    output_femto=5, reasoning_femto=6,
)  # fmt: skip


@pytest.mark.parametrize(("writes", "rate"), [("none", 2), ("short", 3), ("long", 4)])
def test_input_is_billed_at_the_dearest_bucket_it_can_be_in(writes: str, rate: int) -> None:
    assert bill_of(Price(version="", rates=RATES), cache_writes=writes) == (100 * rate, 6)


def test_a_threshold_that_the_input_cannot_reach_does_not_count() -> None:
    price = flat(1, tiers=(Tier(above_input_tokens=100, rates=flat(9).rates),))
    assert bill_of(price, input_tokens=100) == (100 * 10**9, 10**9)
    assert bill_of(price, input_tokens=101) == (101 * 9 * 10**9, 9 * 10**9)


def test_a_threshold_that_makes_things_cheaper_does_not_lower_the_bill() -> None:
    price = flat(9, tiers=(Tier(above_input_tokens=50, rates=flat(1).rates),))
    assert bill_of(price) == (100 * 9 * 10**9, 9 * 10**9)
