"""Callers: whose key opens the door, and how many came with none that does."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from callgate.call import Caller
from callgate.clock import Clock
from callgate.config.policies import Settings
from callgate.errors import Misconfigured, Reason, Unauthenticated
from callgate.keys import PREFIX, digest
from callgate.secrets import Secrets
from callgate.store import Key, Store

STRANGERS_PER_LINE_SECONDS = 10.0
"""At most one log line about unknown callers in this time; the rest is counted."""

log = logging.getLogger("callgate")


class Callers:
    """Knows who holds a key; strangers are counted, as each would be a row that anybody can write.

    Args:
        store: Where keys are.
        clock: What time it is.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.strangers = 0
        """How many were turned away because nobody knows them."""
        self._told_at = float("-inf")

    def known(self, key: str | None, agents: Mapping[bytes, str]) -> Caller:
        """Return who holds a key.

        Args:
            key: As it came; None for none.
            agents: Those whose key the settings refer to, by its SHA-256.

        Raises:
            Unauthenticated: No key, or one that is unknown, expired or revoked.
        """
        try:
            return self._find(key, agents)
        except Unauthenticated as stranger:
            self._note(stranger)
            raise

    def _find(self, key: str | None, agents: Mapping[bytes, str]) -> Caller:
        if not key:
            msg = "no key: send a Callgate key as 'Authorization: Bearer cg_…' or 'x-api-key: cg_…'"
            raise Unauthenticated(msg, reason=_reason("callgate keys create AGENT makes one"))
        hashed = digest(key)
        agent = agents.get(hashed)
        if agent is not None:
            return Caller(agent=agent)
        row = self._store.find_key(hashed) if key.startswith(PREFIX) else None
        flaw = _flaw(key, row, self._clock.now())
        if row is None or flaw is not None:
            msg, fix = flaw or ("this key is unknown", "callgate keys create AGENT makes one")
            raise Unauthenticated(msg, reason=_reason(fix))
        return Caller(agent=row.agent, key_id=row.id, task_id=row.task_id)

    def _note(self, stranger: Unauthenticated) -> None:
        self.strangers += 1
        now = self._clock.monotonic()
        if now - self._told_at >= STRANGERS_PER_LINE_SECONDS:
            self._told_at = now
            log.warning("turned away a caller (%d so far): %s", self.strangers, stranger.message)


def agent_keys(settings: Settings, secrets: Secrets) -> Mapping[bytes, str]:
    """Return the agents whose key the settings refer to, by the SHA-256 of the key."""
    keys: dict[bytes, str] = {}
    for agent in settings.agents.values():
        if agent.key is None:
            continue
        try:
            keys[digest(secrets.resolve(agent.key).reveal())] = agent.name
        except Misconfigured as missing:
            log.warning("the agent %r cannot use its key: %s", agent.name, missing)
    return keys


def _flaw(key: str, row: Key | None, now: float) -> tuple[str, str] | None:
    """Return why a key does not open the door, and what to do; None if it does."""
    if not key.startswith(PREFIX):
        return (
            "this is not a key of this gate; an agent never holds a provider's own key here",
            "callgate keys create AGENT makes one",
        )
    if row is None:
        return ("this key is unknown to this gate's store", "callgate keys list shows all keys")
    if row.revoked_at is not None:
        return ("this key has been revoked", f"callgate keys create {row.agent} makes a new one")
    if row.expires_at is not None and row.expires_at <= now:
        return ("this key has expired", f"callgate keys create {row.agent} makes a new one")
    return None


def _reason(fix: str) -> Reason:
    return Reason(code=Unauthenticated.code, fix=fix)
