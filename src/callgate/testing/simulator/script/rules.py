"""The tables of a script that say which request gets which step, at what price and rate."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

import pydantic
from pydantic import AfterValidator, Field

from callgate.testing.simulator.script.answers import AnswerTable, PaceTable, ShapeTable
from callgate.testing.simulator.script.faults import FaultTable
from callgate.testing.simulator.script.platform import PlatformTable
from callgate.testing.simulator.script.values import (
    Api,
    Count,
    Dollars,
    Endpoint,
    FormatName,
    Names,
    Pattern,
    Table,
    some,
)


class StepTable(Table):
    """One answer or fault, or an answer that a fault breaks."""

    answer: AnswerTable | None = None
    fault: FaultTable | None = None
    pace: PaceTable = PaceTable()
    shape: ShapeTable = ShapeTable()
    times: Count = 1
    """How many requests it serves before the next step."""


class MatchTable(Table):
    """Which requests a rule is for; what is not named matches all."""

    api: Api | None = None
    format: FormatName | None = None
    endpoint: Endpoint = "generate"
    model: str | None = None
    """A glob, such as ``gpt-5.*``."""
    key: str | None = None
    """A glob on the client's key."""
    text: Pattern = None
    """A regular expression, searched in the last text of the user."""
    last: Literal["user", "tool"] | None = None
    """Who spoke last: ``tool`` once the result of a tool call came back."""
    stream: bool | None = None
    attempt: Count | None = None
    """1 where this key sends this body for the first time, 2 the second time."""


class RuleTable(Table):
    """Steps for the requests that match."""

    match: MatchTable = MatchTable()
    steps: Annotated[tuple[StepTable, ...], Field(strict=False), AfterValidator(some)]
    then: Literal["repeat", "next"] = "repeat"
    """After the last step: it again, or the next rule that matches."""
    per: Literal["rule", "key", "model", "request"] = "rule"
    """Who goes through the steps: all together, or each key, model or request body for itself."""


class RatesTable(Table):
    """Dollars for a million tokens.

    Where a bucket has no price of its own, cache reads and writes cost as input, long cache
    writes as cache writes, and reasoning as output.
    """

    input: Dollars
    output: Dollars
    cache_read: Dollars | None = None
    cache_write: Dollars | None = None
    cache_write_long: Dollars | None = None
    reasoning: Dollars | None = None


class TierTable(RatesTable):
    """Prices that hold for a whole request with more input than a threshold."""

    above_input_tokens: Count


class ServedTable(RatesTable):
    """Prices of requests that are served in one way."""

    tiers: Annotated[tuple[TierTable, ...], Field(strict=False)] = ()


class DatedTable(ServedTable):
    """Prices that hold at a time, and those of service tiers besides the standard one."""

    service_tiers: dict[str, ServedTable] = Field(default_factory=dict[str, ServedTable])


class ChangeTable(DatedTable):
    """Prices that hold from a day on."""

    since: Annotated[date, Field(strict=False)]
    """The first day, in UTC."""


class PriceTable(DatedTable):
    """The prices of a model."""

    api: Api | None = None
    """Who lists the model; None: by the beginning of its name."""
    changes: Annotated[tuple[ChangeTable, ...], Field(strict=False)] = ()
    """What it costs from later days on, whole."""


class LimitTable(Table):
    """How much each key may ask of each model, in buckets that fill evenly."""

    api: Api | None = None
    key: str | None = None
    """A glob; every key that it fits has buckets of its own."""
    model: str | None = None
    """A glob; every model that it fits has buckets of its own."""
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None

    @pydantic.model_validator(mode="after")
    def _limits_something(self) -> LimitTable:
        if self.requests_per_minute is None and self.tokens_per_minute is None:
            msg = "name requests_per_minute, tokens_per_minute or both"
            raise ValueError(msg)
        return self


class Script(Table):
    """All that a simulator can be told."""

    keys: Names | None = None
    """The keys it accepts; None accepts every key and none."""
    aws_keys: dict[str, str] | None = None
    """Bedrock's access keys and their secrets: what is signed, or not signed, otherwise is refused."""
    models: Names | None = None
    """The models it has; None answers for every name."""
    strict: bool = False
    """Refuse all that the providers refuse: unknown fields, wrong types, broken conversations."""
    clock: Literal["real", "virtual", "instant"] = "real"
    """``virtual`` stands until it is moved; ``instant`` moves by itself where somebody waits."""
    keep_requests: Annotated[int, Field(ge=0)] = 10_000
    """How many of the latest requests are kept, with their bodies."""
    rules: Annotated[tuple[RuleTable, ...], Field(strict=False)] = ()
    limits: Annotated[tuple[LimitTable, ...], Field(strict=False)] = ()
    """The first that fits a request holds for it."""
    prices: dict[str, PriceTable] = Field(default_factory=dict[str, PriceTable])
    platform: PlatformTable | None = None
    """Tools that are paid for in credits; None: there are none at these paths."""
