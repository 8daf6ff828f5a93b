"""Where each key of a TOML file stands; the standard library's parser does not tell."""

from __future__ import annotations

import re
import tomllib
from typing import Final

Path = tuple[str | int, ...]

HEADER: Final = re.compile(r"\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(?:#.*)?$")
KEY_PART: Final = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)\s*(\.?)""")


class Lines:
    """The line of every key of a file, as far as lines begin with them.

    A key inside an inline table or a list has the line of the setting that holds it.
    """

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        self._table: Path = ()
        self._counts: dict[Path, int] = {}
        pending: list[str] = []
        for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
            # A value may go on for several lines; it has ended when the parser accepts it.
            if pending:
                pending.append(line)
                if _is_whole("\n".join(pending)):
                    pending = []
                continue
            self._read(line, number)
            if not _is_whole(line):
                pending = [line]

    def of(self, path: Path) -> int | None:
        """Return the line of a key, or of the nearest thing around it."""
        for length in range(len(path), 0, -1):
            line = self._lines.get(path[:length])
            if line is not None:
                return line
        return None

    def _read(self, line: str, number: int) -> None:
        header = HEADER.match(line)
        if header is not None:
            keys = _keys(header[2])
            self._table = self._entered(keys, repeated=header[1] == "[[")
            self._note(self._table, number)
            return
        if "=" in line and not line.lstrip().startswith("#"):
            keys = _keys(line)
            if keys:
                self._note((*self._table, *keys), number)

    def _entered(self, keys: Path, *, repeated: bool) -> Path:
        if not repeated:
            return keys
        n = self._counts.get(keys, -1) + 1
        self._counts[keys] = n
        return (*keys, n)

    def _note(self, path: Path, number: int) -> None:
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], number)


def _keys(text: str) -> Path:
    """Return the keys of ``a."b.c".d = …``."""
    keys: list[str] = []
    at, more = 0, True
    while more and (part := KEY_PART.match(text, at)) is not None:
        raw = part[1]
        keys.append(tomllib.loads(f"k = {raw}")["k"] if raw[0] in "\"'" else raw)
        at, more = part.end(), part[2] == "."
    return tuple(keys)


def _is_whole(line: str) -> bool:
    """Whether a line, or several, are TOML by themselves."""
    try:
        tomllib.loads(line)
    except tomllib.TOMLDecodeError as error:
        # Anything but a value that goes on is a mistake of this line alone.
        return not any(
            hint in str(error)
            for hint in (
                "Unterminated",
                "Unclosed",
                "end of document",
                "Expected \"'''\"",
                'Expected "',
            )
        )
    return True
