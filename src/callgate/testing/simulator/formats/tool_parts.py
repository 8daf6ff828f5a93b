"""The tool calls of a stream in parts, in the order and with the indices that a script asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Final

import msgspec

from callgate.testing.simulator.formats.format import fragments
from callgate.testing.simulator.generation import ToolUse
from callgate.testing.simulator.script import ShapeTable

FIRST_GAP, STEP = 3, 2
"""With gaps the first call says 3 and each further one two more."""
USUAL: Final = ShapeTable()


class ToolPart(msgspec.Struct, frozen=True, kw_only=True):
    """What one event tells of one tool call."""

    use: ToolUse
    index: int
    """Which call it says that it is of; the only tie between the parts of one."""
    opens: bool = False
    """Whether it brings id and name."""
    fragment: str = ""
    """A fragment of the arguments."""
    closes: bool = False


def tool_parts(uses: Sequence[ToolUse], shape: ShapeTable, *, first: int = 0) -> Iterator[ToolPart]:
    """Yield every part of every call.

    Args:
        uses: The calls.
        shape: How they are cut, numbered and ordered.
        first: The index of the first one, where others precede it.
    """
    runs = [list(_parts(use, _index(n, shape, first), shape)) for n, use in enumerate(uses)]
    if shape.tool_order == "interleaved":
        for together in zip_longest(*runs):
            yield from (part for part in together if part is not None)
        return
    for run in runs:
        yield from run


def _index(n: int, shape: ShapeTable, first: int) -> int:
    if shape.tool_index == "zero":
        return first
    return first + (FIRST_GAP + STEP * n if shape.tool_index == "gaps" else n)


def _parts(use: ToolUse, index: int, shape: ShapeTable) -> Iterator[ToolPart]:
    if shape.tool_arguments == "whole":
        yield ToolPart(use=use, index=index, opens=True, fragment=use.arguments, closes=True)
        return
    cut = list(fragments(use.arguments))
    if shape.tool_arguments == "fragments" or not cut:
        cut.insert(0, "")
    last = len(cut) - 1
    for n, fragment in enumerate(cut):
        yield ToolPart(use=use, index=index, opens=n == 0, fragment=fragment, closes=n == last)
