"""Every fault, as it is on the socket."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import gzip
import json
import socket
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from callgate.testing import FakeClock
from callgate.testing.clocks import Turn
from callgate.testing.simulator import BillLine, Simulator
from tests.unit.testing.raw_client import PATHS, Answered, ask, body_of, request

TEXT = "one two three four"
GZIPPED = {"status": 500, "encoding": "gzip"}
APIS = pytest.mark.parametrize("api", ["openai", "responses", "anthropic", "gemini"])
LAST_EVENT = {
    "openai": b"data: [DONE]\n\n",
    "responses": b'"response.completed"',
    "anthropic": b'"message_stop"}\n\n',
    "gemini": b'"finishReason":"STOP"',
}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(clock=FakeClock()) as simulator:
        yield simulator


def play(sim: Simulator, fault: dict[str, object] | None, **step: object) -> None:
    """Script one answer of four words and ten input tokens, and what breaks it."""
    usage = {"input_tokens": 10, "output_tokens": 4}
    whole = {
        "answer": {"text": TEXT, "usage": usage},
        **step,
        **({"fault": fault} if fault else {}),
    }
    sim.play({"rules": [{"steps": [whole]}]})


async def last_line(sim: Simulator) -> BillLine:
    await sim.wait_idle()
    return sim.bill().lines[-1]


async def until(is_so: Callable[[], bool]) -> None:
    """Let the event loop run until something is so."""
    while not is_so():
        await Turn()


def words_in(answered: Answered) -> list[str]:
    return [word for word in TEXT.split() if word.encode() in answered.payload]


@APIS
async def test_without_a_fault_a_stream_is_whole_and_billed(sim: Simulator, api: str) -> None:
    play(sim, None)
    answered = await ask(sim, api, stream=True)
    line = await last_line(sim)
    assert answered.is_whole
    assert LAST_EVENT[api] in answered.chunks[-2]
    assert (line.state, line.usage.input_tokens, line.usage.output_tokens) == ("complete", 10, 4)


@APIS
async def test_end_leaves_out_the_terminal_event_only(sim: Simulator, api: str) -> None:
    play(sim, {"how": "end"})
    answered = await ask(sim, api, stream=True)
    line = await last_line(sim)
    assert answered.is_whole
    assert LAST_EVENT[api] not in answered.payload
    assert words_in(answered) == TEXT.split()
    assert (line.state, line.billed, line.usage.output_tokens) == ("cut", True, 4)


@APIS
@pytest.mark.parametrize(
    "how", ["end", "close", "reset", "mid_utf8", "mid_json", "error_event", "failed_event"]
)
async def test_a_cut_stream_is_billed_for_what_was_generated(
    sim: Simulator, api: str, how: str
) -> None:
    # Before the first word: Chat's role; Responses' created, in_progress, item and part;
    # Anthropic's message_start, block start and ping.
    before = {"openai": 1, "responses": 4, "anthropic": 3, "gemini": 0}[api]
    play(sim, {"how": how, "after_events": before + 2})
    answered = await ask(sim, api, stream=True)
    line = await last_line(sim)
    assert words_in(answered)[:2] == ["one", "two"]
    assert "four" not in words_in(answered)
    assert (line.state, line.billed, line.status) == ("cut", True, 200)
    assert (line.usage.input_tokens, line.usage.output_tokens) == (10, 2)


@APIS
@pytest.mark.parametrize("stream", [False, True])
async def test_a_reset_before_headers_is_an_rst_and_free(
    sim: Simulator, api: str, *, stream: bool
) -> None:
    play(sim, {"how": "reset"})
    answered = await ask(sim, api, stream=stream)
    line = await last_line(sim)
    assert (answered.raw, answered.was_reset) == (b"", True)
    assert (line.state, line.billed, line.cost_nano_usd) == ("cut", False, 0)


async def test_a_reset_after_headers_brings_no_event(sim: Simulator) -> None:
    play(sim, {"how": "reset", "at": "after_headers"})
    answered = await ask(sim, "openai", stream=True)
    assert (answered.status, answered.payload, answered.was_reset) == (200, b"", True)
    assert (await last_line(sim)).usage.output_tokens == 0


async def test_a_reset_after_events_brings_just_those(sim: Simulator) -> None:
    play(sim, {"how": "reset", "after_events": 3})
    answered = await ask(sim, "openai", stream=True)
    assert (len(answered.chunks), answered.was_reset) == (3, True)


async def test_a_reset_waits_until_its_events_have_arrived(sim: Simulator) -> None:
    fault = {"how": "reset", "after_events": 30_000}
    sim.play({"rules": [{"steps": [{"answer": {"words": 40_000}, "fault": fault}]}]})
    raw = await asyncio.to_thread(read_until_reset, sim.url)
    assert raw.count(b"data: {") == 30_000


def read_until_reset(url: str) -> bytes:
    """Read a stream on a plain socket: asyncio's reader drops what it holds at a reset."""
    host, _, port = url.removeprefix("http://").partition(":")
    raw = bytearray()
    with (
        socket.create_connection((host, int(port))) as sock,
        contextlib.suppress(ConnectionResetError),
    ):
        sock.sendall(request(PATHS["openai"], body_of("openai", stream=True)))
        while part := sock.recv(2048):
            raw += part
    return bytes(raw)


