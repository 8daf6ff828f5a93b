"""How one request is answered: the script's step, played onto the connection."""

from __future__ import annotations

import gzip
from asyncio import get_running_loop
from collections.abc import Callable
from email.utils import formatdate
from typing import Final

import msgspec

from callgate.clock import Clock
from callgate.testing.simulator.bill import Entry
from callgate.testing.simulator.connection import Connection
from callgate.testing.simulator.formats.format import Bucket, ErrorSpec, Format, Headers, Rates
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
GZIP: Final = ("content-encoding", "gzip")
UNPACED: Final = PaceTable()
UNSCRIPTED: Final = AnswerTable()
RECKONED: Final = frozenset({"date", "reset"})
"""Forms of a wait that name an instant, which is reckoned from the date of the answer."""
TOLD_LIMIT: Final = 50
"""The limit that reset headers of a scripted fault name."""


class Scene(msgspec.Struct, kw_only=True):
    """One request, all that is known of it, and where its answer goes."""

    asked: Asked
    step: StepTable
    format: Format
    connection: Connection
    entry: Entry
    clock: Clock
    hang_up: Callable[[float], None]
    """Ends every connection, and refuses new ones for so many real seconds."""
    settle: Callable[[int], None] | None = None
    """Told the output tokens, where a rate limit counts them."""
    rates: Headers = []
    """The headers that tell what is left of the rate limits."""

    @property
    def answer(self) -> AnswerTable:
        """What the script lets the model say."""
        return self.step.answer or UNSCRIPTED

    @property
    def headers(self) -> Headers:
        """The headers of every answer of this provider."""
        return [*self.format.headers(self.asked), *self.rates]

    def generate(self) -> Generation:
        """Let the model answer, and remember what later requests may refer to."""
        said = generate(self.asked, self.step)
        self.entry.reply_id = self.format.reply_id(self.asked)
        self.entry.service_tier = said.service_tier
        self.format.keep(self.asked, said)
        if self.settle is not None:
            self.settle(said.usage.total_output_tokens)
        return said


def refuse(scene: Scene, problem: Problem) -> None:
    """Answer with the provider's error for ``problem``; nothing is charged."""
    spec = ErrorSpec.of(problem, scene.asked)
    headers = [JSON, *scene.headers, *scene.format.error_headers(spec)]
    if problem.retry_after_seconds is not None and not scene.format.tells_waits_in_body:
        headers.append(("retry-after", f"{-(-problem.retry_after_seconds // 1):.0f}"))
    scene.entry.refuse(spec, scene.clock.monotonic())
    scene.connection.send(problem.status, headers, scene.format.error(spec, scene.asked))


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
    said = scene.generate()
    scene.entry.charge(said.usage)
    scene.entry.status = 200
    scene.entry.finish("complete")
    body, headers = _encoded(scene.format.reply(scene.asked, said), scene.answer.encoding)
    scene.connection.send(200, [*reply_headers(scene), *headers], body)


def reply_headers(scene: Scene) -> Headers:
    """Return the headers of a plain reply."""
    return [JSON, *scene.headers, *scene.answer.headers.items()]


async def break_before_headers(scene: Scene, fault: FaultTable) -> None:
    """Break instead of an answer."""
    if fault.billed:
        scene.entry.charge(generate(scene.asked, scene.step).usage)
    await wait(scene, scene.step.pace.headers_seconds)
    if fault.how in CARRIES_AN_ERROR:
        _send_status(scene, fault)
    else:
        await break_off(scene, fault)


async def play_plain(scene: Scene) -> None:
    """Answer plainly, after a while or broken."""
    said = scene.generate()
    # A provider generates a plain reply whole before it says a word, so all of it is charged
    # however little of it arrives.
    charge(scene, lambda: scene.entry.charge(said.usage))
    await wait(scene, scene.step.pace.headers_seconds)
    fault, body = scene.step.fault, scene.format.reply(scene.asked, said)
    scene.entry.status = 200
    half = len(body) // 2
    if fault is None or fault.how == "malformed":
        scene.entry.finish("cut" if fault else "complete")
        body, headers = _encoded(body[:half] if fault else body, scene.answer.encoding)
        scene.connection.send(200, [*reply_headers(scene), *headers], body)
        return
    if fault.how == "mid_utf8":
        body = body[:half] + b"\xc3" + body[half + 1 :]
        half += 1
    scene.connection.send(200, reply_headers(scene), body, cut_at=half)
    await break_off(scene, fault)


