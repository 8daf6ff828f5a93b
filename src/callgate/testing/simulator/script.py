"""The script: what a simulated provider answers, and how it fails.

The tables of this file are the format of a script, in TOML and as Python dicts alike;
``docs/simulator.md`` describes it for its readers.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
import typing
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

import pydantic
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from callgate.errors import Misconfigured

LONGEST_SHOWN = 60
LONGEST_SECONDS = 86_400.0
MOST_TOKENS = 1_000_000_000
"""More than any model takes; it catches a typing mistake."""


class ScriptError(Misconfigured):
    """The script cannot be used; ``message`` lists every mistake with what is allowed there."""

    code = "script"
    status = 400


def _wrong(value: object, what: str) -> PydanticCustomError:
    return PydanticCustomError(
        "value_error", "{shown} {what}", {"shown": repr(value), "what": what}
    )


def _number(value: object) -> object:
    if isinstance(value, bool | str):
        raise _wrong(value, "is not a number")
    return value


def _dollars(value: object) -> Decimal:
    """Read a price exactly as it is written; a float counts as its shortest decimal form."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise _wrong(value, "is not an amount of dollars")
    try:
        amount = Decimal(str(value).removeprefix("$"))
    except InvalidOperation:
        raise _wrong(value, "is not an amount of dollars") from None
    if not amount.is_finite() or amount < 0:
        raise _wrong(value, "is not a price; give dollars for a million tokens, 0 or more")
    return amount


def _plain(value: object) -> object:
    """Turn the exact decimals of a TOML file into the floats that JSON has."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        items = typing.cast("Mapping[str, object]", value).items()
        return {key: _plain(item) for key, item in items}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in typing.cast("list[object]", value)]
    return value


def _regex(value: str | None) -> str | None:
    if value is not None:
        try:
            re.compile(value)
        except re.error as error:
            raise _wrong(value, f"is not a regular expression: {error}") from None
    return value


def _some(value: tuple[object, ...]) -> tuple[object, ...]:
    """Refuse an empty list; as a field's own length it would also count items with mistakes."""
    if not value:
        raise _wrong([], "is empty; leave the key out or name at least one")
    return value


Seconds: TypeAlias = Annotated[
    float,
    BeforeValidator(_number),
    Field(strict=False, ge=0, le=LONGEST_SECONDS, allow_inf_nan=False),
]
Dollars: TypeAlias = Annotated[Decimal, BeforeValidator(_dollars)]
Count: TypeAlias = Annotated[int, Field(ge=1)]
Tokens: TypeAlias = Annotated[int, Field(ge=0, le=MOST_TOKENS)]
Json: TypeAlias = Annotated[dict[str, object], BeforeValidator(_plain)]
Pattern: TypeAlias = Annotated[str | None, AfterValidator(_regex)]
Api: TypeAlias = Literal["openai", "anthropic"]
Finish: TypeAlias = Literal[
    "stop", "length", "tool_calls", "refusal", "pause", "stop_sequence", "context"
]
Endpoint: TypeAlias = Literal["generate", "count_tokens", "models"]


class Table(pydantic.BaseModel):
    """A table of the script: unknown keys and wrong types are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class UsageTable(Table):
    """Tokens of one answer in disjoint buckets; see :class:`callgate.call.Usage`.

    A bucket of input, output or reasoning that is not named follows the answer itself; one of a
    cache is 0.
    """

    input_tokens: Tokens | None = None
    cache_read_tokens: Tokens = 0
    cache_write_tokens: Tokens = 0
    cache_write_long_tokens: Tokens = 0
    output_tokens: Tokens | None = None
    reasoning_tokens: Tokens | None = None


class ToolCallTable(Table):
    """One tool call of an answer."""

    name: str
    arguments: Json | str = Field(default_factory=dict)
    """An object, or the exact text to send, which need not be JSON."""
    id: str | None = None
    """None makes one from the seed and the request."""


class AnswerTable(Table):
    """What the model says."""

    text: str | None = None
    words: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Instead of ``text``: this many words, made from the seed and the request."""
    thinking: str | None = None
    tool_calls: Annotated[tuple[ToolCallTable, ...], Field(strict=False)] = ()
    finish: Finish | None = None
    usage: UsageTable = UsageTable()
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    """Sent besides the provider's own, such as rate-limit headers."""

    @pydantic.model_validator(mode="after")
    def _one_text(self) -> Self:
        if self.text is not None and self.words is not None:
            msg = "text and words exclude each other"
            raise ValueError(msg)
        return self


