"""Reading a request into typed shapes, with a note of every field that they do not have.

The usual request is decoded at once, and strictly. Only one that has more than its shape is looked
through field by field: what the shape does not know is noted as a loss and left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, Final, TypeVar, cast

import msgspec

from callgate.errors import Malformed
from callgate.wire.codec.losses import Losses
from callgate.wire.document import TOO_DEEP, Document, check_utf8, malformed

S = TypeVar("S", bound="Shape")

STRANGE: Final = "callgate.strange"
"""The type under which a part of an unknown type is kept."""

NOT_KNOWN: Final = "this version does not know the field, so it cannot say what it means"


NO_FIELD: Final = "the canonical form has no place for it: no other format means the same"

ABSENT: Final = msgspec.Raw()
"""The default of a field that is kept as it was written."""

NOTHING: Final = (ABSENT, msgspec.Raw(b"null"))
"""How a field says nothing that is kept as it was written."""


class Shape(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
):
    """An object of a request, with all of its fields that are understood."""

    KINDS: ClassVar[frozenset[str] | None] = None
    """The values of ``type`` that are understood, where one shape serves for several; an object of
    another type is kept whole in ``strange``."""

    LOST: ClassVar[Mapping[str, tuple[str, tuple[object, ...]]]] = {}
    """Fields that are understood and cannot go over: the loss of each, and the values that mean no
    more than leaving it out."""


class Strange(Shape, frozen=True, tag_field="type", tag=STRANGE):
    """A part of a type that the union it stands in does not know."""

    kind: str
    value: dict[str, Any]

    @property
    def raw(self) -> msgspec.Raw:
        """The part as JSON."""
        return msgspec.Raw(msgspec.json.encode(self.value))


def read(body: bytes, shape: type[S]) -> tuple[S, Losses]:
    """Read a request.

    Returns:
        What was understood, and a loss for everything else that it says.

    Raises:
        Malformed: It is not JSON, not an object, or a field that is understood has the wrong
            type; the message has its JSON path.
    """
    if not body.isascii():
        check_utf8(body)
    try:
        understood: S = _decoder(shape).decode(body)
        return understood, Losses()
    except RecursionError as error:
        raise malformed(TOO_DEEP) from error
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Not JSON, or more than its shape; which of the two, and what of it, is told here.
        return _read_strange(body, shape)


def _read_strange(body: bytes, shape: type[S]) -> tuple[S, Losses]:
    Document.parse(body)
    losses: Losses = Losses()
    try:
        page = _known(msgspec.json.decode(body), _type_of(shape), "$", losses)
        return msgspec.convert(page, shape), losses
    except RecursionError as error:
        raise malformed(TOO_DEEP) from error
    except msgspec.DecodeError as error:
        msg = f"the request cannot be read: {error}"
        raise Malformed(msg, reason=malformed(msg, code="wrong_field").reason) from error


@lru_cache(maxsize=32)
def _decoder(shape: type[Shape]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(shape)


@lru_cache(maxsize=32)
def _type_of(shape: type[Shape]) -> msgspec.inspect.Type:
    return msgspec.inspect.type_info(shape)


def _known(value: Any, kind: msgspec.inspect.Type, where: str, losses: Losses) -> Any:
    """Return as much of a value as its shape has."""
    if isinstance(value, list):
        items = _item_type(kind)
        listed = cast("list[object]", value)
        if items is None:
            return listed
        return [_known(item, items, f"{where}[{n}]", losses) for n, item in enumerate(listed)]
    if isinstance(value, dict):
        page = cast("dict[str, Any]", value)
        members = _structs(kind)
        return _known_object(page, members, where, losses) if members else page
    return value


def _known_object(
    page: dict[str, Any], kinds: list[msgspec.inspect.StructType], where: str, losses: Losses
) -> dict[str, Any]:
    """Return the fields of an object that the shape of its type has."""
    kind = _chosen(page, kinds)
    if kind is None:
        strange = kinds[0].tag_field or "type"
        return {strange: STRANGE, "kind": str(page.get(strange)), "value": page}
    understood = cast("type[Shape]", kind.cls).KINDS
    told = page.get("type")
    if understood is not None and isinstance(told, str) and told not in understood:
        return {"type": told, "strange": page}
    fields = {field.encode_name: field.type for field in kind.fields}
    known: dict[str, Any] = {}
    for key, value in page.items():
        name = key if key in fields or key == kind.tag_field else _camel(key)
        if name == kind.tag_field:
            known[name] = value
        elif name in fields:
            known[name] = _value(value, fields[name], f"{where}.{key}", losses)
        else:
            _note(key, value, cast("type[Shape]", kind.cls), where, losses)
    return known


def _note(key: str, value: Any, shape: type[Shape], where: str, losses: Losses) -> None:
    """Note a field that its shape does not have, unless its value says nothing."""
    known = shape.LOST.get(key) or shape.LOST.get(_camel(key))
    name, harmless = known or ("unknown", ())
    if value is None or value in harmless:
        return
    why = NOT_KNOWN if known is None else NO_FIELD
    losses.add(name, f"{where}.{key}", what=key, why=why)


def _value(value: Any, kind: msgspec.inspect.Type, where: str, losses: Losses) -> Any:
    if isinstance(kind, msgspec.inspect.RawType):
        return msgspec.Raw(msgspec.json.encode(value))
    return _known(value, kind, where, losses)


def _chosen(
    page: Mapping[str, Any], kinds: list[msgspec.inspect.StructType]
) -> msgspec.inspect.StructType | None:
    """Return which of several shapes an object has by its tag; None if the tag is unknown."""
    for kind in kinds:
        if kind.tag_field is None or page.get(kind.tag_field) == kind.tag:
            return kind
    has_strange = any(kind.cls is Strange for kind in kinds)
    return None if has_strange else kinds[0]


def _structs(kind: msgspec.inspect.Type) -> list[msgspec.inspect.StructType]:
    if isinstance(kind, msgspec.inspect.UnionType):
        return [each for each in kind.types if isinstance(each, msgspec.inspect.StructType)]
    return [kind] if isinstance(kind, msgspec.inspect.StructType) else []


def _item_type(kind: msgspec.inspect.Type) -> msgspec.inspect.Type | None:
    kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    for each in kinds:
        if isinstance(each, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
            return each.item_type
    return None


def written(raw: msgspec.Raw) -> msgspec.Raw | None:
    """Return a field that is kept as it was written; None where it is absent or null."""
    return None if raw in NOTHING else raw


def _camel(key: str) -> str:
    """Return a key in the other spelling that Gemini takes: ``max_output_tokens``."""
    first, *others = key.split("_")
    return first + "".join(other.capitalize() for other in others)
