"""Turns, put together from a list in which calls, results and words stand side by side."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from callgate.wire.codec.canonical import Opaque, Part, Role, Text, ToolResult, Turn
from callgate.wire.codec.losses import Losses

FAILED: Final = "The tool reported an error."
"""The words before the result of a tool that failed, where a format has no flag for it."""

UNNAMED: Final = "document.pdf"
"""What a document is called where a format needs a name and it has none."""


def instructions(parts: Iterable[Part], where: str, losses: Losses) -> list[Text]:
    """Return the words of instructions, and note what else stands among them."""
    words: list[Text] = []
    for n, part in enumerate(parts):
        if isinstance(part, Text):
            words.append(part)
        else:
            what = part.kind if isinstance(part, Opaque) else type(part).__name__.lower()
            why = "instructions are words alone in other formats"
            losses.add("system", f"{where}[{n}]", what=what, why=why)
    return words


class Turns:
    """Turns so far; what a model said in several items is one turn, and so are results."""

    __slots__ = ("_results", "_role", "_said", "_turns")

    def __init__(self) -> None:
        self._turns: list[Turn] = []
        self._said: list[Part] = []
        """The parts of the turn that is being put together."""
        self._role: Role = "assistant"
        self._results = False
        """Whether that turn is one of results."""

    @property
    def is_empty(self) -> bool:
        """Whether nobody has said anything yet."""
        return not self._turns and not self._said

    def add(self, role: Role, parts: tuple[Part, ...]) -> None:
        """Add a turn of its own."""
        self._close()
        self._turns.append(Turn(role=role, parts=parts))

    def say(self, part: Part) -> None:
        """Add to what the model says."""
        self._go_on("assistant", results=False)
        self._said.append(part)

    def answer(self, result: ToolResult) -> None:
        """Add the result of a tool to those beside it."""
        self._go_on("user", results=True)
        self._said.append(result)

    def all(self) -> tuple[Turn, ...]:
        """Return every turn."""
        self._close()
        return tuple(self._turns)

    def _go_on(self, role: Role, *, results: bool) -> None:
        if self._results != results or self._role != role:
            self._close()
        self._role, self._results = role, results

    def _close(self) -> None:
        if self._said:
            self._turns.append(Turn(role=self._role, parts=tuple(self._said)))
            self._said = []
