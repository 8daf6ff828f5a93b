"""A store's tables as SQL sees them from outside, and a witness of all that its ledger ever said."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol, cast

import psycopg

from tests.contract.store.places import new_place

KINDS: Final = ("sqlite", "postgresql")

LOOKS: Final = (
    """
    CREATE TABLE looks
        (scope TEXT, "window" TEXT, cap_nano BIGINT, spent_nano BIGINT, held_nano BIGINT)
    """,
    "CREATE INDEX looks_by_scope ON looks (scope, spent_nano)",
)

LOOK: Final = """
    INSERT INTO looks VALUES (NEW.scope, NEW."window", NEW.cap_nano, NEW.spent_nano, NEW.held_nano);
"""

FILE_WITNESS: Final = (
    *LOOKS,
    f"CREATE TRIGGER look_at_insert AFTER INSERT ON ledger BEGIN {LOOK} END",
    f"CREATE TRIGGER look_at_update AFTER UPDATE ON ledger BEGIN {LOOK} END",
)

SERVER_WITNESS: Final = (
    *LOOKS,
    f"""
    CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN {LOOK} RETURN NULL; END $$
    """,
    "CREATE TRIGGER look AFTER INSERT OR UPDATE ON ledger FOR EACH ROW EXECUTE FUNCTION look()",
)


class Books(Protocol):
    """One database, for gates and for who looks over their shoulders.

    Attributes:
        place: What ``[gate] store`` says.
    """

    place: str

    def ask(self, sql: str, given: Sequence[object] = (), /) -> list[tuple[Any, ...]]:
        """Return the rows that answer a question; each sees what is committed by then."""
        ...

    def call_witness(self) -> None:
        """Have every row that the ledger ever holds written into ``looks``, by the database itself.

        So it is known of every moment what was spent and held, and not only of those at which
        somebody came to look. A gate must have made the tables.
        """
        ...


class FileBooks:
    """A SQLite file."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "callgate.db"
        self.place = f"sqlite:{self._path}"

    def ask(self, sql: str, given: Sequence[object] = (), /) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as books:
            return books.execute(sql, given).fetchall()

    def call_witness(self) -> None:
        with closing(sqlite3.connect(self._path, timeout=10)) as books:
            for statement in FILE_WITNESS:
                books.execute(statement)
            books.commit()


class ServerBooks:
    """A schema on a PostgreSQL server, which may go away and come back."""

    def __init__(self, url: str) -> None:
        self.place = url
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def ask(self, sql: str, given: Sequence[object] = (), /) -> list[tuple[Any, ...]]:
        try:
            return self._ask(sql, given)
        except psycopg.OperationalError:
            # The server may have been restarted since the last question.
            return self._ask(sql, given)

    def _ask(self, sql: str, given: Sequence[object]) -> list[tuple[Any, ...]]:
        statement = sql.replace("%", "%%").replace("?", "%s").encode()
        return self._live().execute(statement, cast("Sequence[Any]", given)).fetchall()

    def call_witness(self) -> None:
        for statement in SERVER_WITNESS:
            self._live().execute(statement.encode())

    def close(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()

    def _live(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self.place, autocommit=True)
        return self._connection


@contextmanager
def new_books(kind: str, folder: Path) -> Generator[Books]:
    """Make an empty database of a kind, and take it away after."""
    with new_place(kind, folder) as place:
        if kind == "sqlite":
            yield FileBooks(Path(place))
            return
        with closing(ServerBooks(place)) as books:
            yield books


OVER: Final = """
    SELECT scope, "window", spent_nano, held_nano FROM looks
    WHERE spent_nano + held_nano > coalesce(cap_nano, {caps})
"""

FULLEST: Final = """
    SELECT max((spent_nano + held_nano) * 1.0 / coalesce(cap_nano, {caps})) FROM looks
"""


class Witness:
    """What was seen of the ledger, against the caps that should have held.

    Args:
        books: Where a witness was called.
        caps: By the beginning of scope and window, as in ``user:|day``: nano-dollars. A task's own
            budget is known.
    """

    def __init__(self, books: Books, caps: Mapping[str, int]) -> None:
        self._books = books
        cases = [
            f"WHEN scope || '|' || \"window\" LIKE '{_pattern(name)}' THEN {cap}"
            for name, cap in caps.items()
        ]
        self._caps = f"CASE {' '.join(cases)} END"

    def looks(self) -> int:
        """Return how often the ledger was seen."""
        return int(self._books.ask("SELECT count(*) FROM looks")[0][0])

    def over(self) -> list[tuple[Any, ...]]:
        """Return every row that was ever over its cap."""
        return self._books.ask(OVER.format(caps=self._caps))

    def fullest(self, scope: str) -> float:
        """Return the largest share of a cap that was ever spent and held, of scopes of a kind."""
        sql = f"{FULLEST.format(caps=self._caps)} WHERE scope LIKE ?"
        return float(self._books.ask(sql, (f"{scope}%",))[0][0] or 0)

    def saw(self, scope: str, *, spent: int, held: int) -> bool:
        """Return whether a scope ever stood so."""
        if not spent and not held:
            # One that has no row yet.
            return True
        sql = "SELECT 1 FROM looks WHERE scope = ? AND spent_nano = ? AND held_nano = ? LIMIT 1"
        return bool(self._books.ask(sql, (scope, spent, held)))


def _pattern(name: str) -> str:
    scope, _, window = name.partition("|")
    return f"{scope}%|{window}%"
