"""Credentials in files, such as a container platform mounts them."""

from __future__ import annotations

import stat
from pathlib import Path

from callgate.errors import Misconfigured


class FileBackend:
    """Reads a file again when it has changed, so that a rotation needs no restart."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._read: dict[str, tuple[tuple[int, int, int], str]] = {}

    def resolve(self, name: str, /) -> str:
        """Return what a file holds, without the space around it."""
        path = self._base / name
        try:
            found = path.stat()
            mark = (found.st_mtime_ns, found.st_ino, found.st_size)
            known = self._read.get(name)
            if known is not None and known[0] == mark:
                return known[1]
            if stat.S_IMODE(found.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
                msg = f"the secret file {path} can be read by others; run: chmod 600 {path}"
                raise Misconfigured(msg)
            value = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            msg = f"the secret file {path} cannot be read ({error}); make it, or change the key in callgate.toml"
            raise Misconfigured(msg) from error
        if not value:
            msg = f"the secret file {path} is empty"
            raise Misconfigured(msg)
        self._read[name] = (mark, value)
        return value
