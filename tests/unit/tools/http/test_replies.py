"""What an agent gets of a reply."""

from __future__ import annotations

import base64
import gzip
import json
import tracemalloc

import pytest

from callgate.errors import BrokenReply
from callgate.money import Money
from tests.unit.tools.calling import CANARY
from tests.unit.tools.http.server import Server

CHARGE = '{"id": "ch_1", "amount": 500, "owner": {"name": "Ann"}, "lines": [{"n": 1}, {"n": 2}]}'


async def test_a_reply_is_text_and_data(server: Server) -> None:
    server.answers(CHARGE)
    result = await server.call()
    assert result.structured == json.loads(CHARGE)
    assert json.loads(result.text) == json.loads(CHARGE)


@pytest.mark.parametrize(
    ("pick", "text"),
    [
        ("{id: id, by: owner.name}", '{"id":"ch_1","by":"Ann"}'),
        ("lines[].n", "[1,2]"),
        ("owner.name", "Ann"),
        ("nothing.there", "null"),
        ("amount.too.deep", "null"),
        ("length(amount)", "null"),
    ],
)
async def test_only_what_is_picked_reaches_the_agent(server: Server, pick: str, text: str) -> None:
    server.declare(f'pick = "{pick}"')
    server.answers(CHARGE)
    assert (await server.call()).text == text


async def test_a_number_of_any_size_arrives_as_it_is(server: Server) -> None:
    server.answers('{"id": 123456789012345678901234567890}')
    assert (await server.call()).text == '{"id":123456789012345678901234567890}'


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_a_reply_without_content_is_one(server: Server, status: int) -> None:
    server.answers(b"", status=status)
    result = await server.call()
    assert (result.text, result.is_error) == ("(no content)", False)


@pytest.mark.parametrize(
    ("body", "type"),
    [
        ("<html>Please log in</html>", "text/html"),
        ("{half", "application/json"),
        ('{"n": NaN}', "application/json"),
        ("[" * 100_000, "application/json"),
    ],
)
async def test_what_is_no_json_where_json_is_declared_is_a_broken_reply(
    server: Server, body: str, type: str
) -> None:
    server.answers(body, type=type)
    with pytest.raises(BrokenReply, match="t was to answer with JSON, and sent") as broken:
        await server.call()
    assert broken.value.billed
    assert broken.value.reason.fix is not None
    assert "returns under [tools.t.http]" in broken.value.reason.fix


async def test_half_of_a_character_is_marked_and_the_rest_is_there(server: Server) -> None:
    server.answers(r'{"a": "\ud800 ok \ud83d\ude00"}')
    server.answers(r'"\udc00"')
    assert (await server.call()).text == '{"a":"\ufffd ok \U0001f600"}'
    assert (await server.call()).text == "\ufffd"


@pytest.mark.parametrize("depth", [101, 500, 900, 960, 980])
async def test_a_result_that_would_break_who_reads_it_is_not_given(
    server: Server, depth: int
) -> None:
    server.answers("[" * depth + "]" * depth)
    try:
        result = await server.call()
    except BrokenReply:
        return
    assert result.structured["error"]["kind"] == "result_too_deep"


async def test_text_is_text_in_its_own_characters(server: Server) -> None:
    server.declare('returns = "text"')
    server.answers("schön".encode("latin-1"), type="text/plain; charset=latin-1")
    assert (await server.call()).text == "schön"


async def test_a_character_set_that_nobody_knows_is_read_as_utf_8(server: Server) -> None:
    server.declare('returns = "text"')
    server.answers("schön", type="text/plain; charset=klingon")
    assert (await server.call()).text == "schön"


@pytest.mark.parametrize(
    ("type", "text"),
    [("application/problem+json", '{"a":1}'), ("text/plain", '{"a": 1}'), ("", '{"a": 1}')],
)
async def test_any_reply_is_what_it_says_that_it_is(server: Server, type: str, text: str) -> None:
    server.declare('returns = "any"')
    server.answers('{"a": 1}', type=type)
    assert (await server.call()).text == text


