"""Profiles of task types, as files and options write them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar, cast

import msgspec

from callgate.errors import Misconfigured
from callgate.money import Money
from callgate.observe.estimate import Amount, Cost, ModelUse, Profile, ToolUse
from callgate.task import DEFAULT_TYPE

MOST: Final = 10**12
"""A larger number of calls or tokens is a mistake."""

RANGE: Final = r"[0-9]+(?:-[0-9]+)?"
PRICE: Final = r"[$0-9.]+(?:-[$0-9.]+)?"
MODEL_OPTION: Final = re.compile(rf"(.+)=({RANGE}):({RANGE}):({RANGE})")
TOOL_OPTION: Final = re.compile(rf"(.+)=({RANGE}):({PRICE})")

Table = TypeVar("Table")
Use = TypeVar("Use")


class ModelTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``[models.NAME]``."""

    calls: Any
    input_tokens: Any
    output_tokens: Any


class ToolTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``[tools.NAME]``."""

    calls: Any
    price: Any


class ProfileTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The file."""

    tasks_per_day: Any
    type: str = DEFAULT_TYPE
    agent: str | None = None
    models: dict[str, Any] = {}
    tools: dict[str, Any] = {}


def read_profile(text: str, *, file: str) -> Profile:
    """Return the profile that a file holds.

    Args:
        text: The file's text, TOML.
        file: Its name, for messages.

    Raises:
        Misconfigured: It has mistakes; every one is told.
    """
    try:
        page = msgspec.convert(tomllib.loads(text), ProfileTable)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        msg = f"{file} is no profile of a task type: {error}"
        raise Misconfigured(msg) from error
    mistakes: list[str] = []
    profile = Profile(
        type=page.type,
        agent=page.agent,
        tasks_per_day=_read("tasks_per_day", partial(_amount, page.tasks_per_day), mistakes)
        or Amount(0, 0),
        models=_uses("models", page.models, _model, mistakes),
        tools=_uses("tools", page.tools, _tool, mistakes),
    )
    if mistakes:
        msg = "\n  ".join([f"{file} is no profile of a task type:", *mistakes])
        raise Misconfigured(msg)
    return profile


def model_option(typed: str) -> ModelUse:
    """Return what ``smart=4:1000-7000:250-3000`` says of a model.

    Raises:
        ValueError: It is written in another way.
    """
    found = MODEL_OPTION.fullmatch(typed)
    if found is None:
        msg = (
            f"{typed!r} is not MODEL=CALLS:INPUT:OUTPUT, with the tokens of one call; write it like"
            " smart=4:1000-7000:250-3000"
        )
        raise ValueError(msg)
    calls, input_tokens, output_tokens = (_typed_amount(part) for part in found.groups()[1:])
    return ModelUse(
        name=found[1], calls=calls, input_tokens=input_tokens, output_tokens=output_tokens
    )


def tool_option(typed: str) -> ToolUse:
    """Return what ``web_search=5:0.01`` says of a tool.

    Raises:
        ValueError: It is written in another way.
    """
    found = TOOL_OPTION.fullmatch(typed)
    if found is None:
        msg = f"{typed!r} is not TOOL=CALLS:PRICE; write it like web_search=5:0.01 or image=0-2:0.04-0.08"
        raise ValueError(msg)
    low, dash, high = found[3].partition("-")
    return ToolUse(
        name=found[1],
        calls=_typed_amount(found[2]),
        price=_price([low, high] if dash else low),
    )


def typed_amount(typed: str) -> Amount:
    """Return a number such as ``1000`` or ``800-1200``.

    Raises:
        ValueError: It is written in another way.
    """
    if not re.fullmatch(RANGE, typed):
        msg = f"{typed!r} is no whole number; write it like 1000 or 800-1200"
        raise ValueError(msg)
    return _typed_amount(typed)


def _typed_amount(typed: str) -> Amount:
    low, _, high = typed.partition("-")
    return _amount([int(low), int(high or low)])


def _uses(
    kind: str,
    tables: Mapping[str, Any],
    make: Callable[[str, Any], Use],
    mistakes: list[str],
) -> tuple[Use, ...]:
    made = [
        _read(f"[{kind}.{name}]", partial(make, name, table), mistakes)
        for name, table in tables.items()
    ]
    return tuple(use for use in made if use is not None)


def _read(place: str, make: Callable[[], Use], mistakes: list[str]) -> Use | None:
    try:
        return make()
    except (ValueError, msgspec.ValidationError) as error:
        mistakes.append(f"{place}: {error}")
        return None


def _model(name: str, table: Any) -> ModelUse:
    page = msgspec.convert(table, ModelTable)
    return ModelUse(
        name=name,
        calls=_amount(page.calls),
        input_tokens=_amount(page.input_tokens),
        output_tokens=_amount(page.output_tokens),
    )


def _tool(name: str, table: Any) -> ToolUse:
    page = msgspec.convert(table, ToolTable)
    return ToolUse(name=name, calls=_amount(page.calls), price=_price(page.price))


def _amount(written: object) -> Amount:
    low, high = _both(written)
    for number in (low, high):
        # What is true or false counts as a number in Python.
        if type(number) is not int or not 0 <= number <= MOST:
            msg = f"{number!r} is no whole number from 0 to {MOST:,}, as in 5 or [2, 8]"
            raise ValueError(msg)
    if low > high:
        msg = f"[{low}, {high}] is no range; the low number comes first"
        raise ValueError(msg)
    return Amount(low, high)


def _price(written: object) -> Cost:
    low, high = (
        Money.dollars(amount if isinstance(amount, str) else repr(amount))
        for amount in _both(written)
    )
    if low > high:
        msg = f"{low} to {high} is no range; the low price comes first"
        raise ValueError(msg)
    return Cost(low, high)


def _both(written: Any) -> tuple[Any, Any]:
    """Return the low and the high end of what is written; one value is both."""
    if not isinstance(written, list):
        return written, written
    pair = cast("Sequence[Any]", written)
    if len(pair) != len(("low", "high")):
        msg = f"{pair!r} is no range; write [low, high]"
        raise ValueError(msg)
    return pair[0], pair[1]
