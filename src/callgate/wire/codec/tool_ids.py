"""Ids of tool calls: every format, and some servers, take only some.

An id that a target refuses is written so that it takes it. Where its alphabet allows, the old id
can be read back from the new one: no state has to be kept for the turn in which it comes back.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

import msgspec

MARK: Final = "cg-"
"""How an id begins that holds another one; an id that begins so by itself is written so too."""

LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Alphabet(msgspec.Struct, frozen=True, kw_only=True):
    """The ids that a target takes."""

    pattern: str
    longest: int
    holds_others: bool = True
    """Whether an id of any text can be written in it and read back."""
    digest_letters: int = 24
    """How long an id is that replaces one that cannot be written."""


ALPHABETS: Final[Mapping[str, Alphabet]] = {
    "anthropic": Alphabet(pattern=r"[a-zA-Z0-9_-]+", longest=200),
    "openai": Alphabet(pattern=r".+", longest=40),
    "openai_responses": Alphabet(pattern=r".+", longest=64),
    "gemini": Alphabet(pattern=r".+", longest=200),
    "bedrock": Alphabet(pattern=r"[a-zA-Z0-9_-]+", longest=64),
    "mistral": Alphabet(pattern=r"[a-zA-Z0-9]{9}", longest=9, holds_others=False, digest_letters=9),
}
"""By family, and by the servers that differ from theirs.

Source: Anthropic's and Mistral's own error texts; OpenAI's for the longest id
("string too long. Expected a string with maximum length 40", 64 for ``call_id``); botocore 1.44,
``ToolUseId``, which also takes dots and colons, though Claude behind it does not.
"""


class ToolIds:
    """Writes the ids of one conversation: the same id always becomes the same, and no two one."""

    __slots__ = ("_alphabet", "_taken", "_written")

    def __init__(self, alphabet: Alphabet) -> None:
        self._alphabet = alphabet
        self._written: dict[str, str] = {}
        self._taken: set[str] = set()

    def write(self, id: str) -> str:
        """Return an id as the target takes it."""
        known = self._written.get(id)
        if known is not None:
            return known
        written = self._choose(id)
        self._written[id] = written
        self._taken.add(written)
        return written

    def _choose(self, id: str) -> str:
        """Return the id itself, else one that holds it, else a digest that is not taken yet."""
        if self._takes(id) and not (self._alphabet.holds_others and id.startswith(MARK)):
            return id
        if self._alphabet.holds_others:
            held = hold(id)
            if self._takes(held):
                return held
        salt = 0
        while True:
            written = _digest(id, salt)[: self._alphabet.digest_letters]
            if written not in self._taken:
                return written
            salt += 1

    def _takes(self, id: str) -> bool:
        return id not in self._taken and _stands(id, self._alphabet)


def hold(id: str) -> str:
    """Return an id of letters, digits, ``-`` and ``_`` that holds any other."""
    return MARK + urlsafe_b64encode(id.encode(errors="surrogatepass")).decode().rstrip("=")


def unhold(id: str, alphabet: Alphabet) -> str:
    """Return the id that one holds, or the id itself if it holds none.

    Only an id that could not have been written as it is has ever been held, so no two ids of a
    conversation become one.
    """
    if not id.startswith(MARK):
        return id
    letters = id.removeprefix(MARK)
    try:
        held = urlsafe_b64decode(letters + "=" * (-len(letters) % 4)).decode()
    except ValueError:
        return id
    could_stand = not held.startswith(MARK) and _stands(held, alphabet)
    return id if could_stand or hold(held) != id else held


def _stands(id: str, alphabet: Alphabet) -> bool:
    return len(id) <= alphabet.longest and _fits(alphabet.pattern)(id) is not None


@lru_cache(maxsize=16)
def _fits(pattern: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(pattern, re.DOTALL).fullmatch


def _digest(id: str, salt: int) -> str:
    """Return letters and digits that stand for an id."""
    digest = hashlib.blake2b(f"{salt}:{id}".encode(errors="surrogatepass"), digest_size=32)
    number = int.from_bytes(digest.digest())
    letters: list[str] = []
    while number:
        number, letter = divmod(number, len(LETTERS))
        letters.append(LETTERS[letter])
    return "".join(letters)


def mint(seed: str, n: int) -> str:
    """Return an id for the n-th call of a reply or conversation that gave it none."""
    return f"call_{_digest(f'{seed}/{n}', 0)[:24]}"
