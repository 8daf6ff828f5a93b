"""What the keys of a script may hold."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final, Literal, TypeAlias

import pydantic
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

LONGEST_SECONDS: Final = 86_400.0
FARTHEST_SECONDS: Final = 31_536_000_000.0
"""A thousand years: long enough to be absurd, and still a date."""
MOST_TOKENS: Final = 1_000_000_000
"""More than any model takes; it catches a typing mistake."""


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


def some(value: tuple[object, ...]) -> tuple[object, ...]:
    """Refuse an empty list; as a field's own length it would also count items with mistakes."""
    if not value:
        raise _wrong([], "is empty; leave the key out or name at least one")
    return value


Seconds: TypeAlias = Annotated[
    float,
    BeforeValidator(_number),
    Field(strict=False, ge=0, le=LONGEST_SECONDS, allow_inf_nan=False),
]
Wait: TypeAlias = Annotated[
    float,
    BeforeValidator(_number),
    Field(strict=False, ge=0, le=FARTHEST_SECONDS, allow_inf_nan=False),
]
"""A wait that a provider asks for, however absurd."""
Dollars: TypeAlias = Annotated[Decimal, BeforeValidator(_dollars)]
Count: TypeAlias = Annotated[int, Field(ge=1)]
Tokens: TypeAlias = Annotated[int, Field(ge=0, le=MOST_TOKENS)]
Json: TypeAlias = Annotated[dict[str, object], BeforeValidator(_plain)]
Pattern: TypeAlias = Annotated[str | None, AfterValidator(_regex)]
Names: TypeAlias = Annotated[tuple[str, ...], Field(strict=False), AfterValidator(some)]

Api: TypeAlias = Literal["openai", "anthropic", "gemini", "bedrock"]
FormatName: TypeAlias = Literal[
    "openai_chat", "openai_responses", "openai_embeddings", "anthropic_messages", "gemini",
    "bedrock_converse",
]  # fmt: skip
Finish: TypeAlias = Literal[
    "stop", "length", "tool_calls", "refusal", "pause", "stop_sequence", "context"
]
Endpoint: TypeAlias = Literal["generate", "embed", "count_tokens", "retrieve", "models"]
Encoding: TypeAlias = Literal["gzip"]


class Table(pydantic.BaseModel):
    """A table of the script: unknown keys and wrong types are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
