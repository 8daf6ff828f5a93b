"""The vocabularies of OpenAI's tokenizers, as a package ships them, in a folder as tiktoken's own."""

from __future__ import annotations

import gzip
from importlib.metadata import files
from pathlib import Path

from callgate.pricing.counting import Vocabulary


def put(vocabulary: Vocabulary, folder: Path) -> Path:
    """Write a vocabulary where tiktoken would; return the file."""
    name = f"{vocabulary.name}.tiktoken.gz"
    (packed,) = (file for file in files("bpe-openai") or () if file.name == name)
    path = folder / vocabulary.file
    path.write_bytes(gzip.decompress(Path(str(packed.locate())).read_bytes()))
    return path
