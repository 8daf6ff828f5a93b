"""What the agent and the road are told where a server says no, or nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from callgate.errors import (
    BadCredential,
    BadRequest,
    BrokenReply,
    Failed,
    Forbidden,
    OutOfCredit,
    RateLimited,
    TimedOut,
    Transient,
)
from callgate.money import Money
from tests.unit.tools.calling import CANARY
from tests.unit.tools.http.server import HangUp, Server


async def failure_of(server: Server) -> Failed:
    """Call the tool and return how it failed."""
    with pytest.raises(Failed) as failed:
        await server.call()
    return failed.value


@pytest.mark.parametrize(
    ("status", "kind", "billed"),
    [
        (400, BadRequest, False),
        (401, BadCredential, False),
        (402, OutOfCredit, False),
        (403, Forbidden, False),
        (405, BadRequest, False),
        (408, TimedOut, True),
        (422, BadRequest, False),
        (425, Transient, False),
        (429, RateLimited, False),
        (500, Transient, True),
        (502, Transient, True),
        (503, Transient, True),
        (504, TimedOut, True),
    ],
)
async def test_a_status_is_a_failure_of_a_kind(
    server: Server, status: int, kind: type[Failed], *, billed: bool
) -> None:
    server.answers('{"message": "no"}', status=status)
    failure = await failure_of(server)
    assert (type(failure), failure.billed) == (kind, billed)
    assert f"{status}" in failure.message
    assert failure.answer is None


@pytest.mark.parametrize("status", [404, 409, 410])
async def test_what_the_world_answers_is_told_to_the_agent(server: Server, status: int) -> None:
    server.answers('{"error": {"message": "no such charge"}}', status=status)
    result = await server.call()
    assert (result.is_error, result.text) == (True, f"{status}: no such charge")


async def test_a_tool_may_mean_something_else_by_a_status(server: Server) -> None:
    server.declare('errors = { 404 = "bad_request", 500 = "answer", 403 = "rate_limited" }')
    for status in (404, 500, 403):
        server.answers('{"message": "no"}', status=status)
    assert isinstance(await failure_of(server), BadRequest)
    assert (await server.call()).text == "500: no"
    assert isinstance(await failure_of(server), RateLimited)


async def test_a_server_that_says_when_it_is_back_has_not_begun(server: Server) -> None:
    server.answers(status=503, retry_after="3")
    failure = await failure_of(server)
    assert isinstance(failure, Transient)
    assert (failure.billed, failure.retry_after_seconds) == (False, 3)


DATE = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry_after": "7"}, "{}", 7),
        ({"retry_after": "0.5"}, "{}", 0.5),
        ({"retry_after_ms": "250"}, "{}", 0.25),
        ({"retry_after": format_datetime(DATE + timedelta(seconds=9)), "date": format_datetime(DATE)}, "{}", 9),
        ({}, '{"error": {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "4s"}]}}', 4),
        ({}, "{}", None),
        ({"retry_after": "soon"}, "no json", None),
    ],
)  # fmt: skip
async def test_a_server_may_ask_to_wait_in_every_usual_form(
    server: Server, headers: dict[str, str], body: str, seconds: float | None
) -> None:
    server.answers(body, status=429, **headers)
    failure = await failure_of(server)
    assert isinstance(failure, RateLimited)
    assert failure.retry_after_seconds == seconds


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"detail": [{"loc": ["body", "amount"], "msg": "must be positive"}]}, "body.amount: must be positive"),
        ({"error": {"message": "wrong", "param": "x"}}, "wrong"),
        ({"title": "Invalid", "invalid-params": [{"name": "age", "reason": "too small"}]}, "Invalid; age: too small"),
        ({"errors": [{"pointer": "#/age", "detail": "too small"}, "and more"]}, "#/age: too small; and more"),
        ({"error": "just text"}, "just text"),
        ({"errors": [{"field": "age"}]}, "age: is wrong"),
        (["odd"], '["odd"]'),
    ],
)  # fmt: skip
async def test_a_bad_request_says_which_field_is_wrong(
    server: Server, body: object, told: str
) -> None:
    server.answers(json.dumps(body), status=422)
    assert f"422: {told}; correct the arguments" in (await failure_of(server)).message


async def test_the_settings_may_say_where_the_text_of_an_error_is(server: Server) -> None:
    server.declare('error_message = "fault.text"')
    server.answers('{"fault": {"text": "no such unit"}, "message": "x"}', status=400)
    server.answers('{"message": "x"}', status=400)
    assert "no such unit" in (await failure_of(server)).message
    assert "400: x" in (await failure_of(server)).message


@pytest.mark.parametrize("status", [400, 404])
async def test_an_error_with_half_of_a_character_is_told(server: Server, status: int) -> None:
    server.answers(r'{"message": "\ud800 ok"}', status=status)
    try:
        told = (await server.call()).text
    except BadRequest as wrong:
        told = wrong.message
    assert f"{status}: \ufffd ok" in told


async def test_an_error_that_costs_something_says_so(server: Server) -> None:
    server.declare('cost_from = "credits"\ncost_unit = "$0.01"', tool='cost = "$1"')
    server.answers('{"credits": 2}', status=400)
    assert (await failure_of(server)).cost == Money.dollars("0.02")


async def test_an_error_of_any_size_is_told_in_a_few_words(server: Server) -> None:
    server.answers("<p>" + "x" * 100_000, status=500, type="text/html")
    assert len((await failure_of(server)).message) < 400


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 302])
async def test_no_error_tells_the_key(server: Server, status: int) -> None:
    server.declare("", key=CANARY)
    body = json.dumps({"message": f"wrong: {CANARY}", "and": "sk-proj-0123456789abcdef"})
    server.answers(body, status=status, location=f"http://elsewhere/{CANARY}")
    try:
        told = repr(await server.call())
    except Failed as failure:
        told = f"{failure.message} {failure.reason} {failure.answer}"
    assert "***" in told
    assert CANARY not in told
    assert "0123456789abcdef" not in told


async def test_a_read_is_led_on_on_its_own_host(server: Server) -> None:
    server.declare('auth = "header:X-Key"', key=CANARY)
    server.answers(status=301, location="/new?page=1")
    assert (await server.call()).structured == {"ok": True}
    assert (server.last.target, server.last.headers["X-Key"]) == ("/new?page=1", CANARY)


@pytest.mark.parametrize(
    "location",
    ["https://elsewhere.example/x", "//elsewhere.example/x", "http://127.0.0.1:1/x", "http://[bad"],
)
async def test_a_key_is_not_sent_after_a_reply_that_leads_to_another_host(
    server: Server, location: str
) -> None:
    server.declare("", key=CANARY)
    server.answers(status=302, location=location)
    failure = await failure_of(server)
    assert isinstance(failure, BrokenReply)
    assert (failure.billed, len(server.asked)) == (False, 1)
    assert "put the address that it is at now into url under [tools.t.http]" in failure.message


async def test_a_read_is_not_led_in_circles(server: Server) -> None:
    for _ in range(10):
        server.answers(status=302, location="/")
    assert isinstance(await failure_of(server), BrokenReply)
    assert len(server.asked) == 4


async def test_a_write_is_not_led_on(server: Server) -> None:
    server.declare('method = "POST"')
    server.answers(status=303, location="/done")
    failure = await failure_of(server)
    assert (type(failure), failure.billed, len(server.asked)) == (BrokenReply, True, 1)


async def test_without_a_connection_nothing_has_happened(server: Server) -> None:
    server.url = "http://127.0.0.1:1"
    server.declare("")
    failure = await failure_of(server)
    assert (type(failure), failure.billed) == (Transient, False)


async def test_a_reply_that_stops_in_the_middle_may_have_happened(server: Server) -> None:
    server.script.append(HangUp())
    failure = await failure_of(server)
    assert (type(failure), failure.billed) == (BrokenReply, True)
