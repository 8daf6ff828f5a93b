"""Values that fit a JSON schema, for requests that want one and scripts that say nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from callgate.testing.simulator.proto import field
from callgate.testing.simulator.request import is_array, is_integer, is_object

Schema = Mapping[str, object]

DEEPEST: Final = 8
"""Below this, what may be left out is left out, so that a schema of itself ends."""
FORMATS: Final[Mapping[str, str]] = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}
CHOICES: Final = ("anyOf", "oneOf", "allOf")


class MadeUp:
    """Makes up one value.

    Args:
        schema: What it must fit; Gemini's own kind of schema is taken too.
        draw: Random-looking bytes that it follows from.
        words: What texts are made of.
    """

    def __init__(self, schema: Schema, draw: bytes, words: tuple[str, ...]) -> None:
        self._root = schema
        self._draw = draw
        self._words = words
        self._drawn = 0

    def value(self) -> object:
        """Return a value."""
        return self._make(self._root, 0)

    def _next(self, below: int) -> int:
        self._drawn += 1
        return self._draw[self._drawn % len(self._draw)] % below

    def _make(self, schema: Schema, depth: int) -> object:
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if is_array(options := schema.get("enum")) and options:
            return options[self._next(len(options))]
        makers: Mapping[str, Callable[[Schema, int], object]] = {
            "object": self._object,
            "array": self._array,
            "integer": self._number,
            "number": self._number,
            "boolean": lambda _schema, _depth: self._next(2) == 1,
            "null": lambda _schema, _depth: None,
        }
        return makers.get(_kind(schema), self._text)(schema, depth)

    def _resolved(self, schema: Schema) -> Schema:
        """Follow references, and take the first choice that is not null."""
        for _ in range(DEEPEST):
            reference = schema.get("$ref")
            inner = self._find(reference) if isinstance(reference, str) else _choice(schema)
            if inner is None:
                return schema
            schema = inner
        return schema

    def _find(self, reference: str) -> Schema | None:
        found: object = self._root
        for part in reference.removeprefix("#").split("/")[1:]:
            found = found.get(part) if is_object(found) else None
        return found if is_object(found) else None

    def _object(self, schema: Schema, depth: int) -> object:
        properties, required = schema.get("properties"), schema.get("required")
        if not is_object(properties):
            return {}
        names = required if is_array(required) else ([] if depth >= DEEPEST else properties)
        return {
            str(name): self._make(inner, depth + 1)
            for name, inner in properties.items()
            if name in names and is_object(inner)
        }

    def _array(self, schema: Schema, depth: int) -> object:
        items, least = schema.get("items"), _bound(schema, "minItems", 0)
        count = max(least, 0 if depth >= DEEPEST else min(1, _bound(schema, "maxItems", 1)))
        inner: Schema = items if is_object(items) else {}
        return [self._make(inner, depth + 1) for _ in range(count)]

    def _number(self, schema: Schema, depth: int) -> object:
        del depth
        least = _bound(schema, "minimum", _bound(schema, "exclusiveMinimum", -1) + 1)
        return min(least + self._next(10), _bound(schema, "maximum", least + 10))

    def _text(self, schema: Schema, depth: int) -> object:
        del depth
        known = FORMATS.get(str(schema.get("format")))
        if known is not None:
            return known
        text = self._words[self._next(len(self._words))]
        least = _bound(schema, "minLength", 0)
        return text.ljust(least, "x")[: _bound(schema, "maxLength", max(least, len(text)))]


def _kind(schema: Schema) -> str:
    """Return the type of a schema, the first that is not null."""
    kind = schema.get("type")
    if is_array(kind):
        kind = next((one for one in kind if one != "null"), "null")
    if kind is None:
        return "object" if "properties" in schema else "string"
    return str(kind).lower()


def _choice(schema: Schema) -> Schema | None:
    for name in CHOICES:
        options = field(schema, name)
        for option in options if is_array(options) else ():
            if is_object(option) and option.get("type") != "null":
                return option
    return None


def _bound(schema: Schema, name: str, usual: int) -> int:
    """Return a bound; Gemini writes some of them as texts."""
    value = field(schema, name)
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    if isinstance(value, float):
        return int(value)
    return value if is_integer(value) else usual