async def test_a_picture_is_a_picture(server: Server) -> None:
    server.declare('returns = "any"')
    server.answers(b"\x89PNG", type="image/png")
    (block,) = (await server.call()).content
    assert (block["type"], block["mimeType"]) == ("image", "image/png")
    assert base64.b64decode(block["data"]) == b"\x89PNG"


async def test_bytes_that_no_model_can_read_are_told_and_not_given(server: Server) -> None:
    server.declare('returns = "any"')
    server.answers(b"%PDF-1.7", type="application/pdf")
    result = await server.call()
    assert (result.is_error, result.structured["error"]["kind"]) == (True, "binary_result")
    assert "8 bytes of application/pdf" in result.text


@pytest.mark.parametrize("size", [2_000, 11_000_000])
async def test_a_result_that_is_too_large_says_that_the_call_was_made(
    server: Server, size: int
) -> None:
    server.declare('method = "POST"', tool="max_bytes = 1000")
    server.answers(json.dumps("x" * size))
    result = await server.call()
    assert (result.is_error, result.structured["error"]["kind"]) == (True, "result_too_large")
    assert "do not make the same call again" in result.text


async def test_what_is_picked_of_a_large_reply_counts(server: Server) -> None:
    server.declare('pick = "id"', tool="max_bytes = 1000")
    server.answers(json.dumps({"id": "x", "rest": "y" * 2_000}))
    assert (await server.call()).text == "x"


async def test_a_reply_that_came_packed_is_unpacked(server: Server) -> None:
    server.answers(gzip.compress(b'{"a": 1}'), content_encoding="gzip")
    assert (await server.call()).structured == {"a": 1}


async def test_a_small_reply_that_unpacks_to_a_huge_one_is_not_read_whole(server: Server) -> None:
    server.answers(gzip.compress(b" " * 50_000_000), content_encoding="gzip")
    tracemalloc.start()
    result = await server.call()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.structured["error"]["kind"] == "result_too_large"
    assert peak < 25_000_000


async def test_a_reply_that_is_not_packed_as_it_says_is_broken(server: Server) -> None:
    server.answers(b"not packed", content_encoding="gzip")
    with pytest.raises(BrokenReply, match="says it is gzip, and cannot be unpacked"):
        await server.call()


async def test_a_good_status_may_tell_of_a_failure(server: Server) -> None:
    server.declare("fails_when = \"status == 'failed'\"\nerror_message = 'why'")
    server.answers('{"status": "failed", "why": "no such page"}')
    server.answers('{"status": "done"}')
    failed, done = await server.call(), await server.call()
    assert (failed.is_error, failed.text) == (True, "no such page")
    assert not done.is_error


@pytest.mark.parametrize(
    ("told", "cost"),
    [
        ("50", Money.dollars("0.005")),
        ('"50"', Money.dollars("0.005")),
        ("0", Money()),
        ("0.00001", Money(1)),
        ("-1", None),
        ("true", None),
        ('"many"', None),
        ("1e400", None),
        ("null", None),
        ("1e30", None),
    ],
)
async def test_a_cost_is_read_from_the_reply_where_it_can_be_believed(
    server: Server, told: str, cost: Money | None
) -> None:
    server.declare(
        'cost_from = "meta.credits"\ncost_unit = "$0.0001"\npick = "data"', tool='cost = "$1"'
    )
    server.answers(f'{{"data": 1, "meta": {{"credits": {told}}}}}')
    assert (await server.call()).cost == cost


@pytest.mark.parametrize("auth", ["bearer", "basic", "query:key"])
async def test_a_server_that_repeats_the_key_does_not_tell_it_to_the_agent(
    server: Server, auth: str
) -> None:
    server.declare(f'auth = "{auth}"', key=CANARY)
    await server.call()
    asked = server.last
    server.answers(json.dumps({"you": [dict(asked.headers), asked.target], CANARY: CANARY}))
    result = await server.call()
    assert "***" in result.text
    for form in (CANARY, "Y2FuYXJ5LzVmIjNlK2tleQ", "Y2FuYXJ5LzVmIjNlK2tleTo", "canary%2F5f"):
        assert form not in repr(result)
