"""Credentials in files, such as a container platform mounts them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from callgate.errors import Misconfigured

LARGEST_BYTES: Final = 64 * 1024
"""More than any key takes; it catches the wrong file, and one without an end."""

WRITABLE: Final = stat.S_IWGRP | stat.S_IWOTH
READABLE: Final = stat.S_IRGRP | stat.S_IROTH


class FileBackend:
    """Reads a file again when it has changed, so that a rotation needs no restart."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._read: dict[str, tuple[tuple[int, int, int], str]] = {}

    def resolve(self, name: str, /) -> str:
        """Return what a file holds."""
        path = self._base / name
        try:
            found = path.stat()
            mark = (found.st_mtime_ns, found.st_ino, found.st_size)
            known = self._read.get(name)
            if known is not None and known[0] == mark:
                return known[1]
            _check(path, found)
            value = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            # What was found may be the key: it is not shown, nor kept as a cause.
            raise _unusable(path, "is not text in UTF-8") from None
        except (OSError, ValueError) as error:
            raise _unusable(path, f"cannot be read ({error})") from error
        self._read[name] = (mark, value)
        return value


def _check(path: Path, found: os.stat_result) -> None:
    """Refuse what is no file for a key, and one that others may use.

    On a read-only mount nobody here can change a file's mode, and elsewhere only its owner can:
    container platforms mount secrets so that everybody in the container may read them.
    """
    if not stat.S_ISREG(found.st_mode):
        raise _unusable(path, "is no regular file")
    if found.st_size > LARGEST_BYTES:
        raise _unusable(path, f"is too large for a key ({found.st_size:,} bytes)")
    is_ours = found.st_uid == os.geteuid() and not os.statvfs(path).f_flag & os.ST_RDONLY
    if found.st_mode & WRITABLE or (is_ours and found.st_mode & READABLE):
        done = "written" if found.st_mode & WRITABLE else "read"
        msg = f"the secret file {path} can be {done} by others; run: chmod 600 {path}"
        raise Misconfigured(msg)


def _unusable(path: Path, why: str) -> Misconfigured:
    msg = f"the secret file {path} {why}; write the key into it, or change the key in callgate.toml"
    return Misconfigured(msg)