async def test_a_stream_does_not_run_ahead_of_its_reader(sim: Simulator) -> None:
    sim.play({"rules": [{"steps": [{"answer": {"words": 200_000}}]}]})
    host, _, port = sim.url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(request(PATHS["openai"], body_of("openai", stream=True)))
    for _ in range(20_000):
        await Turn()
    line = sim.bill().lines[0]
    writer.transport.abort()
    assert line.state == "running"
    assert 0 < line.usage.output_tokens < 200_000


async def test_a_lost_answer_can_be_billed(sim: Simulator) -> None:
    play(sim, {"how": "reset", "billed": True})
    await ask(sim, "openai")
    line = await last_line(sim)
    assert (line.billed, line.usage.output_tokens, line.status) == (True, 4, 0)


async def test_a_broken_answer_can_be_free(sim: Simulator) -> None:
    play(sim, {"how": "end", "after_events": 3, "billed": False})
    await ask(sim, "openai", stream=True)
    assert not (await last_line(sim)).billed


async def test_close_ends_the_connection_without_ending_the_body(sim: Simulator) -> None:
    play(sim, {"how": "close", "after_events": 3})
    answered = await ask(sim, "openai", stream=True)
    assert (len(answered.chunks), answered.is_whole, answered.was_reset) == (3, False, False)


@pytest.mark.parametrize("how", ["close", "reset", "end"])
async def test_a_plain_reply_breaks_in_its_middle_and_is_billed_whole(
    sim: Simulator, how: str
) -> None:
    play(sim, {"how": how, "at": "after_headers"})
    answered = await ask(sim, "anthropic")
    assert 0 < len(answered.payload) < int(answered.headers["content-length"])
    assert answered.was_reset == (how == "reset")
    assert (await last_line(sim)).usage.output_tokens == 4


@APIS
async def test_malformed_json_comes_in_a_whole_plain_reply(sim: Simulator, api: str) -> None:
    play(sim, {"how": "malformed"})
    answered = await ask(sim, api)
    assert (answered.status, len(answered.payload)) == (
        200,
        int(answered.headers["content-length"]),
    )
    with pytest.raises(json.JSONDecodeError):
        answered.json()


@APIS
async def test_malformed_json_comes_in_one_event_of_a_stream(sim: Simulator, api: str) -> None:
    play(sim, {"how": "malformed", "after_events": 2})
    answered = await ask(sim, api, stream=True)
    lines = [line for chunk in answered.chunks for line in chunk.splitlines() if line[:1] == b"d"]
    payloads = [line.removeprefix(b"data: ") for line in lines if line != b"data: [DONE]"]
    broken = [n for n, payload in enumerate(payloads) if not is_json(payload)]
    assert broken == [2]
    assert answered.is_whole


def is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True


@pytest.mark.parametrize("stream", [False, True])
async def test_mid_utf8_ends_inside_a_character(sim: Simulator, *, stream: bool) -> None:
    sim.play({"rules": [{"steps": [{"answer": {"text": "a é b"}, "fault": {"how": "mid_utf8"}}]}]})
    answered = await ask(sim, "openai", stream=stream)
    last = answered.chunks[-1] if stream else answered.payload
    with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
        last.decode()


