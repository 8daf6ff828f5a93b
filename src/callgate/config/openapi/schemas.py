"""Schemas of an OpenAPI document as a parameter of the settings has them: whole, short and without null."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from callgate.config.openapi.documents import Document, Unusable, listed
from callgate.config.page import Page, as_table
from callgate.config.tool_checks import WORDS

LEFT_OUT: Final = frozenset({"title", "deprecated", "examples", "default"})
"""Words that only cost tokens, or say what a call that leaves something out means anyway."""

LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
BY_NAME: Final = frozenset({"properties", "patternProperties"})
SINGLE: Final = frozenset({"items", "not", "contains", "additionalProperties", "propertyNames"})

DEEPEST: Final = 8
MOST_PARTS: Final = 200
"""Schemas within one: what is larger is an object of anything, and somebody must look."""

LONGEST_TEXT: Final = 200
"""Characters of a description: a model reads it in every request."""


class Schemas:
    """Reads the schemas of one document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._parts = 0

    def read(self, value: object) -> dict[str, Any]:
        """Return a schema with what it refers to in the place of references.

        Raises:
            Unusable: It refers to something that is not there.
        """
        self._parts = 0
        return self._read(value, ())

    def object_of(
        self, value: object, *, depth: int = DEEPEST
    ) -> tuple[Mapping[str, object], Sequence[str]] | None:
        """Return the members of an object and which of them are required; None if it is none.

        What ``allOf`` joins is one object.
        """
        if depth == 0:
            return None
        schema = self._document.resolve(value)
        if "anyOf" in schema or "oneOf" in schema:
            return None
        members, required = dict(as_table(schema.get("properties"))), list(_names(schema))
        for part in listed(schema.get("allOf")):
            inner = self.object_of(part, depth=depth - 1)
            if inner is None:
                return None
            members |= inner[0]
            required += inner[1]
        return (members, required) if members else None

    def is_read_only(self, value: object) -> bool:
        """Whether a member is one that only the server writes."""
        return self._document.resolve(value).get("readOnly") is True

    def _read(self, value: object, above: tuple[str, ...]) -> dict[str, Any]:
        self._parts += 1
        reference = as_table(value).get("$ref")
        if isinstance(reference, str):
            if reference in above:
                return {"type": "object"}
            above = (*above, reference)
        schema = self._document.resolve(value)
        if self._parts > MOST_PARTS or len(above) > DEEPEST:
            return {"type": "object"}
        own = {} if schema is value else {"description": as_table(value).get("description")}
        words = {**schema, **{word: said for word, said in own.items() if said}}
        made = {
            word: self._word(word, said, above)
            for word, said in words.items()
            if word in WORDS and word not in LEFT_OUT
        }
        return _corrected({word: said for word, said in made.items() if said is not None}, schema)

    def _word(self, word: str, said: object, above: tuple[str, ...]) -> object:
        if word == "description":
            return shortened(said) or None
        if word in LISTS:
            return [self._read(one, (*above, "")) for one in listed(said)] or None
        if word in BY_NAME:
            return {
                name: self._read(one, (*above, "")) for name, one in as_table(said).items()
            } or None
        if word in SINGLE and as_table(said):
            return self._read(said, (*above, ""))
        return _without_null(said)


def shortened(text: object) -> str:
    """Return the first sentences of a text, on one line, as far as a model should read them."""
    words = " ".join(str(text or "").split())
    if len(words) <= LONGEST_TEXT:
        return words
    cut = words[: LONGEST_TEXT - 1]
    sentence = cut.rfind(". ")
    return cut[: sentence + 1] if sentence > 0 else cut.rsplit(" ", 1)[0] + "…"


def _corrected(made: dict[str, Any], schema: Page) -> dict[str, Any]:
    """Return a schema of OpenAPI 3.0 as JSON schema has it.

    Source: OpenAPI 3.0.3, "Schema Object" (``nullable``, ``exclusiveMinimum`` as a flag).
    """
    for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        exclusive = made.get(flag)
        if isinstance(exclusive, bool):
            del made[flag]
            if exclusive and bound in made:
                made[flag] = made.pop(bound)
    if schema.get("nullable") is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


def _without_null(said: object) -> object:
    """Return a value that TOML can hold; None where it cannot."""
    if not isinstance(said, list):
        return said
    return [one for one in cast("list[object]", said) if one is not None]


def _names(schema: Page) -> Iterator[str]:
    return (one for one in listed(schema.get("required")) if isinstance(one, str))


__all__ = ["Schemas", "Unusable", "shortened"]
