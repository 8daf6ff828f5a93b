"""What the simulated providers charge, request by request."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final, Literal

import msgspec

from callgate.call import Usage
from callgate.testing.simulator.formats.format import Carries, ErrorSpec, Event
from callgate.testing.simulator.prices import PriceList

NOTHING: Final = Usage()
State = Literal["running", "complete", "cut", "refused"]
"""``refused``: an error status; ``cut``: it began, or was lost, and did not reach its end."""


class BillLine(msgspec.Struct, frozen=True, kw_only=True):
    """One request that reached the simulator."""

    n: int
    """1 for the first since the last reset."""
    api: str
    path: str
    model: str | None
    key: str | None
    """The last four characters of the key."""
    reply_id: str | None
    """The id in the reply, as the client saw it."""
    stream: bool
    status: int
    """The HTTP status; 0 where the client got none."""
    state: State
    billed: bool
    usage: Usage
    """What is charged, in disjoint buckets; nothing unless billed."""
    service_tier: str | None
    """How it was served; None: at the standard tier."""
    cost_nano_usd: int | None
    """None: billed, but the model has no price."""
    credits: int | None = None
    """What a call of a platform's tool holds, and in the end costs; None: it is none."""


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was charged."""

    requests: int
    billed_requests: int
    total_nano_usd: int
    """The sum of the lines' costs; unpriced lines are not in it."""
    unpriced_models: tuple[str, ...]
    """Models that answered and have no price, so that ``total_nano_usd`` is not everything."""
    usage: Usage
    lines: tuple[BillLine, ...]


class Entry:
    """A line that is still being written, while its request is served.

    A stream's output is charged as its events go out, so that a bill taken at any moment, and
    the bill of a stream that broke, hold what was generated so far.

    Args:
        n: Its number.
        api: Which provider.
        path: The path of the request.

    Attributes:
        digest: Identifies the key, path and body.
        arrived_at: When it came, by the monotonic clock.
        service_tier: How it was served.
        on: On which day in UTC.
        error: With what it was refused.
        refused_at: When, by the monotonic clock.
        credits: What is held for a call of a platform's tool, and in the end charged.
        credit_nano_usd: What one of them costs.
    """

    __slots__ = (
        "_carries", "_sent", "_usage", "api", "arrived_at", "billed", "credit_nano_usd", "credits",
        "digest", "error", "key",
        "model", "n", "on", "path", "refused_at", "reply_id", "service_tier", "state", "status",
        "stream",
    )  # fmt: skip

    def __init__(self, n: int, api: str, *, path: str) -> None:
        self.n = n
        self.api = api
        self.path = path
        self.model: str | None = None
        self.key: str | None = None
        self.reply_id: str | None = None
        self.stream = False
        self.service_tier: str | None = None
        self.on = date.min
        self.status = 0
        self.state: State = "running"
        self.billed = False
        self.digest = b""
        self.arrived_at = 0.0
        self.error: ErrorSpec | None = None
        self.refused_at = 0.0
        self.credits: int | None = None
        self.credit_nano_usd = 0
        self._usage = NOTHING
        self._carries: Sequence[Carries] | None = None
        self._sent = 0

    def refuse(self, error: ErrorSpec, at: float) -> None:
        """Close the line as refused; what is charged already stays."""
        self.status = error.status
        self.error = error
        self.refused_at = at
        self.finish("refused")

    def charge(self, usage: Usage) -> None:
        """Charge the whole answer."""
        self.billed = True
        self._usage = usage

    def charge_stream(self, usage: Usage, events: Sequence[Event]) -> None:
        """Charge the input now, and the output as its events are sent."""
        self.charge(usage)
        self._carries = [event.carries for event in events]

    def sent(self) -> None:
        """Note that one more event of the stream went out."""
        self._sent += 1

    def finish(self, state: State) -> None:
        """Close the line; later calls change nothing."""
        if self.state == "running":
            self.state = state
            self._usage = self.usage
            self._carries = None

    @property
    def usage(self) -> Usage:
        """What is charged so far."""
        if self._carries is None:
            return self._usage
        return generated(self._usage, self._carries, sent=self._sent)

    def line(self, prices: PriceList) -> BillLine:
        """Return the line as it stands."""
        usage = self.usage
        return BillLine(
            n=self.n,
            api=self.api,
            path=self.path,
            model=self.model,
            key=self.key,
            reply_id=self.reply_id,
            stream=self.stream,
            status=self.status,
            state=self.state,
            billed=self.billed,
            usage=usage,
            service_tier=self.service_tier,
            cost_nano_usd=self._cost_nano_usd(prices, usage),
            credits=self.credits,
        )

    def _cost_nano_usd(self, prices: PriceList, usage: Usage) -> int | None:
        if not self.billed:
            return 0
        if self.credits is not None:
            return self.credits * self.credit_nano_usd
        return prices.cost_nano_usd(
            self.model or "", usage, service_tier=self.service_tier, on=self.on
        )


def generated(usage: Usage, carries: Sequence[Carries], *, sent: int) -> Usage:
    """Return what of an answer is generated once its first ``sent`` events are out.

    All input counts. Visible output counts in proportion to the events that carry it, rounded
    up; so does reasoning where the stream shows thinking, else it counts whole with the first
    event of output, since a model reasons before it speaks. The first token exists as soon as
    the stream has begun; and a stream with all its output out is charged in full.

    Args:
        usage: The whole answer's usage.
        carries: What each event of the stream carries.
        sent: How many of them went out.
    """
    past = carries[:sent]
    said, thought = past.count(Carries.OUTPUT), past.count(Carries.THINKING)
    says, thinks = carries.count(Carries.OUTPUT), carries.count(Carries.THINKING)
    complete = sent >= len(carries) - 1
    output = usage.output_tokens if complete else _share(usage.output_tokens, said, says)
    reasoning = usage.reasoning_tokens
    if not said and not complete:
        reasoning = _share(reasoning, thought, thinks)
    if sent and not output and not reasoning:
        output = min(1, usage.output_tokens)
        reasoning = 0 if output else min(1, usage.reasoning_tokens)
    return msgspec.structs.replace(usage, output_tokens=output, reasoning_tokens=reasoning)


def _share(tokens: int, part: int, whole: int) -> int:
    return -(-tokens * part // whole) if whole else 0


def make_bill(entries: Sequence[Entry], prices: PriceList) -> Bill:
    """Return the bill as it stands."""
    lines = tuple(entry.line(prices) for entry in entries)
    unpriced = {line.model or "" for line in lines if line.cost_nano_usd is None}
    fields = Usage.__struct_fields__
    sums = {field: sum(getattr(line.usage, field) for line in lines) for field in fields}
    return Bill(
        requests=len(lines),
        billed_requests=sum(line.billed for line in lines),
        total_nano_usd=sum(line.cost_nano_usd or 0 for line in lines),
        unpriced_models=tuple(sorted(unpriced)),
        usage=Usage(**sums),
        lines=lines,
    )
