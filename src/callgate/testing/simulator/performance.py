"""How one request is answered: the script's step, played onto the connection."""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Callable, Sequence
from email.utils import formatdate
from typing import Final

import msgspec

from callgate.clock import Clock
from callgate.testing.clocks import Turn
from callgate.testing.simulator.bill import Entry
from callgate.testing.simulator.connection import Connection
from callgate.testing.simulator.dialect import Dialect, ErrorSpec, Event
from callgate.testing.simulator.generation import Generation, generate
from callgate.testing.simulator.request import Asked, Problem
from callgate.testing.simulator.script import (
    CARRIES_AN_ERROR,
    AnswerTable,
    FaultTable,
    PaceTable,
    StepTable,
)

JSON: Final = ("content-type", "application/json")
SSE: Final = ("content-type", "text/event-stream; charset=utf-8")
FIRST_OF_TWO: Final = 0xC0
"""Bytes from here on begin a character of several bytes (RFC 3629)."""
EVENTS_A_TURN: Final = 16
"""How many events go out before other connections have their turn."""
UNPACED: Final = PaceTable()


class Scene(msgspec.Struct, kw_only=True):
    """One request, all that is known of it, and where its answer goes."""

    asked: Asked
    step: StepTable
    dialect: Dialect
    connection: Connection
    entry: Entry
    clock: Clock

    @property
    def answer(self) -> AnswerTable:
        """What the script lets the model say."""
        return self.step.answer or AnswerTable()

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers of every answer of this provider."""
        return self.dialect.headers(self.asked)


def refuse(scene: Scene, problem: Problem) -> None:
    """Answer with the provider's error for ``problem``; nothing is charged."""
    spec = ErrorSpec.of(problem, scene.asked)
    body = scene.dialect.error(spec, scene.asked)
    scene.entry.status = problem.status
    scene.entry.finish("refused")
    scene.connection.send(problem.status, [JSON, *scene.headers], body)


def is_instant(scene: Scene) -> bool:
    """Say whether the answer needs no waiting and no stream, so that it needs no task."""
    step = scene.step
    if step.pace is not UNPACED and step.pace != UNPACED:
        return False
    if step.fault is None:
        return not scene.asked.stream
    return step.fault.how == "status" and not step.fault.billed


def play_now(scene: Scene) -> None:
    """Answer a scene that is instant."""
    if scene.step.fault is not None:
        _send_status(scene, scene.step.fault)
        return
    said = generate(scene.asked, scene.step.answer)
    scene.entry.charge(said.usage)
    scene.entry.reply_id = scene.dialect.reply_id(scene.asked)
    scene.entry.status = 200
    scene.entry.finish("complete")
    body = scene.dialect.reply(scene.asked, said)
    scene.connection.send(200, [JSON, *scene.headers, *scene.answer.headers.items()], body)


async def play(scene: Scene) -> None:
    """Answer a scene that takes time, streams or breaks.

    Its line of the bill may stay open when it is cancelled, as by a client that hangs up; whoever
    runs this closes it.
    """
    fault = scene.step.fault
    if fault is not None and (fault.is_before_headers or _is_plain_error(scene, fault)):
        await _break_before_headers(scene, fault)
        return
    said = generate(scene.asked, scene.step.answer)
    scene.entry.reply_id = scene.dialect.reply_id(scene.asked)
    if scene.asked.stream:
        await _Stream(scene, said).play()
    else:
        await _play_plain(scene, said)


async def _break_before_headers(scene: Scene, fault: FaultTable) -> None:
    if fault.billed:
        scene.entry.charge(generate(scene.asked, scene.step.answer).usage)
    await _wait(scene, scene.step.pace.headers_seconds)
    if fault.how in CARRIES_AN_ERROR:
        _send_status(scene, fault)
    else:
        await _break_off(scene, fault)


def _is_plain_error(scene: Scene, fault: FaultTable) -> bool:
    """Say whether the fault is an error event of a request that has no stream to put it in."""
    return fault.how == "error_event" and not scene.asked.stream


