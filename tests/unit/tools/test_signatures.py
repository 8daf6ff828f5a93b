"""What an agent sees of a function: its schema, from its types and its docstring."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections.abc import Callable
from typing import Annotated, Any, Literal, Optional

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from callgate.errors import Misconfigured
from callgate.tools.signatures import (
    IdempotencyKey,
    Signature,
    ToolContext,
    read_signature,
)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Place(BaseModel):
    title: str
    zip: str | None = None


@dataclasses.dataclass
class Page:
    url: str
    seen: dt.date


def signature(function: Callable[..., Any]) -> Signature:
    return read_signature(function, where="tests:function")


def property_of(function: Callable[..., Any], name: str) -> Any:
    return signature(function).input_schema["properties"][name]


def search(query: str, limit: int = 10, kind: Literal["web", "news"] = "web") -> str:
    """Search the web.

    The newest come first.

    Args:
        query: What to look for.
        limit: How many, at
            the most.
    """
    return f"{query} {limit} {kind}"


def test_types_become_a_schema_and_the_docstring_its_descriptions() -> None:
    read = signature(search)
    assert read.description == "Search the web.\n\nThe newest come first."
    assert read.input_schema == {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What to look for."},
            "limit": {"type": "integer", "default": 10, "description": "How many, at\nthe most."},
            "kind": {"type": "string", "enum": ["web", "news"], "default": "web"},
        },
        "required": ["query"],
        "additionalProperties": False,
    }


def numpy_style(query: str) -> None:
    """Search.

    Parameters
    ----------
    query : str
        What to look for.
    """


def sphinx_style(query: str) -> None:
    """Search.

    :param query: What to look for.
    :type query: str
    """


@pytest.mark.parametrize("function", [search, numpy_style, sphinx_style])
def test_every_usual_style_of_docstrings_is_read(function: Callable[..., Any]) -> None:
    assert property_of(function, "query")["description"] == "What to look for."


def test_what_the_type_says_of_a_parameter_goes_before_the_docstring() -> None:
    def function(n: Annotated[int, Field(ge=1, description="Its own.")]) -> None:
        """Count.

        Args:
            n: Another.
        """

    assert property_of(function, "n") == {
        "type": "integer", "minimum": 1, "description": "Its own.",
    }  # fmt: skip


def test_no_schema_has_titles_but_a_member_may_be_called_title() -> None:
    def function(at: Place, title: str) -> None:
        """Go there."""

    schema = signature(function).input_schema
    assert schema["properties"]["title"] == {"type": "string"}
    assert schema["$defs"]["Place"]["properties"]["title"] == {"type": "string"}
    assert "Title" not in repr(schema)


def test_a_member_of_a_model_that_it_does_not_know_is_an_error_too() -> None:
    def function(at: Place) -> None:
        """Go there."""

    assert not accepts(function, {"at": {"title": "x", "colour": "red"}})
    assert accepts(function, {"at": {"title": "x"}})


def test_parameters_may_be_called_anything() -> None:
    def function(schema: str, model_config: str, copy: str, json: str, self: str) -> None:
        """Take odd names."""

    values: dict[str, str] = dict.fromkeys(("schema", "model_config", "copy", "json", "self"), "x")
    assert signature(function).values(values) == values


def test_what_the_gate_fills_in_no_agent_sees() -> None:
    def function(amount: int, context: ToolContext, key: IdempotencyKey) -> None:
        """Refund."""

    read = signature(function)
    assert set(read.input_schema["properties"]) == {"amount"}
    assert read.filled_in == {"context": ToolContext, "key": IdempotencyKey}


def test_a_method_is_a_function_without_its_self() -> None:
    class Shop:
        def refund(self, amount: int) -> None:
            """Refund."""

        def __call__(self, amount: int) -> None:
            """Refund too."""

    assert set(signature(Shop().refund).input_schema["properties"]) == {"amount"}
    assert set(signature(Shop()).input_schema["properties"]) == {"amount"}


@pytest.mark.parametrize(
    ("returns", "schema"),
    [
        (Place, {"title", "zip"}),
        (Page, {"url", "seen"}),
        (str, None),
        (list[Place], None),
        (dict, None),
        (Any, None),
        (object, None),
    ],
)
def test_a_result_whose_members_are_known_is_promised(
    returns: Any, schema: set[str] | None
) -> None:
    def function() -> None:
        """Give."""

    function.__annotations__["return"] = returns
    promised = signature(function).output_schema
    assert (None if promised is None else set(promised["properties"])) == schema


def taking(kind: Any) -> Callable[..., None]:
    """A function of one parameter whose type is this; None says nothing of its type."""

    def function(value: Any) -> None:
        """Take it."""

    del function.__annotations__["value"]
    if kind is not None:
        function.__annotations__["value"] = kind
    return function


def any_number(*queries: str) -> None:
    """Search."""


def any_name(**queries: str) -> None:
    """Search."""


def by_place(query: str, /) -> None:
    """Search."""


def no_json(query: type[Colour] | Callable[[], None] | pytest.Item) -> None:
    """Search."""


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (taking(None), "'value' of tests:function has no type"),
        (any_number, "give each a name"),
        (any_name, "give each a name"),
        (by_place, "give each a name"),
        (no_json, "takes what JSON cannot hold"),
        (taking("Nowhere"), "name 'Nowhere' is not defined; import them where the module is run"),
    ],
)
def test_a_function_that_no_agent_could_call_is_told(function: Any, why: str) -> None:
    with pytest.raises(Misconfigured, match=why):
        signature(function)


def accepts(function: Callable[..., Any], arguments: Any) -> bool:
    return jsonschema_rs.is_valid(dict(signature(function).input_schema), arguments)


LEAVES: list[Any] = [
    int, str, bool, float, type(None), Colour, Place, Page, Literal["a", 1], dt.date, Any,
    Annotated[int, Field(ge=0, le=9)], Annotated[str, Field(max_length=3)],
]  # fmt: skip
GENERIC: list[Any] = [list, dict, tuple, Optional]


def generic(kind: Any, inner: Any) -> Any:
    """A type with another in it."""
    return kind[{dict: (str, inner), tuple: (inner, int)}.get(kind, inner)]


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Types with such types in them."""
    return st.builds(generic, st.sampled_from(GENERIC), inner)


TYPES: st.SearchStrategy[Any] = st.recursive(st.sampled_from(LEAVES), nested, max_leaves=4)
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-3, 12), st.floats(-3, 12),
        st.sampled_from(["", "a", "red", "2026-11-25", "long text"]),
        st.just({"title": "x"}), st.just({"url": "x", "seen": "2026-11-25"}),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=4,
)  # fmt: skip


@given(TYPES, VALUES)
def test_a_function_takes_what_its_schema_allows(kind: Any, value: Any) -> None:
    function = taking(kind)
    if accepts(function, {"value": value}):
        try:
            signature(function).values({"value": value})
        except ValidationError as error:
            # What JSON schema cannot say: whether text is a date.
            assert {flaw["type"] for flaw in error.errors()} <= {"date_from_datetime_parsing"}  # noqa: PT017


@given(TYPES)
def test_every_schema_is_one_and_says_that_nothing_else_is_taken(kind: Any) -> None:
    function = taking(kind)
    schema = dict(signature(function).input_schema)
    jsonschema_rs.meta.validate(schema)
    assert (schema["additionalProperties"], schema["required"]) == (False, ["value"])