class PaceTable(Table):
    """How long an answer takes."""

    headers_seconds: Seconds = 0.0
    first_event_seconds: Seconds = 0.0
    """From the headers to a stream's first event."""
    event_seconds: Seconds = 0.0
    """Between two events of a stream."""
    chunk_bytes: Count | None = None
    """Cuts a stream into pieces of this size wherever they fall, also inside a character."""


How: TypeAlias = Literal[
    "status", "end", "close", "reset", "stall", "malformed", "error_event", "mid_utf8"
]
Place: TypeAlias = Literal["before_headers", "after_headers"]
WITHOUT_STATUS = [how for how in typing.get_args(How) if how != "status"]
BEFORE_HEADERS = frozenset({"close", "reset", "stall"})
CARRIES_AN_ERROR = frozenset({"status", "error_event"})


class FaultTable(Table):
    """What goes wrong, and where."""

    how: How = "status"
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    kind: Literal["rate", "money", "credential"] | None = None
    """Which error, where a status has several: 429 ``rate`` (default) or ``money``."""
    message: str | None = None
    body: Json | str | None = None
    """Replaces the provider's error body: a table as JSON, a text as it is."""
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    retry_after_seconds: Seconds | None = None
    retry_after_form: Literal["seconds", "float", "date", "ms"] = "seconds"
    at: Place | None = None
    after_events: Annotated[int, Field(ge=0)] | None = None
    """How many events of a stream arrive whole before it happens."""
    billed: bool | None = None
    """Overrules whether a fault before generation costs: True bills the whole answer."""

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        for flaw in self._flaws():
            raise ValueError(flaw)
        return self

    def _flaws(self) -> Iterator[str]:
        if self.how == "status" and self.status is None:
            yield f"a fault needs a status, or how = one of {', '.join(WITHOUT_STATUS)}"
        if self.how not in CARRIES_AN_ERROR and self._error_fields():
            yield f"{', '.join(self._error_fields())}: only status and error_event carry an error"
        if self.at is not None and self.after_events is not None:
            yield "at and after_events exclude each other"
        if self.how == "status" and (self.at is not None or self.after_events is not None):
            yield "a status has no place in a stream; an error_event has"
        if self.at == "before_headers" and self.how not in BEFORE_HEADERS:
            yield f"{self.how} cannot happen before_headers; close, reset and stall can"

    def _error_fields(self) -> list[str]:
        fields = ("status", "kind", "message", "body", "retry_after_seconds")
        return [name for name in fields if getattr(self, name) is not None]

    @property
    def is_before_headers(self) -> bool:
        """Whether it happens instead of an answer."""
        if self.how not in BEFORE_HEADERS:
            return self.how == "status"
        return self.at == "before_headers" or (self.at is None and self.after_events is None)


class StepTable(Table):
    """One answer or fault, or an answer that a fault breaks."""

    answer: AnswerTable | None = None
    fault: FaultTable | None = None
    pace: PaceTable = PaceTable()
    times: Count = 1
    """How many requests it serves before the next step."""


class MatchTable(Table):
    """Which requests a rule is for; what is not named matches all."""

    api: Api | None = None
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
    steps: Annotated[tuple[StepTable, ...], Field(strict=False), AfterValidator(_some)]
    then: Literal["repeat", "next"] = "repeat"
    """After the last step: it again, or the next rule that matches."""
    per: Literal["rule", "key", "model", "request"] = "rule"
    """Who goes through the steps: all together, or each key, model or request body for itself."""


class TierTable(Table):
    """Prices that hold for a whole request with more input than a threshold."""

    above_input_tokens: Count
    input: Dollars
    output: Dollars
    cache_read: Dollars | None = None
    cache_write: Dollars | None = None
    cache_write_long: Dollars | None = None
    reasoning: Dollars | None = None


