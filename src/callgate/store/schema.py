"""The tables, and how a file gets them: created, migrated, or refused.

Times are whole microseconds since 1970, money is whole nano-dollars, flags are 0 or 1.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from callgate.errors import Misconfigured, Reason

BUSY_SECONDS: Final = 5.0
"""How long a transaction waits for another process's, before the store is down."""

OLDEST_SQLITE: Final = (3, 35, 0)
"""The first release with RETURNING; Debian 12 has 3.40, and no statement needs more."""

NETWORK_FILESYSTEMS: Final = frozenset(
    {"afs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "glusterfs", "lustre", "ncpfs"}
    | {"nfs", "nfs4", "smb3", "smbfs"}
)
"""Where the locks and the shared memory of a write-ahead log do not hold between machines.

Source: sqlite.org/wal.html: "WAL does not work over a network filesystem."
"""

MOUNTS: Final = Path("/proc/self/mounts")

MIGRATIONS: Final[Sequence[Sequence[str]]] = (
    (
        """
        CREATE TABLE tasks (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            type TEXT NOT NULL,
            agent TEXT NOT NULL,
            user TEXT,
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
            user TEXT,
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
)
"""The statements that lead from each version to the next; a file's version is how many it has."""


def create_file(path: Path, *, mounts: Path = MOUNTS) -> None:
    """Make the file, if it is missing, so that nobody else can read it.

    Args:
        path: The file.
        mounts: The kernel's list of mounts.

    Raises:
        Misconfigured: It cannot be made, or is on a network filesystem.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Exclusive: a second descriptor of an existing file would drop SQLite's locks on closing.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        fix = "name a file in a folder that this user may write to, as [gate] store"
        msg = f"{path} cannot be made: {error.strerror}; {fix}"
        raise _refusal(msg, fix) from error
    kind = filesystem_of(path, mounts=mounts)
    if kind in NETWORK_FILESYSTEMS:
        fix = "put [gate] store on a local disk"
        msg = f"{path} is on {kind}, where SQLite's locks do not hold; {fix}"
        raise _refusal(msg, fix)


def filesystem_of(path: Path, *, mounts: Path = MOUNTS) -> str | None:
    """Return the kind of filesystem that ``path`` is on; None where the system does not tell.

    Args:
        path: Any file.
        mounts: The kernel's list of mounts, as fstab(5) writes it.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    # The last mount of a place hides those before it.
    kinds = {point.replace("\\040", " "): kind for _, point, kind, *_ in map(str.split, lines)}
    real = path.resolve()
    return next((kinds[str(at)] for at in (real, *real.parents) if str(at) in kinds), None)


def connect(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Open the file as it is.

    Args:
        path: The database.
        busy_seconds: How long to wait for a transaction of another process.
    """
    connection = sqlite3.connect(
        path, isolation_level=None, timeout=busy_seconds, check_same_thread=False
    )
    connection.execute("PRAGMA cache_size = -16000")
    return connection


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
        Misconfigured: The file is of a newer version, or not a database, or cannot be written.
    """
    require_sqlite(sqlite3.sqlite_version_info)
    try:
        _refuse_newer(_version(connection), len(migrations), path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        _migrate(connection, path, migrations)
    except sqlite3.Error as error:
        fix = "name another file as [gate] store, or see who else has this one open"
        msg = f"{path} cannot be used as a store: {error}; {fix}"
        raise _refusal(msg, fix) from error


def require_sqlite(found: tuple[int, int, int], /) -> None:
    """Refuse a SQLite library that is too old.

    Raises:
        Misconfigured: It is older than what the statements need.
    """
    if found < OLDEST_SQLITE:
        has, needs = (".".join(map(str, version)) for version in (found, OLDEST_SQLITE))
        fix = f"use a Python that is built with SQLite {needs} or newer"
        msg = f"this Python has SQLite {has}, and the store needs {needs}; {fix}"
        raise _refusal(msg, fix)


def _migrate(
    connection: sqlite3.Connection, path: Path, migrations: Sequence[Sequence[str]]
) -> None:
    if _version(connection) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been first.
        version = _version(connection)
        _refuse_newer(version, len(migrations), path)
        for statement in (one for step in migrations[version:] for one in step):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _refuse_newer(found: int, known: int, path: Path) -> None:
    if found > known:
        fix = "install the newer Callgate again, or name another file as [gate] store"
        msg = f"{path} has store version {found}, and this Callgate knows versions up to {known}; {fix}"
        raise _refusal(msg, fix)


def _refusal(message: str, fix: str) -> Misconfigured:
    return Misconfigured(message, reason=Reason(code="misconfigured", rule="gate.store", fix=fix))
