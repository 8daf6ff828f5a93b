"""What can happen to a file: another process locks it, its disk is full, its owner may not write."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

LOCK = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    other.execute(statement).fetchall()
print("locked", flush=True)
sys.stdin.read()
"""

FOR_WRITING = ("BEGIN IMMEDIATE",)
FOR_ITSELF = ("PRAGMA locking_mode = EXCLUSIVE", "BEGIN IMMEDIATE", "COMMIT")


@contextmanager
def locked(path: Path, statements: tuple[str, ...] = FOR_WRITING) -> Generator[None]:
    """Have another process lock the file."""
    command = [sys.executable, "-c", LOCK, str(path), *statements]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield
        assert process.stdin is not None
        process.stdin.close()


class SmallDisk:
    """A disk of its own, and a file that fills it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Take all the space that is left."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (65_536, 4_096, 1):
                while self._wrote(file.fileno(), size):
                    pass

    def free(self) -> None:
        """Give it back."""
        self._ballast.unlink()

    @staticmethod
    def _wrote(descriptor: int, size: int) -> bool:
        try:
            return os.write(descriptor, bytes(size)) == size
        except OSError:
            return False


@contextmanager
def small_disk(folder: Path, *, size: str = "4m") -> Generator[SmallDisk]:
    """Mount a small disk; skip the test where that is not allowed."""
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield SmallDisk(folder)
    finally:
        _unmount(folder)


@contextmanager
def read_only(path: Path) -> Generator[None]:
    """Let nobody write to a file or a folder; permissions hold everybody but root."""
    if os.geteuid() == 0:
        _mount("--bind", str(path), str(path))
        try:
            _mount("-o", "remount,bind,ro", str(path))
            yield
        finally:
            _unmount(path)
    else:
        mode = path.stat().st_mode
        path.chmod(mode & ~0o222)
        try:
            yield
        finally:
            path.chmod(mode)


def _mount(*arguments: str) -> None:
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    if subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a disk")


def _unmount(place: Path) -> None:
    subprocess.run(["umount", "-l", str(place)], check=True)
