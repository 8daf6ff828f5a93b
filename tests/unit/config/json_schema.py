"""As much of JSON Schema (2020-12) as the settings' schema uses; anything else is an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Schema = Mapping[str, Any]

TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "integer": int, "number": (int, float),
    "boolean": bool, "null": type(None),
}  # fmt: skip
SAYS_NOTHING = {"$schema", "$defs", "title", "description", "default", "x-kind"}


def accepts(schema: Schema, value: object, *, root: Schema) -> bool:
    """Return whether a schema accepts a value."""
    return all(_holds(word, schema, value, root) for word in schema.keys() - SAYS_NOTHING)


def _holds(word: str, schema: Schema, value: Any, root: Schema) -> bool:
    kind, check = CHECKS[word]
    return not isinstance(value, kind) or check(schema, value, root)


def _type(schema: Schema, value: object, _root: Schema) -> bool:
    kind = schema["type"]
    return isinstance(value, TYPES[kind]) and isinstance(value, bool) == (kind == "boolean")


def _reference(schema: Schema, value: object, root: Schema) -> bool:
    return accepts(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root=root)


def _properties(schema: Schema, value: Any, root: Schema) -> bool:
    known = schema["properties"].items()
    return all(accepts(one, value[key], root=root) for key, one in known if key in value)


def _patterns(schema: Schema, value: Any, root: Schema) -> bool:
    ((pattern, one),) = schema["patternProperties"].items()
    return all(accepts(one, value[key], root=root) for key in value if re.search(pattern, key))


def _others(schema: Schema, value: Any, root: Schema) -> bool:
    others, extra = (
        value.keys() - schema.get("properties", {}).keys(),
        schema["additionalProperties"],
    )
    return all(extra is not False and accepts(extra, value[key], root=root) for key in others)


CHECKS: Mapping[str, tuple[type | tuple[type, ...], Callable[[Schema, Any, Schema], bool]]] = {
    "type": (object, _type),
    "$ref": (object, _reference),
    "anyOf": (object, lambda s, v, root: any(accepts(one, v, root=root) for one in s["anyOf"])),
    "enum": (object, lambda s, v, _: v in s["enum"]),
    "const": (object, lambda s, v, _: v == s["const"]),
    "pattern": (str, lambda s, v, _: re.search(s["pattern"], v) is not None),
    "minimum": ((int, float), lambda s, v, _: v >= s["minimum"]),
    "maximum": ((int, float), lambda s, v, _: v <= s["maximum"]),
    "exclusiveMinimum": ((int, float), lambda s, v, _: v > s["exclusiveMinimum"]),
    "minItems": (list, lambda s, v, _: len(v) >= s["minItems"]),
    "maxItems": (list, lambda s, v, _: len(v) <= s["maxItems"]),
    "items": (list, lambda s, v, root: all(accepts(s["items"], one, root=root) for one in v)),
    "required": (dict, lambda s, v, _: set(s["required"]) <= v.keys()),
    "properties": (dict, _properties),
    "patternProperties": (dict, _patterns),
    "additionalProperties": (dict, _others),
    "propertyNames": (
        dict,
        lambda s, v, root: all(accepts(s["propertyNames"], k, root=root) for k in v),
    ),
}
"""By word: which values it says something about, and whether it holds for one."""