async def _play_plain(scene: Scene, said: Generation) -> None:
    # A provider generates a plain reply whole before it says a word, so all of it is charged
    # however little of it arrives.
    _charge(scene, lambda: scene.entry.charge(said.usage))
    await _wait(scene, scene.step.pace.headers_seconds)
    fault, body = scene.step.fault, scene.dialect.reply(scene.asked, said)
    headers = [JSON, *scene.headers, *scene.answer.headers.items()]
    scene.entry.status = 200
    if fault is None or fault.how == "malformed":
        scene.entry.finish("cut" if fault else "complete")
        scene.connection.send(200, headers, body[: len(body) // 2] if fault else body)
        return
    half = len(body) // 2
    if fault.how == "mid_utf8":
        body = body[:half] + b"\xc3" + body[half + 1 :]
        half += 1
    scene.connection.send(200, headers, body, cut_at=half)
    await _break_off(scene, fault)


class _Stream:
    """A stream, with what breaks it."""

    def __init__(self, scene: Scene, said: Generation) -> None:
        self._scene = scene
        self._connection = scene.connection
        self._pace = scene.step.pace
        self._fault = scene.step.fault
        self._events = scene.dialect.events(scene.asked, said)
        self._break_at = _break_at(self._fault, self._events)
        _charge(scene, lambda: scene.entry.charge_stream(said.usage, self._events))

    async def play(self) -> None:
        scene = self._scene
        await _wait(scene, self._pace.headers_seconds)
        scene.entry.status = 200
        headers = [SSE, ("cache-control", "no-cache"), *scene.headers]
        self._connection.start_stream(200, [*headers, *scene.answer.headers.items()])
        await _wait(scene, self._pace.first_event_seconds)
        for n, event in enumerate(self._events):
            if n == self._break_at and self._fault is not None and self._fault.how != "malformed":
                await self._break(self._fault, event)
                return
            await self._send(n, event)
        self._connection.end_stream()
        scene.entry.finish("cut" if self._fault else "complete")

    async def _send(self, n: int, event: Event) -> None:
        if n and self._pace.event_seconds:
            await _wait(self._scene, self._pace.event_seconds)
        data = _maim(event.data) if n == self._break_at else event.data
        size = self._pace.chunk_bytes or len(data)
        for start in range(0, len(data), size):
            self._connection.send_chunk(data[start : start + size])
        self._scene.entry.sent()
        await self._connection.drain()
        if n % EVENTS_A_TURN == EVENTS_A_TURN - 1:
            await Turn()

    async def _break(self, fault: FaultTable, event: Event) -> None:
        scene = self._scene
        if fault.how == "end":
            self._connection.end_stream()
            return
        if fault.how == "error_event":
            spec = _error_spec(scene.asked, fault)
            body = _given_body(fault, scene.dialect.error(spec, scene.asked))
            raw = isinstance(fault.body, str)
            self._connection.send_chunk(body if raw else scene.dialect.error_event(body))
            self._connection.end_stream()
            return
        if fault.how == "mid_utf8":
            self._connection.send_chunk(_cut_in_character(event.data))
        await _break_off(scene, fault)


def _charge(scene: Scene, charge: Callable[[], None]) -> None:
    """Charge an answer that begins, unless the script says that it is free."""
    fault = scene.step.fault
    if fault is None or fault.billed is not False:
        charge()


def _break_at(fault: FaultTable | None, events: Sequence[Event]) -> int | None:
    """Return the index of the event that a fault replaces; never beyond the last one."""
    if fault is None:
        return None
    if fault.at == "after_headers":
        return 0
    last = len(events) - 1
    if fault.after_events is None:
        return last if fault.how == "end" else 1
    return min(fault.after_events, last)


def _maim(data: bytes) -> bytes:
    """Return an event whose JSON ends in its middle."""
    return data[: len(data) * 2 // 3].rstrip(b"\n") + b"\n\n"


def _cut_in_character(data: bytes) -> bytes:
    """Return an event up to the first byte of a character that needs two."""
    at = next((n + 1 for n, byte in enumerate(data) if byte >= FIRST_OF_TWO), None)
    return data[:at] if at is not None else data[: len(data) // 2] + b"\xc3"


async def _break_off(scene: Scene, fault: FaultTable) -> None:
    """End the connection, or never speak again."""
    await scene.connection.flush()
    if fault.how == "stall":
        await get_running_loop().create_future()
    scene.entry.finish("cut")
    if fault.how == "reset":
        scene.connection.reset()
    else:
        scene.connection.close()


async def _wait(scene: Scene, seconds: float) -> None:
    if seconds:
        await scene.clock.sleep(seconds)


def _error_spec(asked: Asked, fault: FaultTable) -> ErrorSpec:
    usual = 529 if asked.api == "anthropic" else 503
    return ErrorSpec(
        status=fault.status or usual,
        kind=fault.kind,
        message=fault.message,
        model=asked.model,
        key=asked.key,
    )


def _given_body(fault: FaultTable, usual: bytes) -> bytes:
    if fault.body is None:
        return usual
    if isinstance(fault.body, str):
        return fault.body.encode()
    return msgspec.json.encode(fault.body)


def _send_status(scene: Scene, fault: FaultTable) -> None:
    spec = _error_spec(scene.asked, fault)
    body = _given_body(fault, scene.dialect.error(spec, scene.asked))
    headers = dict([JSON, *scene.headers])
    headers.update(_retry_after(fault, scene.clock))
    headers.update({name.lower(): value for name, value in fault.headers.items()})
    scene.entry.status = spec.status
    scene.entry.finish("refused")
    scene.connection.send(spec.status, headers.items(), body)


def _retry_after(fault: FaultTable, clock: Clock) -> dict[str, str]:
    """Return the header that asks to wait.

    Source: RFC 9110 §10.2.3 for whole seconds and dates; seconds with a fraction and
    ``retry-after-ms`` are what the official SDKs read besides.
    """
    seconds = fault.retry_after_seconds
    if seconds is None:
        return {}
    if fault.retry_after_form == "ms":
        return {"retry-after-ms": f"{seconds * 1000:.0f}"}
    if fault.retry_after_form == "date":
        return {"retry-after": formatdate(clock.now() + seconds, usegmt=True)}
    return {"retry-after": str(seconds) if fault.retry_after_form == "float" else f"{seconds:.0f}"}
