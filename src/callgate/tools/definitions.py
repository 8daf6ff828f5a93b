"""What a tool says it is, in a form that is the same wherever it says the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from callgate.call import Tool
from callgate.store.pins import Definition

TIME_ZONE: Final = re.compile(
    r"\b(?:(?:Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific|Etc)"
    r"/[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*|UTC|GMT)\b"
)
"""A name of a time zone: some servers tell that of the machine that they run on.

Source: the naming of the IANA time zone database.
"""

ANY_ZONE: Final = "{time zone}"

SHORTEST_VALUE: Final = 8
"""Characters of a value of an environment: a shorter one may stand anywhere by chance."""


def canonical(value: object) -> bytes:
    """Return the one form of a JSON value in which the same value always has the same bytes.

    Names of an object are sorted, and nothing stands between the tokens, as RFC 8785 has it; a
    number is written as it was told, ``1`` or ``1.0``.
    """
    return msgspec.json.encode(value, order="sorted")


def definition_of(tool: Tool, surroundings: Mapping[str, str]) -> Definition:
    """Return what a tool says it is.

    Args:
        tool: As its toolset offers it.
        surroundings: What its source was given and may repeat, by name: where that differs, the
            digest is the same.
    """
    text = canonical({
        "name": tool.remote_name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": tool.input_schema,
        "outputSchema": tool.output_schema,
        "annotations": tool.hints,
    }).decode()  # fmt: skip
    return Definition(
        tool=tool.remote_name,
        name=tool.name,
        text=text,
        digest=digest_of(lasting(text, surroundings)),
        effect=tool.effect,
        cost=tool.cost,
    )


def digest_of(text: str) -> str:
    """Return the SHA-256 of what a tool says it is, as hexadecimal digits."""
    return sha256(text.encode()).hexdigest()


def digest_of_all(definitions: Sequence[Definition]) -> str:
    """Return one digest of a whole list, in whatever order it came."""
    return digest_of("\n".join(sorted(each.digest for each in definitions)))


def lasting(text: str, surroundings: Mapping[str, str]) -> str:
    """Return a text with names in the place of all that its surroundings change."""
    text = _zoneless(text)
    for name, value in sorted(surroundings.items(), key=lambda each: -len(each[1])):
        quoted = _zoneless(msgspec.json.encode(value).decode()[1:-1])
        if len(value) >= SHORTEST_VALUE and quoted != ANY_ZONE:
            text = text.replace(quoted, f"{{{name}}}")
    return text


def _zoneless(text: str) -> str:
    return TIME_ZONE.sub(ANY_ZONE, text)
