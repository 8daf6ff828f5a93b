"""What the statements of the store ask of a database's cursor; each driver's own has it.

One text of each statement serves every database. It has ``?`` for each value, and no ``?`` or ``%``
besides; it quotes the columns ``"user"`` and ``"window"``, which are reserved words elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

WITHOUT_END: Final = 2**63 - 1
"""How many rows at most, where there is no limit; no other way to say so is known everywhere."""


class Cursor(Protocol):
    """Runs statements, one after the other, and has the answer of the last."""

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        ...

    def execute(self, sql: str, given: Sequence[Any] = (), /) -> Cursor:
        """Run a statement with its values; return this cursor."""
        ...

    def executemany(self, sql: str, given: Iterable[Sequence[Any]], /) -> Cursor:
        """Run a statement once for each row of values."""
        ...

    def fetchone(self) -> Any:
        """Return the next row; None after the last."""
        ...

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        ...
