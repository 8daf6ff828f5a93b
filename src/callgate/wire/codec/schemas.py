"""JSON schemas: what each provider takes of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

import msgspec

from callgate.wire.codec.losses import Losses
from callgate.wire.document import decoded
from callgate.wire.replies import member

EMPTY: Final = msgspec.Raw(b'{"type":"object","properties":{}}')
"""The schema of no arguments."""


class GeminiSchema(
    msgspec.Struct, forbid_unknown_fields=True, rename="camel", frozen=True, kw_only=True, gc=False
):
    """A schema that Gemini takes as it is; one keyword more and it refuses the whole request.

    Source: Gemini's API reference, ``GenerationConfig.responseJsonSchema``.
    """

    anchor: str = msgspec.field(name="$anchor", default="")
    defs: dict[str, GeminiSchema] | None = msgspec.field(name="$defs", default=None)
    id: str = msgspec.field(name="$id", default="")
    ref: str = msgspec.field(name="$ref", default="")
    additional_properties: GeminiSchema | bool = True
    any_of: list[GeminiSchema] | None = None
    description: str = ""
    enum: list[Any] | None = None
    format: str = ""
    items: GeminiSchema | list[GeminiSchema] | bool = True
    max_items: int | float = 0
    maximum: int | float = 0
    min_items: int | float = 0
    minimum: int | float = 0
    one_of: list[GeminiSchema] | None = None
    prefix_items: list[GeminiSchema] | None = None
    properties: dict[str, GeminiSchema] | None = None
    property_ordering: list[str] | None = None
    required: list[str] | None = None
    title: str = ""
    type: str | list[str] = ""


GEMINI_KEYWORDS: Final = frozenset(GeminiSchema.__struct_encode_fields__)
_GEMINI: Final = msgspec.json.Decoder(GeminiSchema)

SILENT_KEYWORDS: Final = frozenset({"$schema", "$comment", "$vocabulary", "examples", "example"})
"""Keywords that allow and forbid nothing."""

COUNTS: Final = frozenset({
    "maxItems", "minItems", "maxLength", "minLength", "maxProperties", "minProperties",
})  # fmt: skip
"""Keywords whose value is a 64-bit number, which Gemini writes as a text."""

SCHEMAS_BY_NAME: Final = frozenset({"properties", "$defs", "definitions", "patternProperties"})
"""Keywords whose value holds schemas under names of the author's own."""


def note_strict(
    schema: msgspec.Raw | None, strict: bool | None, where: str, losses: Losses
) -> bool | None:
    """Return whether OpenAI can hold a model to a schema exactly, and note where it cannot.

    Source: OpenAI's guide to structured outputs: every object must name all of its properties as
    required and forbid others.
    """
    if not strict or schema is None or all(_is_closed(each) for each in _objects(schema)):
        return strict
    why = "the target is exact only where every object requires all properties and allows no other"
    losses.add("strict", where, what="strict", why=why)
    return None


def _is_closed(schema: dict[str, Any]) -> bool:
    properties, required = member(schema, "properties"), schema.get("required")
    named = cast("list[object]", required) if isinstance(required, list) else []
    return schema.get("additionalProperties") is False and properties.keys() <= set(named)


def _objects(schema: msgspec.Raw) -> Iterator[dict[str, Any]]:
    """Yield every schema of an object in a schema."""
    waiting: list[object] = [decoded("a schema", schema)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            page = cast("dict[str, Any]", value)
            if page.get("type") == "object" or isinstance(page.get("properties"), dict):
                yield page
            waiting += page.values()
        elif isinstance(value, list):
            waiting += cast("list[object]", value)


def for_gemini(schema: msgspec.Raw, where: str, losses: Losses) -> msgspec.Raw:
    """Return a schema without the keywords that Gemini refuses, each noted; it may be as it is."""
    try:
        _GEMINI.decode(schema)
    except msgspec.ValidationError:
        return msgspec.Raw(
            msgspec.json.encode(_cleaned(decoded("a schema", schema), where, losses))
        )
    return schema


def _cleaned(value: Any, where: str, losses: Losses) -> Any:
    """Return a schema, or a list of them, as Gemini takes it."""
    if isinstance(value, list):
        listed = cast("list[object]", value)
        return [_cleaned(each, f"{where}[{n}]", losses) for n, each in enumerate(listed)]
    if not isinstance(value, dict):
        return value
    kept: dict[str, Any] = {}
    for key, inner in cast("dict[str, Any]", value).items():
        place = f"{where}.{key}"
        if key == "const":
            kept["enum"] = [inner]
        elif key in SCHEMAS_BY_NAME and key in GEMINI_KEYWORDS and isinstance(inner, dict):
            named = cast("dict[str, Any]", inner)
            kept[key] = {
                name: _cleaned(each, f"{place}.{name}", losses) for name, each in named.items()
            }
        elif key in {"enum", "required", "propertyOrdering", "type"}:
            kept[key] = inner
        elif key in GEMINI_KEYWORDS:
            kept[key] = _cleaned(inner, place, losses)
        else:
            _note(key, place, losses)
    return kept


def _note(key: str, where: str, losses: Losses) -> None:
    name = "label" if key in SILENT_KEYWORDS else "schema"
    losses.add(name, where, what=key, why="Gemini refuses the whole request for this keyword")


def from_gemini(schema: msgspec.Raw) -> msgspec.Raw:
    """Return a JSON schema of one in Gemini's older dialect, which is that of OpenAPI.

    Source: Gemini's API reference, ``Schema``: types in capitals, ``nullable``, numbers as texts.
    """
    return msgspec.Raw(msgspec.json.encode(_translated(decoded("a schema", schema))))


def _translated(value: Any) -> Any:
    if isinstance(value, list):
        return [_translated(each) for each in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    page = cast("dict[str, Any]", value)
    return {
        key: _keyword(key, inner, is_nullable=bool(page.get("nullable")))
        for key, inner in page.items()
        if key not in {"nullable", "propertyOrdering"}
    }


def _keyword(key: str, value: Any, *, is_nullable: bool) -> Any:
    """Return the value of a keyword as JSON schema has it."""
    if key == "properties":
        named = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        return {name: _translated(each) for name, each in named.items()}
    if key in {"items", "anyOf"}:
        return _translated(value)
    if key == "type" and isinstance(value, str):
        return [value.lower(), "null"] if is_nullable else value.lower()
    is_count = key in COUNTS and isinstance(value, str) and value.isdecimal()
    return int(value) if is_count else value
