"""How a stream is played, and how it breaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from callgate.testing.clocks import Turn
from callgate.testing.simulator.formats.format import Event
from callgate.testing.simulator.performance import (
    Scene,
    break_before_headers,
    break_off,
    charge,
    error_body,
    play_plain,
    wait,
)
from callgate.testing.simulator.script import FaultTable
from callgate.testing.simulator.shape import shaped

FIRST_OF_TWO: Final = 0xC0
"""Bytes from here on begin a character of several bytes (RFC 3629)."""
EVENTS_A_TURN: Final = 16
"""How many events go out before other connections have their turn."""
IN_STREAM: Final = frozenset({"error_event", "failed_event"})


async def play(scene: Scene) -> None:
    """Answer a scene that takes time, streams or breaks.

    Its line of the bill may stay open when it is cancelled, as by a client that hangs up; whoever
    runs this closes it.
    """
    fault = scene.step.fault
    if fault is not None and (fault.is_before_headers or _is_plain_error(scene, fault)):
        await break_before_headers(scene, fault)
    elif scene.asked.stream:
        await _Stream(scene).play()
    else:
        await play_plain(scene)


def _is_plain_error(scene: Scene, fault: FaultTable) -> bool:
    """Say whether the fault is an error event of a request that has no stream to put it in."""
    return fault.how in IN_STREAM and not scene.asked.stream


class _Stream:
    """A stream, with what breaks it."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._connection = scene.connection
        self._pace = scene.step.pace
        self._fault = scene.step.fault
        said = scene.generate()
        self._events = shaped(
            scene.format.events(scene.asked, said), scene.step.shape, scene.format
        )
        self._break_at = _break_at(self._fault, self._events)
        charge(scene, lambda: scene.entry.charge_stream(said.usage, self._events))

    async def play(self) -> None:
        scene = self._scene
        await wait(scene, self._pace.headers_seconds)
        scene.entry.status = 200
        kind = ("content-type", scene.format.stream_type(scene.asked))
        headers = [kind, ("cache-control", "no-cache"), *scene.headers]
        self._connection.start_stream(200, [*headers, *scene.answer.headers.items()])
        await wait(scene, self._pace.first_event_seconds)
        for n, event in enumerate(self._events):
            if n == self._break_at and self._fault is not None and self._fault.how != "malformed":
                await self._break(self._fault, event)
                return
            await self._send(n, event)
        self._connection.end_stream()
        scene.entry.finish("cut" if self._fault else "complete")

    async def _send(self, n: int, event: Event) -> None:
        if n and self._pace.event_seconds:
            await wait(self._scene, self._pace.event_seconds)
        data = self._scene.format.maimed(event.data) if n == self._break_at else event.data
        size = self._pace.chunk_bytes or len(data)
        for start in range(0, len(data), size):
            self._connection.send_chunk(data[start : start + size])
        self._scene.entry.sent()
        await self._connection.drain()
        if n % EVENTS_A_TURN == EVENTS_A_TURN - 1:
            await Turn()

    async def _break(self, fault: FaultTable, event: Event) -> None:
        if fault.how == "end":
            self._connection.end_stream()
            return
        if fault.how in IN_STREAM:
            self._connection.send_chunk(self._error(fault))
            self._connection.end_stream()
            return
        if fault.how == "mid_utf8":
            self._connection.send_chunk(_cut_in_character(event.data))
        if fault.how == "mid_json":
            self._connection.send_chunk(_cut_in_json(event.data))
        await break_off(self._scene, fault)

    def _error(self, fault: FaultTable) -> bytes:
        """Return the event with which an error is told; a text of the script goes as it is."""
        scene, n = self._scene, self._break_at or 0
        spec, body = error_body(scene, fault)
        if isinstance(fault.body, str):
            return body
        if fault.how == "failed_event":
            return scene.format.failed_event(scene.asked, body, n)
        return scene.format.broken_off(scene.asked, spec, body, n)


def _break_at(fault: FaultTable | None, events: Sequence[Event]) -> int | None:
    """Return the index of the event that a fault replaces; never beyond the last one."""
    if fault is None:
        return None
    if fault.at == "after_headers":
        return 0
    last = len(events) - 1
    if fault.after_events is None:
        return last if fault.how == "end" else min(1, last)
    return min(fault.after_events, last)


def _cut_in_character(data: bytes) -> bytes:
    """Return an event up to the first byte of a character that needs two."""
    at = next((n + 1 for n, byte in enumerate(data) if byte >= FIRST_OF_TWO), None)
    return data[:at] if at is not None else data[: len(data) // 2] + b"\xc3"


def _cut_in_json(data: bytes) -> bytes:
    """Return the first half of an event, which is never whole JSON."""
    return data[: max(1, len(data) // 2)]
