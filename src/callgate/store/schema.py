"""The tables, and how a file gets them: created, migrated, or refused.

Times are whole microseconds since 1970, money is whole nano-dollars, flags are 0 or 1.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from callgate.errors import Misconfigured
from callgate.store.action_tables import ACTION_TABLES
from callgate.store.file import unusable
from callgate.store.replies import IS_KEPT

BUSY_SECONDS: Final = 5.0
"""How long a transaction waits for another process's, before the store is down."""

OLDEST_SQLITE: Final = (3, 35, 0)
"""The first release with RETURNING; Debian 12 has 3.40, and no statement needs more."""

PRIMARY: Final = 0xFF
"""The bits of a result code that tell what is wrong; the rest tell where.

Source: sqlite.org/rescode.html
"""

APPLICATION_ID: Final = 0x43_47_41_54
"""What stands in the file's header for whose database it is: ``CGAT``."""

MIGRATIONS: Final[Sequence[Sequence[str]]] = (
    (
        """
        CREATE TABLE tasks (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            type TEXT NOT NULL,
            agent TEXT NOT NULL,
            "user" TEXT,
            parent TEXT,
            started_at INTEGER NOT NULL,
            deadline_at INTEGER,
            ended_at INTEGER
        )
        """,
        "CREATE INDEX tasks_by_agent ON tasks (agent)",
        # One row for each scope and window that holds money: 'task:ID' has the window 'all'.
        """
        CREATE TABLE ledger (
            scope TEXT NOT NULL,
            "window" TEXT NOT NULL,
            cap_nano INTEGER,
            spent_nano INTEGER NOT NULL,
            held_nano INTEGER NOT NULL CHECK (held_nano >= 0),
            PRIMARY KEY (scope, "window")
        ) WITHOUT ROWID
        """,
        # `owner` is the gate that runs it: a call never moves to another process.
        """
        CREATE TABLE calls (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            owner TEXT,
            task_id TEXT,
            task_type TEXT,
            agent TEXT NOT NULL,
            "user" TEXT,
            door TEXT NOT NULL,
            kind TEXT NOT NULL,
            target TEXT,
            stream INTEGER NOT NULL,
            state TEXT NOT NULL,
            status INTEGER,
            code TEXT,
            message TEXT,
            rule TEXT,
            started_at INTEGER NOT NULL,
            ended_at INTEGER,
            request_bytes INTEGER NOT NULL
        )
        """,
        "CREATE INDEX calls_by_task ON calls (task_id)",
        "CREATE INDEX calls_running ON calls (owner) WHERE state = 'running'",
        """
        CREATE INDEX calls_not_ok ON calls (state)
        WHERE state <> 'ok' AND state <> 'running'
        """,
        """
        CREATE TABLE attempts (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            call_seq INTEGER NOT NULL,
            task_id TEXT NOT NULL,
            n INTEGER NOT NULL,
            provider TEXT NOT NULL,
            model TEXT NOT NULL,
            state TEXT NOT NULL,
            reserved_nano INTEGER,
            output_tokens_limit INTEGER,
            cost_nano INTEGER,
            estimated INTEGER NOT NULL DEFAULT 0,
            input_tokens INTEGER,
            cache_read_tokens INTEGER,
            cache_write_tokens INTEGER,
            cache_write_long_tokens INTEGER,
            output_tokens INTEGER,
            reasoning_tokens INTEGER,
            price_version TEXT,
            sent_at INTEGER NOT NULL,
            first_byte_at INTEGER,
            ended_at INTEGER,
            http_status INTEGER,
            error TEXT,
            answered_by TEXT,
            reply_id TEXT,
            finish_reason TEXT,
            changes TEXT
        )
        """,
        "CREATE INDEX attempts_by_call ON attempts (call_seq)",
        "CREATE INDEX attempts_running ON attempts (call_seq) WHERE state = 'running'",
        "CREATE INDEX attempts_again ON attempts (task_id) WHERE n > 1",
        """
        CREATE TABLE keys (
            digest BLOB PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            agent TEXT NOT NULL,
            task_id TEXT,
            label TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            expires_at INTEGER,
            revoked_at INTEGER
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE gates (
            id TEXT PRIMARY KEY,
            host TEXT NOT NULL,
            place TEXT,
            pid INTEGER NOT NULL,
            pid_started TEXT,
            url TEXT,
            started_at INTEGER NOT NULL,
            beat_at INTEGER NOT NULL,
            reloaded_at INTEGER,
            reload_error TEXT
        ) WITHOUT ROWID
        """,
    ),
    (
        # Limits are rows, so that a change holds by the next admission in any process.
        """
        CREATE TABLE limits (
            scope TEXT NOT NULL,
            name TEXT NOT NULL,
            source TEXT NOT NULL,
            value INTEGER NOT NULL,
            waits INTEGER NOT NULL,
            until INTEGER,
            PRIMARY KEY (scope, name, source)
        ) WITHOUT ROWID
        """,
        # `edition` is another with every change, `revision` is that of the file whose limits hold.
        "CREATE TABLE limits_state (edition INTEGER NOT NULL, revision INTEGER NOT NULL)",
        "INSERT INTO limits_state VALUES (0, 0)",
        # A scope's last calls, numbered: the one that N calls ago came tells whether N fit.
        """
        CREATE TABLE ticks (
            scope TEXT NOT NULL,
            n INTEGER NOT NULL,
            at INTEGER NOT NULL,
            PRIMARY KEY (scope, n)
        ) WITHOUT ROWID
        """,
        # A window of the calendar in which each scope of a kind is metered, as rows of the ledger.
        """
        CREATE TABLE windows (
            kind TEXT NOT NULL,
            "window" TEXT NOT NULL,
            starts_at INTEGER NOT NULL,
            ends_at INTEGER NOT NULL,
            PRIMARY KEY (kind, "window")
        ) WITHOUT ROWID
        """,
        "ALTER TABLE ledger ADD COLUMN calls INTEGER NOT NULL DEFAULT 0",
        """
        UPDATE ledger SET calls = (SELECT count(*) FROM calls c
            WHERE c.task_id = substr(ledger.scope, 6) AND c.owner IS NOT NULL)
        """,
        "ALTER TABLE ledger ADD COLUMN starts_at INTEGER",
        "ALTER TABLE ledger ADD COLUMN ends_at INTEGER",
        "CREATE INDEX ledger_by_end ON ledger (ends_at) WHERE ends_at IS NOT NULL",
        "ALTER TABLE calls ADD COLUMN fingerprint BLOB",
        "CREATE INDEX calls_alike ON calls (task_id, fingerprint) WHERE fingerprint IS NOT NULL",
        # Whoever was named as a parent was never asked, and has paid for nothing.
        "UPDATE tasks SET parent = NULL",
        "ALTER TABLE tasks ADD COLUMN has_slot INTEGER NOT NULL DEFAULT 0",
        'CREATE INDEX tasks_running ON tasks (type, "user", deadline_at) WHERE has_slot = 1',
        "CREATE INDEX tasks_open ON tasks (parent) WHERE ended_at IS NULL",
        "DROP INDEX calls_running",
        "CREATE INDEX calls_running ON calls (agent) WHERE state = 'running'",
        "DROP INDEX attempts_running",
        "CREATE INDEX attempts_running ON attempts (provider) WHERE state = 'running'",
        "CREATE INDEX attempts_by_time ON attempts (sent_at)",
    ),
    (
        # The numbers of each price that an attempt was paid by: rows of attempts name its version.
        """
        CREATE TABLE prices (
            version TEXT PRIMARY KEY,
            numbers TEXT NOT NULL,
            noted_at INTEGER NOT NULL
        ) WITHOUT ROWID
        """,
        "ALTER TABLE attempts ADD COLUMN service_tier TEXT",
        # What an attempt has used that no price tells, such as searches.
        "ALTER TABLE attempts ADD COLUMN unpriced TEXT",
        # What an attempt was first booked at, where history was priced anew.
        """
        CREATE TABLE repriced (
            attempt_seq INTEGER PRIMARY KEY,
            first_cost_nano INTEGER,
            first_price_version TEXT,
            repriced_at INTEGER NOT NULL
        )
        """,
        # By how many thousandths a model's bound, or its counts, are multiplied, as a bill was above.
        """
        CREATE TABLE overruns (
            provider TEXT NOT NULL,
            model TEXT NOT NULL,
            counted INTEGER NOT NULL,
            thousandths INTEGER NOT NULL,
            PRIMARY KEY (provider, model, counted)
        ) WITHOUT ROWID
        """,
        # What a scope's attempts of one second count in tokens; an attempt that counts says how many.
        """
        CREATE TABLE tokens (
            scope TEXT NOT NULL,
            second INTEGER NOT NULL,
            tokens INTEGER NOT NULL,
            PRIMARY KEY (scope, second)
        ) WITHOUT ROWID
        """,
        "ALTER TABLE attempts ADD COLUMN counted_tokens INTEGER",
        # By how many thousandths the bound of an attempt was multiplied; NULL where it was not.
        "ALTER TABLE attempts ADD COLUMN raised_thousandths INTEGER",
        # `fingerprint` is what an alert is about: while one is open, there is no second. `change` is
        # another with every change of its state, and larger than all before it.
        """
        CREATE TABLE alerts (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            fingerprint TEXT NOT NULL,
            kind TEXT NOT NULL,
            severity TEXT NOT NULL,
            scope TEXT NOT NULL,
            rule TEXT,
            message TEXT NOT NULL,
            facts TEXT NOT NULL,
            raised_at INTEGER NOT NULL,
            resolved_at INTEGER,
            change INTEGER NOT NULL UNIQUE
        )
        """,
        # Who is not asked for now, as long as every gate of the store knows why.
        """
        CREATE TABLE blocks (
            subject TEXT PRIMARY KEY,
            kind TEXT NOT NULL,
            reason TEXT NOT NULL,
            times INTEGER NOT NULL,
            since INTEGER NOT NULL,
            until INTEGER,
            probed_until INTEGER
        ) WITHOUT ROWID
        """,
        # What a task asked of a model that was bad, and has not been put right since.
        """
        CREATE TABLE corrections (
            task_id TEXT NOT NULL,
            target TEXT NOT NULL,
            times INTEGER NOT NULL,
            fingerprint BLOB,
            message TEXT,
            since INTEGER NOT NULL,
            PRIMARY KEY (task_id, target)
        ) WITHOUT ROWID
        """,
        # One index for both, as an index by task dirties a page for almost every row.
        "DROP INDEX calls_alike",
        "DROP INDEX calls_by_task",
        "CREATE INDEX calls_by_task ON calls (task_id, fingerprint)",
        # When a task was last seen to do something.
        "ALTER TABLE ledger ADD COLUMN last_at INTEGER",
        """
        UPDATE ledger SET last_at = (SELECT max(coalesce(c.ended_at, c.started_at)) FROM calls c
            WHERE c.task_id = substr(ledger.scope, 6))
        WHERE scope LIKE 'task:%'
        """,
        # How often a client's library had sent a call before. Calls that went wrong are those that it
        # sends again, and the only ones that this index costs anything.
        "ALTER TABLE calls ADD COLUMN client_retry INTEGER NOT NULL DEFAULT 0",
        "CREATE INDEX calls_resent ON calls (task_id) WHERE client_retry > 0",
        """
        CREATE INDEX calls_lost ON calls (agent, fingerprint)
        WHERE state <> 'ok' AND state <> 'running' AND fingerprint IS NOT NULL
        """,
        "CREATE UNIQUE INDEX alerts_open ON alerts (fingerprint) WHERE resolved_at IS NULL",
        # Replies that requests can go on from; others have no place in it, and cost no write.
        f"CREATE INDEX attempts_by_reply ON attempts (reply_id) WHERE {IS_KEPT}",
    ),
    (
        # What a call of a tool asked for, as it may be kept; of models it is NULL.
        "ALTER TABLE calls ADD COLUMN input TEXT",
        # What the far side of a tool goes on with by itself: any gate may ask for it by its id. One
        # whose gate died is adopted by another, and its result claimed by who asks again.
        """
        CREATE TABLE jobs (
            attempt_seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL,
            noted_at INTEGER NOT NULL,
            adopted_at INTEGER,
            result BLOB,
            claimed_at INTEGER
        )
        """,
        # What is left at whoever is paid in advance, as it was last told.
        """
        CREATE TABLE balances (
            account TEXT NOT NULL,
            source TEXT NOT NULL,
            left_nano INTEGER NOT NULL,
            seen_at INTEGER NOT NULL,
            PRIMARY KEY (account, source)
        ) WITHOUT ROWID
        """,
    ),
    (
        # What a task is narrowed to, as lists in JSON; NULL where it is not.
        "ALTER TABLE tasks ADD COLUMN models TEXT",
        "ALTER TABLE tasks ADD COLUMN tools TEXT",
        # What a tool of others was when it was accepted, and what it was last.
        """
        CREATE TABLE pins (
            toolset TEXT NOT NULL,
            tool TEXT NOT NULL,
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            digest TEXT NOT NULL,
            definition TEXT NOT NULL,
            effect TEXT NOT NULL,
            cost_nano INTEGER,
            since INTEGER NOT NULL,
            PRIMARY KEY (toolset, tool, kind)
        ) WITHOUT ROWID
        """,
    ),
    ACTION_TABLES,
)
"""The statements that lead from each version to the next; a file's version is how many it has."""


