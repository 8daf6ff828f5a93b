"""JSON schemas, as each provider takes them."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from callgate.wire.codec.losses import Losses
from callgate.wire.codec.schemas import for_gemini, from_gemini, note_strict


def raw(schema: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(schema).encode())


def cleaned(schema: dict[str, Any]) -> tuple[Any, list[tuple[str, str]]]:
    losses = Losses()
    kept = for_gemini(raw(schema), "$", losses)
    return json.loads(bytes(kept)), [(loss.name, loss.where) for loss in losses]


def test_what_gemini_takes_stays() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
        "required": ["a"],
        "additionalProperties": False,
        "$defs": {"x": {"type": "integer", "minimum": 1}},
    }
    assert cleaned(schema) == (schema, [])
    assert for_gemini(raw(schema), "$", Losses()) == raw(schema)


def test_what_gemini_refuses_is_taken_out_and_noted_with_its_place() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "x+"}}}
    kept, lost = cleaned({"$schema": "s", **schema})
    assert kept == {"type": "object", "properties": {"a": {"type": "string"}}}
    assert lost == [("label", "$.$schema"), ("schema", "$.properties.a.pattern")]


def test_a_property_may_be_called_like_a_keyword() -> None:
    schema = {"type": "object", "properties": {"pattern": {"type": "string"}}}
    assert cleaned(schema) == (schema, [])


def test_a_constant_is_a_choice_of_one() -> None:
    assert cleaned({"const": "a"}) == ({"enum": ["a"]}, [])


def test_the_older_dialect_of_gemini_becomes_json_schema() -> None:
    older = {
        "type": "OBJECT",
        "properties": {
            "type": {"type": "STRING", "nullable": True},
            "tags": {"type": "ARRAY", "items": {"type": "STRING"}, "maxItems": "3"},
        },
        "propertyOrdering": ["type", "tags"],
    }
    assert json.loads(bytes(from_gemini(raw(older)))) == {
        "type": "object",
        "properties": {
            "type": {"type": ["string", "null"]},
            "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
        },
    }


def test_a_schema_that_openai_cannot_hold_exactly_is_noted() -> None:
    losses = Losses()
    open_schema = raw({"type": "object", "properties": {"a": {"type": "string"}}})
    assert note_strict(open_schema, True, "$", losses) is None
    assert [loss.name for loss in losses] == ["strict"]
    closed = raw({"type": "object", "properties": {}, "additionalProperties": False})
    assert note_strict(closed, True, "$", Losses()) is True
