"""Counting the tokens of an input, where a task type takes a count instead of a proven bound."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from tiktoken import Encoding

MARGIN_PERCENT: Final = 5
"""By how much what is billed may be above what was counted.

Source: Anthropic's guide "Token counting" ("may differ by a small amount"); OpenAI's guide of the
same name says that tiktoken leaves out what a model's template adds, which is added here.
"""

LONGEST_CHARACTERS: Final = 8_000_000
"""A longer text is more than any model takes, and would keep a processor busy for seconds."""

PIECE_CHARACTERS: Final = 16_384
"""How much is tokenized at once; each cut adds a token or two.

Source: measured with tiktoken 0.14: a million spaces in one text overflow its stack, and a long run
of one character takes three times as long as its pieces.
"""

FOLDER: Final = "TIKTOKEN_CACHE_DIR"
"""The variable by which tiktoken itself finds its vocabularies."""

INSTALL: Final = "pip install 'callgate[tokenizers]'"


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """What an input was counted to have."""

    tokens: int
    by: str
    """Who counted: ``anthropic``, ``o200k_base``."""
    beside_tokens: int = 0
    """The most of what the count does not cover, such as a template."""

    @property
    def bound_tokens(self) -> int:
        """What is held for it."""
        return -(-self.tokens * (100 + MARGIN_PERCENT) // 100) + self.beside_tokens


class Uncounted(msgspec.Struct, frozen=True):
    """Nobody could count an input."""

    why: str


class Vocabulary(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a tokenizer of OpenAI."""

    name: str
    file: str
    """The name under which tiktoken keeps it."""
    sha256: str
    pattern: str
    """How a text is cut before its parts become tokens."""


O200K: Final = Vocabulary(
    name="o200k_base",
    file="fb374d419588a4632f3f557e76b4b70aebbca790",
    sha256="446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    pattern=r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
)
CL100K: Final = Vocabulary(
    name="cl100k_base",
    file="9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
    sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    pattern=r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
)
"""Source: tiktoken 0.14, ``tiktoken_ext/openai_public.py``."""

VOCABULARIES: Final[Mapping[str, Vocabulary]] = {
    "o200k_base": O200K,
    # The same words; what it has besides stands in no text.
    "o200k_harmony": O200K,
    "cl100k_base": CL100K,
}
"""By the name that tiktoken gives the encoding of a model."""


class Tokenizers:
    """The tokenizers that are on this machine; nothing is ever downloaded.

    Args:
        folder: Where vocabularies are, under the names that tiktoken gives them.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.flaw = self._find_flaw()
        """What keeps every text from being counted; None if nothing does."""

    def find(self, model: str) -> Vocabulary | Uncounted:
        """Return the vocabulary of a model of OpenAI, if there is one and it is here."""
        if self.flaw is not None:
            return Uncounted(self.flaw)
        vocabulary = VOCABULARIES.get(_encoding_name(model) or "")
        if vocabulary is None:
            return Uncounted(f"tiktoken knows no tokenizer of {model}")
        flaw = self._flaw_of(vocabulary)
        return vocabulary if flaw is None else Uncounted(flaw)

    def count(self, text: str, vocabulary: Vocabulary) -> int | Uncounted:
        """Return the tokens of a text; it takes a quarter of a second for a million characters.

        Args:
            text: Without half of a surrogate pair.
            vocabulary: One that :meth:`find` returned.
        """
        if len(text) > LONGEST_CHARACTERS:
            return Uncounted(f"it has more than {LONGEST_CHARACTERS:,} characters")
        assert self._folder is not None  # noqa: S101 (what find() returns is in it)
        encoding = _load(self._folder / vocabulary.file, vocabulary)
        pieces = range(0, len(text), PIECE_CHARACTERS)
        return sum(len(encoding.encode_ordinary(text[at : at + PIECE_CHARACTERS])) for at in pieces)

    def _find_flaw(self) -> str | None:
        if find_spec("tiktoken") is None:
            return f"tiktoken is not installed; {INSTALL}"
        flaws = [self._flaw_of(vocabulary) for vocabulary in (O200K, CL100K)]
        return flaws[0] if all(flaws) else None

    def _flaw_of(self, vocabulary: Vocabulary) -> str | None:
        fix = (
            f'put it there by {FOLDER}=FOLDER python -c "import tiktoken; tiktoken.get_encoding'
            f"('{vocabulary.name}')\" where the internet can be reached"
        )
        if self._folder is None:
            return f"{FOLDER} is not set, the folder with the vocabulary {vocabulary.name}; {fix}"
        path = self._folder / vocabulary.file
        if not path.is_file():
            return f"the vocabulary {vocabulary.name} is not at {path}; {fix}"
        if _sha256(path) != vocabulary.sha256:
            return f"{path} is not the vocabulary {vocabulary.name}; {fix}"
        return None


def _encoding_name(model: str) -> str | None:
    import tiktoken  # noqa: PLC0415 (an extra, and only who counts needs it)

    try:
        return tiktoken.encoding_name_for_model(model)
    except KeyError:
        return None


@cache
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def _load(path: Path, vocabulary: Vocabulary) -> Encoding:
    """Read a vocabulary: tiktoken's own reader would download what it does not find."""
    import tiktoken  # noqa: PLC0415 (as above)

    return tiktoken.Encoding(
        vocabulary.name,
        pat_str=vocabulary.pattern,
        mergeable_ranks=dict(_ranks(path.read_bytes().splitlines())),
        special_tokens={},
    )


def _ranks(lines: Iterable[bytes]) -> Iterable[tuple[bytes, int]]:
    for line in lines:
        token, _, rank = line.partition(b" ")
        yield base64.b64decode(token), int(rank)
