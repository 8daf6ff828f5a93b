"""What every request meets: rules, keys, strictness, the wire, and the simulator's own pages."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from callgate.testing.simulator import Simulator, serve
from tests.unit.testing.raw_client import KEY, PATHS, ask, body_of, control, exchange, request

NESTED = b'{"model":"m","messages":[%b"x"%b]}'
APIS = pytest.mark.parametrize("api", ["openai", "anthropic"])


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


def says(text: str, **step: object) -> dict[str, object]:
    return {"answer": {"text": text}, **step}


def rule(*steps: dict[str, object], **fields: object) -> dict[str, object]:
    match = {name: fields.pop(name) for name in list(fields) if name not in {"then", "per"}}
    return {"match": match, "steps": list(steps), **fields}


async def said(sim: Simulator, api: str = "openai", **fields: Any) -> Any:
    reply: Any = (await ask(sim, api, **fields)).json()
    return (
        reply["choices"][0]["message"]["content"]
        if api == "openai"
        else reply["content"][0]["text"]
    )


# Determinism.


@APIS
@pytest.mark.parametrize("stream", [False, True])
async def test_the_same_seed_gives_the_same_bytes(api: str, *, stream: bool) -> None:
    raw: list[bytes] = []
    for seed in (7, 7, 8):
        async with Simulator(seed=seed) as sim:
            raw.append((await ask(sim, api, stream=stream)).raw)
    assert raw[0] == raw[1] != raw[2]


async def test_a_repeated_request_gets_the_same_text_and_another_id(sim: Simulator) -> None:
    replies: list[Any] = [(await ask(sim, "openai")).json() for _ in range(2)]
    assert replies[0]["choices"] == replies[1]["choices"]
    assert replies[0]["id"] != replies[1]["id"]


async def test_the_order_of_arrival_changes_nothing() -> None:
    async def talk(texts: list[str]) -> dict[str, bytes]:
        async with Simulator() as sim:
            answers = await asyncio.gather(*(ask(sim, "openai", text=text) for text in texts))
        return dict(zip(texts, [answer.raw for answer in answers], strict=True))

    texts = [f"question {n}" for n in range(20)]
    assert await talk(texts) == await talk(texts[::-1])


async def test_a_made_up_answer_follows_the_user_not_the_key(sim: Simulator) -> None:
    body = body_of("openai")
    other = {"authorization": "Bearer another", "connection": "close"}
    stranger: Any = (await exchange(sim, request(PATHS["openai"], body, headers=other))).json()
    assert stranger["choices"][0]["message"]["content"] == await said(sim)
    assert await said(sim, text="something else") != await said(sim)


# Rules.


async def test_steps_are_consumed_and_the_last_repeats(sim: Simulator) -> None:
    sim.play({"rules": [rule(says("a", times=2), says("b"))]})
    assert [await said(sim) for _ in range(4)] == ["a", "a", "b", "b"]


async def test_a_spent_rule_can_fall_through(sim: Simulator) -> None:
    sim.play({"rules": [rule(says("a"), then="next"), rule(says("b"))]})
    assert [await said(sim) for _ in range(3)] == ["a", "b", "b"]


@pytest.mark.parametrize(
    ("match", "fields"),
    [
        ({"api": "anthropic"}, {"api": "anthropic"}),
        ({"model": "gpt-5.4*"}, {"model": "gpt-5.4-mini"}),
        ({"text": "^wea.her"}, {"text": "weather in Rome"}),
        ({"last": "tool"}, {"messages": [{"role": "tool", "tool_call_id": "1", "content": "x"}]}),
        ({"key": "sk-test-*", "model": "x"}, {"model": "x"}),
    ],
)
async def test_a_rule_is_for_what_it_names(
    sim: Simulator, match: dict[str, object], fields: dict[str, Any]
) -> None:
    sim.play({"rules": [rule(says("yes"), **match), rule(says("no"))]})
    assert await said(sim, **{"api": "openai", **fields}) == "yes"
    assert await said(sim) == "no"


async def test_a_tool_result_of_anthropic_is_spoken_by_a_tool(sim: Simulator) -> None:
    sim.play({"rules": [rule(says("done"), last="tool"), rule(says("call"), last="user")]})
    result = {"type": "tool_result", "tool_use_id": "1", "content": "x"}
    assert await said(sim, "anthropic", messages=[{"role": "user", "content": [result]}]) == "done"
    assert await said(sim, "anthropic") == "call"


async def test_an_attempt_counts_the_same_body_of_the_same_key(sim: Simulator) -> None:
    sim.play({"rules": [rule(says("again"), attempt=2), rule(says("first"))]})
    assert [await said(sim), await said(sim), await said(sim, text="other")] == [
        "first",
        "again",
        "first",
    ]


@pytest.mark.parametrize("per", ["request", "model"])
async def test_each_group_goes_through_the_steps_for_itself(sim: Simulator, per: str) -> None:
    sim.play({"rules": [rule(says("1"), says("2"), per=per)]})
    first = [await said(sim, model="a"), await said(sim, model="a")]
    assert [*first, await said(sim, model="b")] == ["1", "2", "1"]


async def test_a_fault_can_be_for_token_counts_alone(sim: Simulator) -> None:
    sim.play({"rules": [rule({"fault": {"status": 529}}, endpoint="count_tokens")]})
    counted = await ask(sim, "anthropic", path="/v1/messages/count_tokens")
    assert (counted.status, (await ask(sim, "anthropic")).status) == (529, 200)


# Refusals.


@APIS
async def test_a_key_that_is_not_listed_is_refused_in_the_providers_words(
    sim: Simulator, api: str
) -> None:
    sim.play({"keys": ["another-key"]})
    answered = await ask(sim, api)
    kinds = {"openai": "invalid_request_error", "anthropic": "authentication_error"}
    assert (answered.status, answered.json()["error"]["type"]) == (401, kinds[api])
    assert KEY.encode() not in answered.raw


async def test_a_key_that_is_listed_is_taken_from_either_header(sim: Simulator) -> None:
    sim.play({"keys": [KEY]})
    headers = {"authorization": "", "x-api-key": KEY, "connection": "close"}
    sent = request(PATHS["anthropic"], body_of("anthropic"), headers=headers)
    assert ((await exchange(sim, sent)).status, (await ask(sim, "openai")).status) == (200, 200)


@APIS
async def test_a_model_that_is_not_listed_is_not_found(sim: Simulator, api: str) -> None:
    sim.play({"models": ["some-model"]})
    assert ((await ask(sim, api)).status, (await ask(sim, api, model="some-model")).status) == (
        404,
        200,
    )


@pytest.mark.parametrize(
    ("api", "fields", "message"),
    [
        ("openai", {"foo": 1}, "Unknown parameter: 'foo'."),
        (
            "openai",
            {"temperature": "hot"},
            "Invalid type for 'temperature': expected a decimal, but got a string instead.",
        ),
        ("anthropic", {"foo": 1}, "foo: Extra inputs are not permitted"),
        ("anthropic", {"system": 3}, "system: Input should be a valid string"),
    ],
)
async def test_strictness_refuses_what_the_providers_refuse(
    sim: Simulator, api: str, fields: dict[str, Any], message: str
) -> None:
    assert (await ask(sim, api, **fields)).status == 200
    sim.play({"strict": True})
    answered = await ask(sim, api, **fields)
    assert (answered.status, answered.json()["error"]["message"]) == (400, message)
    assert (await ask(sim, api, temperature=1)).status == 200


@pytest.mark.parametrize(
    ("api", "body", "message"),
    [
        ("openai", b"{", "could not parse the JSON"),
        ("openai", NESTED % (b'{"content":[' * 300, b"]}" * 300), "nested too deeply"),
        ("openai", b"[]", "must be a JSON object"),
        ("openai", b"{}", "you must provide a model parameter"),
        ("openai", b'{"model":"m"}', "Missing required parameter: 'messages'."),
        ("openai", b'{"model":"m","messages":[1]}', "Invalid type for 'messages[0]'."),
        ("openai", body_of("openai", max_tokens="9"), "Invalid value for 'max_tokens'"),
        ("openai", body_of("openai", n=0), "Invalid value for 'n'"),
        ("anthropic", b"{}", "model: Field required"),
        ("anthropic", b'{"model":"m"}', "messages: Field required"),
        ("anthropic", body_of("openai"), "max_tokens: Field required"),
        ("anthropic", body_of("anthropic", max_tokens=-1), "greater than or equal to 0"),
    ],
)
async def test_a_request_that_no_provider_takes_is_a_400(
    sim: Simulator, api: str, body: bytes, message: str
) -> None:
    answered = await exchange(sim, request(PATHS[api], body, headers={"connection": "close"}))
    assert answered.status == 400
    assert message in str(answered.json()["error"]["message"])
    assert not sim.bill().lines[0].billed


async def test_no_such_path_and_no_such_method_are_errors(sim: Simulator) -> None:
    get = request(PATHS["openai"], b"", method="GET", headers={"connection": "close"})
    assert (await ask(sim, "openai", path="/v1/nothing")).status == 404
    assert (await exchange(sim, get)).status == 405


# The wire.


async def test_a_connection_serves_one_request_after_the_other(sim: Simulator) -> None:
    kept = request(PATHS["openai"], body_of("openai"))
    last = request(PATHS["openai"], body_of("openai"), headers={"connection": "close"})
    answered = await exchange(sim, kept + kept + last)
    assert answered.raw.count(b"HTTP/1.1 200 OK") == 3
    assert len(sim.bill().lines) == 3


async def test_requests_behind_a_stream_wait_for_it(sim: Simulator) -> None:
    stream = request(PATHS["openai"], body_of("openai", stream=True))
    plain = request(PATHS["openai"], body_of("openai"), headers={"connection": "close"})
    answered = await exchange(sim, stream + plain)
    assert answered.raw.index(b"[DONE]") < answered.raw.index(b'"chat.completion"')


async def test_a_connection_survives_a_stream_that_ends(sim: Simulator) -> None:
    sim.play({"rules": [rule({"fault": {"how": "end", "after_events": 1}})]})
    stream = request(PATHS["openai"], body_of("openai", stream=True))
    last = request("/v1/models", b"", method="GET", headers={"connection": "close"})
    assert (await exchange(sim, stream + last)).raw.count(b"HTTP/1.1 200 OK") == 2


async def test_what_is_not_http_is_a_400(sim: Simulator) -> None:
    answered = await exchange(sim, b"\x16\x03\x01 hello\r\n\r\n")
    assert answered.status == 400


async def test_a_chunked_request_is_read_whole(sim: Simulator) -> None:
    body = body_of("openai")
    head = b"POST /v1/chat/completions HTTP/1.1\r\nconnection: close\r\ntransfer-encoding: chunked"
    chunks = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (9, body[:9], len(body) - 9, body[9:])
    answered = await exchange(sim, head + b"\r\n\r\n" + chunks)
    assert (answered.status, sim.requests[0].body) == (200, body)


async def test_a_client_that_waits_for_continue_gets_it(sim: Simulator) -> None:
    headers = {"expect": "100-continue", "connection": "close"}
    answered = await exchange(sim, request(PATHS["openai"], body_of("openai"), headers=headers))
    assert answered.raw.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


async def test_an_http_1_0_client_gets_a_stream_without_chunks(sim: Simulator) -> None:
    sent = request(PATHS["openai"], body_of("openai", stream=True)).replace(
        b"HTTP/1.1", b"HTTP/1.0"
    )
    answered = await exchange(sim, sent)
    assert "transfer-encoding" not in answered.headers
    assert answered.payload.endswith(b"data: [DONE]\n\n")


async def test_a_slow_reader_of_a_long_stream_gets_all_of_it(sim: Simulator) -> None:
    sim.play({"rules": [rule({"answer": {"words": 5_000}})]})
    answered = await ask(sim, "openai", stream=True)
    assert len(answered.chunks) == 5_000 + 4
    assert answered.is_whole


async def test_many_connections_are_served_at_once(sim: Simulator) -> None:
    answers = await asyncio.gather(
        *(ask(sim, "anthropic", text=str(n), stream=n % 2 == 0) for n in range(200))
    )
    assert {answer.status for answer in answers} == {200}
    assert sim.bill().billed_requests == 200


# What was received.


async def test_requests_are_kept_byte_for_byte(sim: Simulator) -> None:
    body = b'{"messages":[{"content":"h\\u00e9 \xc3\xa9","role":"user"}] ,"model":"gpt-5.5"}'
    await exchange(sim, request(PATHS["openai"], body, headers={"connection": "close"}))
    received = sim.requests[0]
    assert (received.method, received.path, received.body) == ("POST", PATHS["openai"], body)
    assert received.json()["model"] == "gpt-5.5"


async def test_keys_are_starred_unless_asked_for(sim: Simulator) -> None:
    await ask(sim, "openai")
    received = sim.requests[0]
    assert dict(received.headers)["authorization"] == "***"
    assert received.header("Authorization") == f"Bearer {KEY}"
    assert KEY not in repr(received)


async def test_requests_over_http_hold_the_body_and_no_key(sim: Simulator) -> None:
    body = body_of("openai")
    await ask(sim, "openai")
    answered = await control(sim, "GET", "/sim/requests")
    shown: Any = answered.json()["requests"][0]
    assert base64.b64decode(shown["body_base64"]) == body
    assert KEY.encode() not in answered.raw


async def test_only_the_latest_requests_are_kept(sim: Simulator) -> None:
    sim.play({"keep_requests": 2})
    for _ in range(3):
        await ask(sim, "openai")
    assert [received.n for received in sim.requests] == [2, 3]


# Steering.


@pytest.mark.parametrize(
    ("kind", "script"),
    [
        ("json", b'{"rules":[{"steps":[{"answer":{"text":"new"}}]}]}'),
        ("toml", b'[[rules]]\nsteps = [{answer = {text = "new"}}]'),
    ],
)
async def test_a_script_can_be_replaced_over_http(sim: Simulator, kind: str, script: bytes) -> None:
    await ask(sim, "openai")
    assert (await control(sim, "POST", "/sim/script", script, kind)).status == 200
    assert await said(sim) == "new"
    assert len(sim.bill().lines) == 1


async def test_a_wrong_script_is_explained_and_the_old_one_stays(sim: Simulator) -> None:
    sim.play({"rules": [rule(says("old"))]})
    answered = await control(sim, "POST", "/sim/script", b'{"rulez":[]}')
    assert answered.status == 400
    assert 'did you mean "rules"?' in str(answered.json()["error"]["message"])
    assert await said(sim) == "old"


async def test_a_reset_begins_the_script_and_the_bill_again(sim: Simulator) -> None:
    sim.play({"rules": [rule(says("1"), says("2"))]})
    before = await ask(sim, "openai")
    assert (await control(sim, "POST", "/sim/reset")).status == 200
    assert (await ask(sim, "openai")).raw == before.raw
    assert len(sim.bill().lines) == len(sim.requests) == 1


async def test_an_unknown_page_below_sim_names_those_that_are(sim: Simulator) -> None:
    answered = await control(sim, "GET", "/sim/bills")
    assert answered.status == 404
    assert "GET /sim/bill," in str(answered.json()["error"]["message"])


async def test_serve_tells_where_it_listens_and_runs_until_cancelled() -> None:
    ready: asyncio.Queue[str] = asyncio.Queue()
    task = asyncio.create_task(serve("127.0.0.1", 0, SERVED, 3, on_ready=ready.put_nowait))
    url = await ready.get()
    assert await asyncio.to_thread(ask_over_http, f"{url}/v1") == "served"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(openai.APIConnectionError):
        await asyncio.to_thread(ask_over_http, f"{url}/v1")


SERVED: dict[str, object] = {"rules": [rule(says("served"))]}


def ask_over_http(url: str) -> str | None:
    with openai.OpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
        reply = client.chat.completions.create(
            model="gpt-5.5", messages=[{"role": "user", "content": "hello"}]
        )
    return reply.choices[0].message.content
