"""Settings that are far above all that calls turned out to need, so that too much is held for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

from callgate.config.policies import TaskPolicy
from callgate.store import Bounded

LEAST_ATTEMPTS: Final = 20
"""Of fewer, the next may well be longer than all: the chance is one in their number and one."""

LEAST_TOKENS: Final = 256
"""No setting is advised below: what it would free is little, and one long reply would be cut."""

Lowered = Literal["max_output_tokens", "max_input_tokens"]


class Loose(msgspec.Struct, frozen=True, kw_only=True):
    """A setting of a task type that could be lower."""

    task_type: str
    setting: Lowered
    tokens: int
    """What it is."""
    most_tokens: int
    """The most that an attempt had."""
    enough_tokens: int
    """A power of two that is at least twice as much."""
    attempts: int
    """How many were looked at."""


def loose(rows: Sequence[Bounded], tasks: Mapping[str, TaskPolicy]) -> Iterator[Loose]:
    """Yield the settings that could be half or less, in the order of the rows.

    Args:
        rows: How bounds fitted, by task type and model.
        tasks: The task types of the settings, by name.
    """
    for task_type in dict.fromkeys(row.task_type for row in rows):
        policy = tasks.get(task_type)
        if policy is not None:
            yield from _of_type([row for row in rows if row.task_type == task_type], policy)


def _of_type(rows: Sequence[Bounded], policy: TaskPolicy) -> Iterator[Loose]:
    attempts = sum(row.attempts for row in rows)
    if attempts < LEAST_ATTEMPTS:
        return
    for setting, tokens, most in _settings(rows, policy):
        enough = _enough(most)
        if 2 * enough <= tokens:
            yield Loose(
                task_type=policy.type, setting=setting, tokens=tokens, most_tokens=most,
                enough_tokens=enough, attempts=attempts,
            )  # fmt: skip


def _settings(rows: Iterable[Bounded], policy: TaskPolicy) -> Iterator[tuple[Lowered, int, int]]:
    """Yield what was in use: its name, its tokens, and the most that an attempt had."""
    # Another limit is one that the request named, or that the budget had lowered.
    if any(row.output_tokens_limit == policy.max_output_tokens for row in rows):
        most = max(row.most_output_tokens for row in rows)
        yield "max_output_tokens", policy.max_output_tokens, most
    if policy.max_input_tokens is not None:
        most = max(row.most_input_tokens for row in rows)
        yield "max_input_tokens", policy.max_input_tokens, most


def _enough(most_tokens: int) -> int:
    return max(LEAST_TOKENS, 1 << (2 * most_tokens - 1).bit_length())