class PriceTable(Table):
    """Dollars for a million tokens.

    Where a bucket has no price of its own, cache reads and writes cost as input, long cache
    writes as cache writes, and reasoning as output.
    """

    api: Api | None = None
    """Who lists the model; None: anthropic where the name starts with ``claude``."""
    input: Dollars
    output: Dollars
    cache_read: Dollars | None = None
    cache_write: Dollars | None = None
    cache_write_long: Dollars | None = None
    reasoning: Dollars | None = None
    tiers: Annotated[tuple[TierTable, ...], Field(strict=False)] = ()


class Script(Table):
    """All that a simulator can be told."""

    keys: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_some)] | None = None
    """The keys it accepts; None accepts every key and none."""
    models: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_some)] | None = None
    """The models it has; None answers for every name."""
    strict: bool = False
    """Refuse unknown fields and wrong types, as the providers do."""
    keep_requests: Annotated[int, Field(ge=0)] = 10_000
    """How many of the latest requests are kept, with their bodies."""
    rules: Annotated[tuple[RuleTable, ...], Field(strict=False)] = ()
    prices: dict[str, PriceTable] = Field(default_factory=dict[str, PriceTable])


def read_script(source: Script | Mapping[str, object] | Path | str | None) -> Script:
    """Return a script, validated whole.

    Args:
        source: A script, its tables as a mapping, the path of a TOML file, or None for an empty
            script, which answers every request.

    Raises:
        ScriptError: The file cannot be read, or the script is wrong; every mistake is listed.
    """
    if source is None:
        return Script()
    if isinstance(source, Script):
        return source
    if isinstance(source, Mapping):
        return _validate(source, "script")
    try:
        text = Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{source}: cannot be read: {error}"
        raise ScriptError(msg) from error
    return parse_script(text, name=str(source))


def parse_script(
    text: str, *, name: str = "script", form: Literal["toml", "json"] = "toml"
) -> Script:
    """Return the script that ``text`` holds.

    Args:
        text: TOML or JSON; numbers with a fraction keep every digit.
        name: What messages call it, such as its path.
        form: Which of the two it is.

    Raises:
        ScriptError: The text is not TOML or JSON, or the script is wrong.
    """
    try:
        if form == "toml":
            tables: object = tomllib.loads(text, parse_float=Decimal)
        else:
            tables = json.loads(text, parse_float=Decimal)
    except ValueError as error:
        msg = f"{name}: not valid {form.upper()}: {error}"
        raise ScriptError(msg) from error
    return _validate(tables, name)


def _validate(tables: object, name: str) -> Script:
    try:
        return Script.model_validate(tables)
    except pydantic.ValidationError as error:
        lines = [
            f"{name}: {_describe(flaw['loc'], flaw['type'], flaw['msg'], flaw['input'])}"
            for flaw in error.errors()
        ]
        raise ScriptError("\n".join(dict.fromkeys(lines))) from error


def _describe(place: tuple[int | str, ...], kind: str, message: str, found: object) -> str:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    where = where.removeprefix(".") or "the whole"
    if kind == "extra_forbidden":
        allowed = _keys_at(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), allowed, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else ";"
        return f"{where}: unknown key{hint} Allowed: {', '.join(allowed)}"
    message = message.removeprefix("Value error, ")
    shown = repr(found)
    if len(shown) > LONGEST_SHOWN:
        shown = f"{shown[:LONGEST_SHOWN]}…"
    return f"{where}: {message}" if kind == "value_error" else f"{where}: {message} (found {shown})"


def _keys_at(place: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the table at ``place`` knows."""
    table: type[pydantic.BaseModel] = Script
    for part in place:
        field = table.model_fields.get(str(part))
        inner = _table_in(field.annotation) if field else None
        table = inner or table
    return sorted(table.model_fields)


def _table_in(annotation: object) -> type[pydantic.BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return annotation
    for part in typing.get_args(annotation):
        found = _table_in(part)
        if found is not None:
            return found
    return None
