"""The file under a store: made for one user, on a disk of this machine, and not moved away."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from callgate.errors import Misconfigured, Reason

NETWORK_FILESYSTEMS: Final = frozenset(
    {"afs", "beegfs", "ceph", "cifs", "fuse.ceph-fuse", "fuse.gcsfuse", "fuse.glusterfs"}
    | {"fuse.juicefs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs", "lustre"}
    | {"ncpfs", "nfs", "nfs4", "smb3", "smbfs"}
)
"""Where the locks and the shared memory of a write-ahead log do not hold between machines.

Source: sqlite.org/wal.html: "WAL does not work over a network filesystem."
"""

MOUNTS: Final = Path("/proc/self/mounts")

PARTS: Final = ("", "-wal", "-shm")
"""What SQLite adds to a file's name for its parts: the database, its log, its locks.

Source: sqlite.org/tempfiles.html
"""


def create_file(path: Path, *, mounts: Path = MOUNTS) -> None:
    """Make the file, if it is missing, so that nobody else can read it.

    Args:
        path: The file.
        mounts: The kernel's list of mounts.

    Raises:
        Misconfigured: It cannot be made, or would be on a network filesystem.
    """
    kind = filesystem_of(path, mounts=mounts)
    if kind in NETWORK_FILESYSTEMS:
        fix = "put [gate] store on a local disk"
        msg = f"{path} is on {kind}, where SQLite's locks do not hold; {fix}"
        raise unusable(msg, fix)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Exclusive: a second descriptor of an existing file would drop SQLite's locks on closing.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        fix = "name a file in a folder that this user may write to, as [gate] store"
        msg = f"{path} cannot be made: {error.strerror}; {fix}"
        raise unusable(msg, fix) from error


def filesystem_of(path: Path, *, mounts: Path = MOUNTS) -> str | None:
    """Return the kind of filesystem that ``path`` is on; None where the system does not tell.

    Args:
        path: Any file, which need not exist.
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


class OpenedFile:
    """Remembers an open database's files: SQLite writes on into one that was deleted.

    Args:
        path: The database, once a connection has its log open.
    """

    def __init__(self, path: Path) -> None:
        self._parts = [f"{path}{part}" for part in PARTS]
        self._inodes = self._found()

    def is_there(self) -> bool:
        """Whether the names still lead to the files that were opened."""
        return self._found() == self._inodes

    def _found(self) -> list[tuple[int, int]] | None:
        try:
            return [(stat.st_dev, stat.st_ino) for stat in map(os.stat, self._parts)]
        except OSError:
            return None


def unusable(message: str, fix: str) -> Misconfigured:
    """Return the refusal of a file that cannot hold the store."""
    return Misconfigured(message, reason=Reason(code="misconfigured", rule="gate.store", fix=fix))