@pytest.mark.parametrize("fault", [{"how": "stall"}, {"how": "stall", "after_events": 2}])
async def test_a_stall_says_nothing_more_and_ends_when_the_client_leaves(
    sim: Simulator, fault: dict[str, object]
) -> None:
    play(sim, fault)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await ask(sim, "openai", stream=True)
    line = await last_line(sim)
    assert (line.state, line.billed) == ("cut", "after_events" in fault)
    assert sim.open_connections == 0


async def test_a_client_that_hangs_up_pays_for_what_was_generated() -> None:
    pace = {"event_seconds": 0.02}
    async with Simulator() as sim:
        play(sim, None, pace=pace)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await ask(sim, "openai", stream=True)
        line = await last_line(sim)
    assert (line.state, line.billed, line.usage.input_tokens) == ("cut", True, 10)
    assert 0 < line.usage.output_tokens < 4


async def test_the_bill_of_a_running_stream_grows() -> None:
    async with Simulator() as sim:
        play(sim, {"how": "stall", "after_events": 3})
        task = asyncio.create_task(ask(sim, "openai", stream=True))
        await until(lambda: sim.bill().usage.output_tokens == 2)
        assert sim.bill().lines[0].state == "running"
        task.cancel()


async def test_stopping_breaks_off_what_still_runs() -> None:
    async with Simulator() as sim:
        play(sim, {"how": "stall", "after_events": 3})
        task = asyncio.create_task(ask(sim, "openai", stream=True))
        await until(lambda: sim.bill().requests == 1)
    await task
    assert sim.bill().lines[0].state == "cut"


@APIS
async def test_an_error_event_ends_a_stream_after_its_200(sim: Simulator, api: str) -> None:
    play(sim, {"how": "error_event", "after_events": 2, "message": "gone"})
    answered = await ask(sim, api, stream=True)
    assert answered.status == 200
    assert b'"message":"gone"' in answered.chunks[2]
    assert answered.is_whole
    assert LAST_EVENT[api] not in answered.payload


async def test_a_response_that_failed_says_so_with_its_last_event(sim: Simulator) -> None:
    play(sim, {"how": "failed_event", "after_events": 3, "status": 500, "message": "gone"})
    answered = await ask(sim, "responses", stream=True)
    event, _, data = answered.chunks[3].partition(b"\ndata: ")
    told = json.loads(data)
    assert event == b"event: response.failed"
    assert told["sequence_number"] == 3
    assert told["response"]["status"] == "failed"
    assert told["response"]["error"] == {"code": "server_error", "message": "gone"}


async def test_half_an_events_json_is_the_last_that_arrives(sim: Simulator) -> None:
    play(sim, {"how": "mid_json", "after_events": 2})
    answered = await ask(sim, "gemini", stream=True)
    assert [is_json(chunk.removeprefix(b"data: ").strip()) for chunk in answered.chunks] == [
        True,
        True,
        False,
    ]
    assert not answered.is_whole


async def test_a_server_that_refuses_connections_comes_back() -> None:
    async with Simulator() as sim:
        play(sim, {"how": "refuse", "for_seconds": 0.05})
        idle, writer = await asyncio.open_connection(*address(sim))
        assert (await ask(sim, "openai")).was_reset
        assert await idle.read() == b""
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await ask(sim, "openai")
        sim.play({})
        assert (await ask_until_served(sim)).status == 200


def address(sim: Simulator) -> tuple[str, int]:
    host, _, port = sim.url.removeprefix("http://").partition(":")
    return host, int(port)


async def ask_until_served(sim: Simulator) -> Answered:
    while True:
        try:
            return await ask(sim, "openai")
        except ConnectionRefusedError:
            await Turn()


@pytest.mark.parametrize("step", [{"answer": {"encoding": "gzip"}}, {"fault": GZIPPED}])
async def test_a_body_can_be_compressed(sim: Simulator, step: dict[str, object]) -> None:
    sim.play({"rules": [{"steps": [step]}]})
    answered = await ask(sim, "anthropic")
    assert answered.headers["content-encoding"] == "gzip"
    assert is_json(gzip.decompress(answered.payload))


