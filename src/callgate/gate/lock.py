"""The lock file: what the tools of others are, committed with the settings; nothing else is accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from callgate.config.policies import Settings
from callgate.errors import Misconfigured
from callgate.store import Definition
from callgate.tools.definitions import canonical, digest_of, digest_of_all

LOCK_NAME: Final = "callgate.tools.lock"
"""It stands beside the settings file."""

VERSION: Final = 1


class LockedTool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tool."""

    digest: str
    definition: Any
    """What it says it is, without what its surroundings change: for those who review the file."""


class LockedToolset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All tools of a toolset."""

    digest: str
    """Of the whole list: none is added, and none is renamed, unseen."""
    tools: dict[str, LockedTool]


class Lock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    version: int
    toolsets: dict[str, LockedToolset]

    def definitions(self, toolset: str) -> Sequence[Definition]:
        """Return what is accepted of a toolset."""
        locked = self.toolsets.get(toolset)
        return () if locked is None else _definitions(toolset, locked)


def lock_of(lists: Mapping[str, Mapping[str, str]]) -> Lock:
    """Return a lock of what some toolsets list.

    Args:
        lists: By toolset and tool: what it says it is, without what its surroundings change.
    """
    return Lock(
        version=VERSION,
        toolsets={name: _locked(tools) for name, tools in sorted(lists.items())},
    )


def written(lock: Lock) -> str:
    """Return a lock as its file has it: the same lock always has the same bytes."""
    return msgspec.json.format(canonical(lock), indent=2).decode() + "\n"


def lock_beside(settings: Settings) -> Lock | None:
    """Return what the lock file beside a settings file says; None if there is none."""
    return None if settings.path is None else read_lock(settings.path.with_name(LOCK_NAME))


def read_lock(path: Path) -> Lock | None:
    """Return what a lock file says; None if there is none.

    Raises:
        Misconfigured: It cannot be read, or its digests are not those of what it says.
    """
    try:
        lock = msgspec.json.decode(path.read_bytes(), type=Lock)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unusable(path, str(error)) from error
    if lock.version != VERSION:
        raise _unusable(path, f"it is of version {lock.version}, and this Callgate knows {VERSION}")
    for name, locked in lock.toolsets.items():
        if locked.digest != digest_of_all(_definitions(name, locked)):
            raise _unusable(path, f"the digest of {name} is not that of its tools")
        for tool, each in locked.tools.items():
            if each.digest != digest_of(canonical(each.definition).decode()):
                raise _unusable(path, f"the digest of {name}.{tool} is not that of its definition")
    return lock


def _locked(tools: Mapping[str, str]) -> LockedToolset:
    locked = {
        name: LockedTool(digest=digest_of(text), definition=msgspec.json.decode(text))
        for name, text in tools.items()
    }
    return LockedToolset(
        digest=digest_of("\n".join(sorted(each.digest for each in locked.values()))), tools=locked
    )


def _definitions(toolset: str, locked: LockedToolset) -> Sequence[Definition]:
    return [
        Definition(
            tool=name,
            name=f"{toolset}.{name}",
            text=canonical(each.definition).decode(),
            digest=each.digest,
            effect="destructive",
            cost=None,
        )
        for name, each in locked.tools.items()
    ]


def _unusable(path: Path, why: str) -> Misconfigured:
    fix = "restore it, or delete it and let callgate tools lock write it anew"
    return Misconfigured(f"{path} cannot be used: {why}; {fix}")