def charge(scene: Scene, charged: Callable[[], None]) -> None:
    """Charge an answer that begins, unless the script says that it is free."""
    fault = scene.step.fault
    if fault is None or fault.billed is not False:
        charged()


async def break_off(scene: Scene, fault: FaultTable) -> None:
    """End the connection, or never speak again."""
    await scene.connection.flush()
    if fault.how == "stall":
        await get_running_loop().create_future()
    scene.entry.finish("cut")
    if fault.how == "reset":
        scene.connection.reset()
    elif fault.for_seconds is not None:
        scene.connection.reset()
        scene.hang_up(fault.for_seconds)
    else:
        scene.connection.close()


async def wait(scene: Scene, seconds: float) -> None:
    """Wait by the simulator's clock."""
    if seconds:
        await scene.clock.sleep(seconds)


def error_body(scene: Scene, fault: FaultTable) -> tuple[ErrorSpec, bytes]:
    """Return the error that a fault carries, and its body."""
    in_body = fault.retry_after_form == "body" or (
        fault.retry_after_form is None and scene.format.tells_waits_in_body
    )
    spec = ErrorSpec(
        status=fault.status or scene.format.overloaded,
        kind=fault.kind,
        message=fault.message,
        model=scene.asked.model,
        key=scene.asked.key,
        retry_after_seconds=fault.retry_after_seconds if in_body else None,
    )
    if fault.body is None:
        return spec, scene.format.error(spec, scene.asked)
    if isinstance(fault.body, str):
        return spec, fault.body.encode()
    return spec, msgspec.json.encode(fault.body)


def _send_status(scene: Scene, fault: FaultTable) -> None:
    spec, body = error_body(scene, fault)
    body, encoding = _encoded(body, fault.encoding)
    told = scene.format.error_headers(spec)
    headers = dict([JSON, *scene.headers, *told, *encoding, *_retry_after(scene, fault)])
    if fault.retry_after_form in RECKONED:
        headers["date"] = formatdate(scene.clock.now(), usegmt=True)
    headers.update({name.lower(): value for name, value in fault.headers.items()})
    asking = msgspec.structs.replace(spec, retry_after_seconds=fault.retry_after_seconds)
    scene.entry.refuse(asking, scene.clock.monotonic())
    scene.connection.send(spec.status, headers.items(), body)


def _encoded(body: bytes, encoding: str | None) -> tuple[bytes, Headers]:
    """Return a body as it is to go out, and the header that says so."""
    if encoding is None:
        return body, []
    return gzip.compress(body, mtime=0), [GZIP]


def _retry_after(scene: Scene, fault: FaultTable) -> Headers:
    """Return the header that asks to wait.

    Source: RFC 9110 §10.2.3 for whole seconds and dates; seconds with a fraction and
    ``retry-after-ms`` are what the official SDKs read besides.
    """
    seconds, form = fault.retry_after_seconds, fault.retry_after_form
    if seconds is None or form == "body":
        return []
    if form is None and scene.format.tells_waits_in_body:
        return []
    if form == "ms":
        return [("retry-after-ms", f"{seconds * 1000:.0f}")]
    if form == "date":
        return [("retry-after", formatdate(scene.clock.now() + seconds, usegmt=True))]
    if form == "reset":
        empty = Bucket(limit=TOLD_LIMIT, remaining=0, full_in_seconds=seconds)
        return scene.format.rate_headers(Rates(now=scene.clock.now(), requests=empty))
    return [("retry-after", str(seconds) if form == "float" else f"{seconds:.0f}")]
