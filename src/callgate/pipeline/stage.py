"""What a stage is, and how stages become one road."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from callgate.call import ModelCall, Reply

Next = Callable[[ModelCall], AbstractAsyncContextManager[Reply]]
"""The rest of the road, as a stage sees it."""


class Stage(Protocol):
    """Async context manager around the rest of the road.

    Code before ``async with next(call)`` runs before the call; code after it runs when the
    door has read the last byte, so a stream and a plain reply settle on the same line.
    """

    def __call__(self, call: ModelCall, next: Next, /) -> AbstractAsyncContextManager[Reply]:
        """Open ``call``; closing the result ends it."""
        ...


def compose(stages: Sequence[Stage], last: Next) -> Next:
    """Wrap ``last`` in ``stages``; the first stage is the outermost."""
    for stage in reversed(stages):
        last = _bind(stage, last)
    return last


def _bind(stage: Stage, next: Next) -> Next:
    def opened(call: ModelCall) -> AbstractAsyncContextManager[Reply]:
        return stage(call, next)

    return opened
