"""The table of actions; :mod:`callgate.store.schema` tells when a store gets it."""

from __future__ import annotations

from typing import Final

ACTION_TABLES: Final = (
    # What tools do that is to be done once: `digest` names it, and `n` counts how often it was
    # asked for on purpose. `exact` tells all its arguments apart, `alerted` whether somebody was
    # told that nobody knows what became of it.
    """
    CREATE TABLE actions (
        digest BLOB NOT NULL,
        n INTEGER NOT NULL,
        id TEXT NOT NULL UNIQUE,
        scope TEXT NOT NULL,
        tool TEXT NOT NULL,
        task_id TEXT NOT NULL,
        agent TEXT NOT NULL,
        "user" TEXT,
        exact BLOB NOT NULL,
        arguments TEXT,
        lookup TEXT,
        idempotency_key TEXT NOT NULL,
        state TEXT NOT NULL,
        result BLOB,
        call_id TEXT NOT NULL,
        attempt_id TEXT NOT NULL UNIQUE,
        attempts INTEGER NOT NULL,
        since INTEGER NOT NULL,
        sent_at INTEGER NOT NULL,
        ended_at INTEGER,
        decided_by TEXT,
        note TEXT,
        alerted INTEGER NOT NULL,
        PRIMARY KEY (digest, n)
    )
    """,
    "CREATE INDEX actions_by_task ON actions (task_id)",
    "CREATE INDEX actions_by_time ON actions (since)",
    "CREATE INDEX actions_unknown ON actions (call_id) WHERE state = 'unknown'",
    """
    CREATE INDEX actions_kept ON actions (ended_at)
    WHERE arguments IS NOT NULL AND ended_at IS NOT NULL
    """,
)
