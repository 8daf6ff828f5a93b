"""OpenAI embeddings as a provider speaks them."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from typing import Final

import msgspec

from callgate.testing.simulator.formats.format import Event
from callgate.testing.simulator.formats.openai import OpenAIFormat, read_model, refuse_flaws
from callgate.testing.simulator.generation import Generation
from callgate.testing.simulator.request import (
    BYTES_A_TOKEN,
    Asked,
    Problem,
    is_array,
    is_integer,
)
from callgate.testing.simulator.strict import OPENAI_EMBEDDINGS_FIELDS

DIMENSIONS: Final = {"text-embedding-3-large": 3072}
USUAL_DIMENSIONS: Final = 1536
"""Source: the embedding guide; ``text-embedding-3-large`` has 3,072."""
MOST_INPUTS: Final = 2048
ENCODINGS: Final = ("float", "base64")
HASH_BYTES: Final = 64

_encode = msgspec.json.Encoder().encode

Tokens = list[int]


class OpenAIEmbeddings(OpenAIFormat):
    """Source: ``CreateEmbeddingResponse`` of the openai package 3.57.0."""

    name = "openai_embeddings"

    def read(self, body: dict[str, object], asked: Asked, *, strict: bool) -> None:
        """Read a request; see :class:`callgate.testing.simulator.formats.format.Format`."""
        asked.model = read_model(body)
        inputs = _inputs(body)
        if strict:
            refuse_flaws(body, OPENAI_EMBEDDINGS_FIELDS)
        if body.get("encoding_format", "float") not in ENCODINGS:
            shown = "Invalid value for 'encoding_format': expected 'float' or 'base64'."
            raise Problem(400, shown, param="encoding_format", code="invalid_value")
        _dimensions(body, asked.model)
        asked.output_limit = 0
        asked.text = next((text for text in inputs if isinstance(text, str)), "")
        asked.input_bytes = BYTES_A_TOKEN * sum(map(_tokens, inputs))

    def reply(self, asked: Asked, said: Generation) -> bytes:
        """Return a ``list`` of embeddings; the same input has the same one, whoever asks."""
        body = asked.body
        size = _dimensions(body, asked.model)
        packs = body.get("encoding_format") == "base64"
        data = [
            {
                "object": "embedding",
                "index": n,
                "embedding": _packed(vector) if packs else vector,
            }
            for n, vector in enumerate(_vector(asked, given, size) for given in _inputs(body))
        ]
        tokens = said.usage.total_input_tokens
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return _encode({"object": "list", "data": data, "model": asked.model, "usage": usage})

    def events(self, asked: Asked, said: Generation) -> list[Event]:
        """Return the reply in one piece: embeddings do not stream."""
        return [Event(self.reply(asked, said))]

    def reply_id(self, asked: Asked) -> str:
        """Return the request's id: a list of embeddings has none of its own."""
        return f"req_{asked.draw('request').hex()}"


def _inputs(body: dict[str, object]) -> list[str | Tokens]:
    """Return every text, or list of tokens, that is to be embedded.

    Raises:
        Problem: There is none, too many of them, or something else.
    """
    given = body.get("input")
    if given is None:
        shown = "Missing required parameter: 'input'."
        raise Problem(400, shown, param="input", code="missing_required_parameter")
    tokens = _token_list(given)
    if isinstance(given, str) or tokens is not None:
        inputs = [given if isinstance(given, str) else tokens or []]
    else:
        inputs = [_input(one) for one in given] if is_array(given) else []
    if not 0 < len(inputs) <= MOST_INPUTS or not all(inputs):
        raise Problem(400, "'$.input' is invalid. Please check the API reference.", param="input")
    return inputs


def _input(value: object) -> str | Tokens:
    if isinstance(value, str):
        return value
    return _token_list(value) or []


def _token_list(value: object) -> Tokens | None:
    if not is_array(value) or not value:
        return None
    tokens = [token for token in value if is_integer(token)]
    return tokens if len(tokens) == len(value) else None


def _tokens(given: str | Tokens) -> int:
    if isinstance(given, str):
        return max(1, -(-len(given.encode("utf-8", "surrogatepass")) // BYTES_A_TOKEN))
    return len(given)


def _dimensions(body: dict[str, object], model: str) -> int:
    most = DIMENSIONS.get(model, USUAL_DIMENSIONS)
    wanted = body.get("dimensions")
    if wanted is None:
        return most
    if not is_integer(wanted) or not 1 <= wanted <= most:
        shown = f"Invalid value for 'dimensions': expected an integer from 1 to {most}."
        raise Problem(400, shown, param="dimensions", code="invalid_value")
    return wanted


def _vector(asked: Asked, given: str | Tokens, size: int) -> list[float]:
    """Return a vector of length 1 that follows from the seed, the model and the input."""
    head = _encode([asked.model, given])
    raw = b"".join(
        hashlib.blake2b(head + n.to_bytes(4, "big"), key=asked.seed, digest_size=64).digest()
        for n in range(-(-size * 4 // HASH_BYTES))
    )
    numbers = struct.unpack(f"<{size}i", raw[: size * 4])
    length = math.sqrt(sum(number * number for number in numbers)) or 1.0
    packed = struct.pack(f"<{size}f", *(number / length for number in numbers))
    return list(struct.unpack(f"<{size}f", packed))


def _packed(vector: list[float]) -> str:
    """Return a vector as little-endian floats of 32 bits in base64, as the SDK reads them."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