async def test_an_empty_body_is_one(sim: Simulator) -> None:
    play(sim, {"status": 200, "body": ""})
    answered = await ask(sim, "openai")
    assert (answered.status, answered.payload, answered.headers["content-length"]) == (
        200,
        b"",
        "0",
    )


async def test_an_error_event_of_a_plain_reply_is_its_status(sim: Simulator) -> None:
    play(sim, {"how": "error_event"})
    answered = await ask(sim, "anthropic")
    assert (answered.status, answered.json()["error"]["type"]) == (529, "overloaded_error")
    assert not (await last_line(sim)).billed


async def test_an_error_body_and_its_headers_can_be_given(sim: Simulator) -> None:
    html = {"Content-Type": "text/html", "X-Should-Retry": "false"}
    play(sim, {"status": 502, "body": "<html>bad gateway</html>", "headers": html})
    answered = await ask(sim, "openai")
    assert (answered.status, answered.payload) == (502, b"<html>bad gateway</html>")
    assert answered.headers["content-type"] == "text/html"
    assert answered.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("form", "seconds", "header", "value"),
    [
        ("seconds", 2, "retry-after", "2"),
        ("seconds", 31_536_000_000, "retry-after", "31536000000"),
        ("float", 1.5, "retry-after", "1.5"),
        ("ms", 0.25, "retry-after-ms", "250"),
        ("date", 90, "retry-after", "Thu, 01 Jan 2026 00:01:30 GMT"),
    ],
)
async def test_retry_after_comes_in_every_form(
    sim: Simulator, form: str, seconds: float, header: str, value: str
) -> None:
    play(sim, {"status": 429, "retry_after_seconds": seconds, "retry_after_form": form})
    answered = await ask(sim, "openai")
    assert answered.headers[header] == value
    if form == "date":
        assert email.utils.parsedate_to_datetime(value).timestamp() == FakeClock().now() + 90


async def test_gemini_tells_the_wait_in_the_body_alone(sim: Simulator) -> None:
    play(sim, {"status": 429, "retry_after_seconds": 45.837906927})
    answered = await ask(sim, "gemini")
    error = answered.json()["error"]
    kinds = {detail["@type"].rpartition(".")[2]: detail for detail in error["details"]}
    assert "retry-after" not in answered.headers
    assert kinds["RetryInfo"]["retryDelay"] == "45.837906927s"
    assert kinds["QuotaFailure"]["violations"][0]["quotaDimensions"]["model"] == "gemini-3.5-flash"


async def test_openai_can_tell_the_wait_in_words_alone(sim: Simulator) -> None:
    play(sim, {"status": 429, "retry_after_seconds": 372, "retry_after_form": "body"})
    answered = await ask(sim, "openai")
    assert "retry-after" not in answered.headers
    assert answered.json()["error"]["message"].endswith("Please try again in 6m12s.")


@pytest.mark.parametrize(
    ("api", "header", "value"),
    [
        ("responses", "x-ratelimit-reset-requests", "6m0s"),
        ("anthropic", "anthropic-ratelimit-requests-reset", "2026-01-01T00:06:00.000000Z"),
    ],
)
async def test_a_wait_can_be_told_by_the_providers_rate_headers(
    sim: Simulator, api: str, header: str, value: str
) -> None:
    play(sim, {"status": 429, "retry_after_seconds": 360, "retry_after_form": "reset"})
    answered = await ask(sim, api)
    assert (answered.headers[header], "retry-after" in answered.headers) == (value, False)


async def test_delays_wait_on_the_clock() -> None:
    clock = FakeClock()
    pace = {"headers_seconds": 2.0, "first_event_seconds": 0.5, "event_seconds": 0.1}
    async with Simulator(clock=clock) as sim:
        play(sim, None, pace=pace)
        answered = await ask(sim, "openai", stream=True)
    events = len(answered.chunks) - 1
    assert clock.waits == [2.0, 0.5, *[0.1] * (events - 1)]


async def test_pieces_may_fall_anywhere_without_changing_a_stream(sim: Simulator) -> None:
    play(sim, None)
    usual = await ask(sim, "openai", stream=True)
    play(sim, None, pace={"chunk_bytes": 7})
    cut = await ask(sim, "openai", stream=True)
    assert max(map(len, cut.chunks)) == 7
    assert b"".join(cut.chunks) == b"".join(usual.chunks)
