"""What a function of Python takes and gives, as JSON schemas and as values of its own types."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, NewType, Protocol, cast, get_type_hints

import docstring_parser
import msgspec
from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, TypeAdapter, create_model
from pydantic.json_schema import GenerateJsonSchema

from callgate.call import ToolResult
from callgate.errors import Misconfigured
from callgate.redact import Secret

IdempotencyKey = NewType("IdempotencyKey", str)
"""The type of a parameter that is given the key of the action: the same for every attempt of it.

A function that has one can do the action once, however often it is called with that key.
"""


class Report(Protocol):
    """Tells of progress."""

    def __call__(self, done: float, total: float | None = None, note: str | None = None, /) -> None:
        """Say how far a call is, of how much (None if unknown), and a word about it."""
        ...


class ToolContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a function may want to know of the call that it serves.

    A parameter of this type is filled in by the gate, and no agent sees it.
    """

    call_id: str
    task_id: str
    key: Secret | None
    """What ``key`` in the settings of the tool stands for; None if they name none."""
    report: Report
    """Tells whoever waits how far the call is; from any thread, and it never fails."""


FILLED_IN: Final = (ToolContext, IdempotencyKey)
"""Types of parameters that the gate fills in."""

ASIDE: Final = frozenset({"default", "const", "enum", "examples"})
"""Words of JSON schema whose values are data, and no schemas."""
NAMED: Final = frozenset({"properties", "patternProperties", "$defs", "dependentSchemas"})
"""Words of JSON schema whose values are schemas by name."""


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """What a function takes and gives."""

    description: str
    """Its docstring, without what that says of its parameters."""
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any] | None
    """Where it promises an object whose members are known."""
    arguments: type[BaseModel]
    """Takes arguments of JSON to values of the types that the function names."""
    names: tuple[str, ...]
    """Of its parameters, in the order of the fields of ``arguments``."""
    filled_in: Mapping[str, object]
    """The parameters that the gate fills in, with their types."""
    result: TypeAdapter[Any] | None
    """Takes what it returns to JSON; None where it does not say what that is."""

    def values(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments as the function takes them; what was left out has its own default.

        Raises:
            ValidationError: They are not what it takes.
        """
        read = self.arguments.model_validate(arguments)
        fields = zip(_fields(), self.names, strict=False)
        return {
            name: getattr(read, field) for field, name in fields if field in read.model_fields_set
        }


def read_signature(function: Callable[..., Any], *, where: str) -> Signature:
    """Return what a function takes and gives.

    Args:
        function: Every parameter has a type.
        where: How messages name it, such as ``my_tools:search``.

    Raises:
        Misconfigured: It is no function that an agent could call.
    """
    hints = _hints(function, where)
    told = docstring_parser.parse(inspect.getdoc(function) or "")
    parameters = list(_parameters(function, hints, where))
    filled_in = {one.name: hints[one.name] for one in parameters if hints[one.name] in FILLED_IN}
    taken = [one for one in parameters if one.name not in filled_in]
    arguments = _arguments(taken, hints, where)
    result = _result(hints.get("return", Any))
    return Signature(
        description="\n\n".join(filter(None, (told.short_description, told.long_description))),
        input_schema=_input_schema(arguments, told),
        output_schema=_output_schema(result),
        arguments=arguments,
        names=tuple(one.name for one in taken),
        filled_in=filled_in,
        result=result,
    )


def routine(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what runs when something is called: a function, or what its class has for one."""
    if inspect.isroutine(function):
        return function
    called: Callable[..., Any] = type(function).__call__
    return called


def _hints(function: Callable[..., Any], where: str) -> Mapping[str, Any]:
    try:
        return get_type_hints(routine(function), include_extras=True)
    except (NameError, TypeError) as error:
        msg = (
            f"the types of {where} cannot be read: {error}; import them where the module is run, not "
            "only for type checkers"
        )
        raise Misconfigured(msg) from error


def _parameters(
    function: Callable[..., Any], hints: Mapping[str, Any], where: str
) -> Iterator[inspect.Parameter]:
    for one in inspect.signature(function).parameters.values():
        if one.kind in {one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY}:
            msg = f"{where} takes {str(one)!r}, but an agent names every argument: give each a name"
            raise Misconfigured(msg)
        if one.name not in hints:
            msg = f"the parameter {one.name!r} of {where} has no type; an agent would not know what to send"
            raise Misconfigured(msg)
        yield one


def _fields() -> Iterator[str]:
    """Give names of fields that clash with nothing, whatever parameters are called."""
    n = 0
    while True:
        yield f"p{n}"
        n += 1


def _arguments(
    taken: list[inspect.Parameter], hints: Mapping[str, Any], where: str
) -> type[BaseModel]:
    fields: dict[str, Any] = {
        field: (
            Annotated[hints[one.name], Field(alias=one.name, validation_alias=one.name)],
            ... if one.default is one.empty else one.default,
        )
        for field, one in zip(_fields(), taken, strict=False)
    }
    config = ConfigDict(extra="forbid")
    try:
        made: type[BaseModel] = create_model("Arguments", __config__=config, **fields)
        made.model_json_schema(schema_generator=Plain)
    except PydanticUserError as error:
        msg = f"{where} takes what JSON cannot hold: {error.message.splitlines()[0]}"
        raise Misconfigured(msg) from error
    return made


class Plain(GenerateJsonSchema):
    """Makes schemas without a word about what has no place in them, such as a default of a class."""

    def emit_warning(self, kind: object, detail: str) -> None:
        """Say nothing."""


def _input_schema(
    arguments: type[BaseModel], told: docstring_parser.Docstring
) -> Mapping[str, Any]:
    schema = plain(arguments.model_json_schema(schema_generator=Plain), closed=True)
    properties: dict[str, dict[str, Any]] = schema.setdefault("properties", {})
    for param in told.params:
        name = param.arg_name.lstrip("*")
        if param.description and name in properties:
            properties[name].setdefault("description", param.description)
    return schema


def _result(annotation: Any) -> TypeAdapter[Any] | None:
    if any(annotation is one for one in (Any, ToolResult, bytes)):
        return None
    try:
        made: TypeAdapter[Any] = TypeAdapter(annotation)
    except PydanticUserError:
        return None
    return made


def _output_schema(result: TypeAdapter[Any] | None) -> Mapping[str, Any] | None:
    if result is None:
        return None
    try:
        schema = result.json_schema(mode="serialization", schema_generator=Plain)
    except PydanticUserError:
        return None
    resolved = _resolved(schema)
    return plain(schema) if resolved.get("properties") else None


def _resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    _, _, name = str(schema.get("$ref", "")).rpartition("/")
    return schema["$defs"][name] if name else schema


def plain(schema: Mapping[str, Any], *, closed: bool = False) -> dict[str, Any]:
    """Return a schema without titles, which repeat its names.

    Args:
        schema: As pydantic makes it.
        closed: Whether objects that do not say so take nothing but their members.
    """
    made = {key: _plain(key, value, closed) for key, value in schema.items() if key != "title"}
    if closed and "properties" in made:
        made.setdefault("additionalProperties", False)
    return made


def _plain(word: str, value: object, closed: bool) -> object:
    if word in ASIDE:
        return value
    if isinstance(value, list):
        return [_plain(word, one, closed) for one in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    table = cast("dict[str, Any]", value)
    if word in NAMED:
        return {name: _plain("", one, closed) for name, one in table.items()}
    return plain(table, closed=closed)
