"""Replies that later requests refer to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

MOST_KEPT: Final = 10_000
"""Older replies are forgotten, so that a long load does not fill the memory."""


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """What was said up to some point."""

    text_bytes: int = 0
    """All of its text, without instructions and tool definitions."""
    calls: frozenset[str] = frozenset()
    """The ids of all its tool calls."""
    open_calls: tuple[str, ...] = ()
    """Those that wait for a result."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One reply that was stored."""

    make: Callable[[], bytes]
    """Makes the reply again."""
    conversation: Conversation
    """What had been said at its end."""
    input_items: Sequence[object] = ()
    """What the request brought."""
    item_ids: frozenset[str] = frozenset()
    """What it is made of."""


class Memory:
    """What was stored, by key: nobody finds what another key stored."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str | None, str], Kept] = {}

    def keep(self, key: str | None, name: str, kept: Kept) -> None:
        """Store a reply of ``key`` under its id."""
        self._kept[key, name] = kept
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]

    def find(self, key: str | None, name: str) -> Kept | None:
        """Return what ``key`` stored under this id."""
        return self._kept.get((key, name))

    def has_item(self, key: str | None, item_id: str) -> bool:
        """Say whether a reply that ``key`` stored has an item with this id."""
        return any(who == key and item_id in kept.item_ids for (who, _), kept in self._kept.items())

    def forget(self, key: str | None, name: str) -> bool:
        """Delete a reply; say whether there was one."""
        return self._kept.pop((key, name), None) is not None