def connect(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Open the file as it is.

    Args:
        path: The database.
        busy_seconds: How long to wait for a transaction of another process.

    Raises:
        Misconfigured: It cannot be opened.
    """
    try:
        return sqlite3.connect(
            path, isolation_level=None, timeout=busy_seconds, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise _useless(path, error) from error


def prepare(
    connection: sqlite3.Connection,
    path: Path,
    /,
    *,
    synchronous: str = "FULL",
    migrations: Sequence[Sequence[str]] = MIGRATIONS,
) -> None:
    """Bring the file to this version's tables, and set how it is written.

    Args:
        connection: An open connection.
        path: The file, for messages.
        synchronous: ``FULL`` makes every commit survive a power failure; ``NORMAL`` only a
            crash of the process.
        migrations: What leads from version to version.

    Raises:
        Misconfigured: The file is of a newer version or another program, or not a database, or
            cannot be written.
    """
    require_sqlite(sqlite3.sqlite_version_info)
    try:
        version = _known_version(connection, path, migrations)
        _set_up(connection, path, synchronous)
        if version < len(migrations):
            _migrate(connection, path, migrations)
    except sqlite3.Error as error:
        raise _useless(path, error) from error


def require_sqlite(found: tuple[int, int, int], /) -> None:
    """Refuse a SQLite library that is too old.

    Raises:
        Misconfigured: It is older than what the statements need.
    """
    if found < OLDEST_SQLITE:
        has, needs = (".".join(map(str, version)) for version in (found, OLDEST_SQLITE))
        fix = f"use a Python that is built with SQLite {needs} or newer"
        msg = f"this Python has SQLite {has}, and the store needs {needs}; {fix}"
        raise unusable(msg, fix)


def _known_version(
    connection: sqlite3.Connection, path: Path, migrations: Sequence[Sequence[str]]
) -> int:
    """Return the version of a file that is ours, or new."""
    # In this order: who makes the tables meanwhile writes both at once.
    has_tables = _number(connection, "SELECT count(*) FROM sqlite_master") > 0
    if has_tables and _number(connection, "PRAGMA application_id") != APPLICATION_ID:
        fix = "name a file of its own as [gate] store"
        msg = f"{path} is the database of another program; {fix}"
        raise unusable(msg, fix)
    version = _number(connection, "PRAGMA user_version")
    if version > len(migrations):
        fix = "install the newer Callgate again, or name another file as [gate] store"
        msg = (
            f"{path} has store version {version}, and this Callgate knows versions up to "
            f"{len(migrations)}; {fix}"
        )
        raise unusable(msg, fix)
    return version


def _set_up(connection: sqlite3.Connection, path: Path, synchronous: str) -> None:
    if _begin_log(connection) != "wal":
        fix = "put [gate] store on a disk that can map shared memory"
        msg = f"{path} is on a disk where SQLite cannot keep a write-ahead log; {fix}"
        raise unusable(msg, fix)
    connection.execute("PRAGMA cache_size = -16000")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    # Only macOS tells fsync from a flush to the platter; elsewhere this changes nothing.
    connection.execute(f"PRAGMA fullfsync = {synchronous == 'FULL'}")


def _begin_log(connection: sqlite3.Connection) -> str:
    """Ask for a write-ahead log; return the kind of journal that the file has then."""
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & PRIMARY != sqlite3.SQLITE_BUSY:
                raise
        # Two that come to a new file at once are in each other's way, and this is the one lock
        # that SQLite does not wait for by itself.
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")


def _migrate(
    connection: sqlite3.Connection, path: Path, migrations: Sequence[Sequence[str]]
) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been first.
        version = _known_version(connection, path, migrations)
        for statement in (one for step in migrations[version:] for one in step):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _number(connection: sqlite3.Connection, sql: str) -> int:
    number: int = connection.execute(sql).fetchone()[0]
    return number


def _useless(path: Path, error: sqlite3.Error) -> Misconfigured:
    fix = "name another file as [gate] store, or see who else has this one open"
    return unusable(f"{path} cannot be used as a store: {error}; {fix}", fix)
