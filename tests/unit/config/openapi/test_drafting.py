"""A draft of tools from an OpenAPI document: what it says, and that it loads as it stands."""

from __future__ import annotations

import tomllib
from collections.abc import Sized
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.config.openapi.documents import Document
from callgate.config.openapi.drafting import draft
from callgate.config.tool_policies import Parameter
from callgate.errors import Misconfigured
from tests.unit.config.files import read
from tests.unit.config.openapi.pets import PETS, TEXT, drafted, settings, with_operation


def parameters(page: Any, name: str) -> dict[str, Parameter]:
    """Return the parameters of a drafted tool."""
    http = settings(page).tools[name].http
    assert http is not None
    return {one.name: one for one in http.parameters}


def test_every_operation_becomes_a_tool_with_an_effect() -> None:
    tools = settings().tools
    assert {name: (one.effect, one.is_idempotent) for name, one in tools.items()} == {
        "list_pets": ("read", None),
        "create_pet": ("write", None),
        "get_pet": ("read", None),
        "put_pets_pet_id": ("write", True),
        "delete_pets_pet_id": ("destructive", None),
    }


def test_a_tool_is_asked_where_the_document_says() -> None:
    http = settings().tools["get_pet"].http
    assert http is not None
    assert (http.method, http.url) == ("GET", "https://api.pets.example/v1/pets/{petId}")


@pytest.mark.parametrize(
    ("servers", "source", "url"),
    [
        ([], "https://pets.example/openapi.json", "https://pets.example/x"),
        ([{"url": "/v2"}], "http://127.0.0.1:80/openapi.json", "http://127.0.0.1:80/v2/x"),
        ([{"url": "v2"}], "https://pets.example/docs", "https://pets.example/v2/x"),
        ([{"url": "/v2"}], "pets.json", "https://api.example.invalid/x"),
        ([{"url": "http://pets.example"}], "", "https://pets.example/x"),
        ([{"url": "http://localhost:8080"}], "", "http://localhost:8080/x"),
        ([{"url": "http://localhost.evil.example"}], "", "https://localhost.evil.example/x"),
    ],
)
def test_a_document_may_say_where_it_is_in_many_ways(servers: Any, source: str, url: str) -> None:
    page = {**with_operation({"operationId": "x"}), "servers": servers}
    http = settings(page, source=source).tools["x"].http
    assert http is not None
    assert http.url == url


SECURITY: list[Any] = [
    ([{"key": []}], "env:PET_SHOP_KEY", "header:X-Key"),
    ([{"token": []}], "env:PET_SHOP_KEY", "bearer"),
    ([{"password": []}], "env:PET_SHOP_KEY", "basic"),
    ([{"oauth": ["read"]}], "env:PET_SHOP_KEY", "bearer"),
    ([{"in_url": []}], "env:PET_SHOP_KEY", "query:api_key"),
    ([{}, {"token": []}], "env:PET_SHOP_KEY", "bearer"),
    ([], None, "bearer"),
    ([{"nowhere": []}], None, "bearer"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("security", "key", "auth"),
    SECURITY,
)
def test_the_key_is_a_reference_and_sent_as_the_document_says(
    security: Any, key: str | None, auth: str
) -> None:
    tool = settings(with_operation({"operationId": "x", "security": security})).tools["x"]
    assert tool.http is not None
    assert (tool.key, tool.http.auth) == (key, auth)


REMARKS: list[Any] = [
    ({"security": [{"cookie": []}]}, "it wants a key in a cookie, which is not sent"),
    ({"security": [{"oauth": []}]}, "key is an access token, which somebody must renew"),
    ({"security": [{"token": [], "key": []}]}, "besides token it wants key, which is not sent"),
    ({"servers": [{"url": "http://pets.example"}]}, "the document says http"),
    ({"servers": [{"url": "/"}]}, "the document does not say where it is: correct url"),
    (
        {"parameters": [{"name": "ids", "in": "query", "explode": False, "schema": {"type": "array"}}]},
        "ids is sent once for each of its values, and wanted joined",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "remark"),
    REMARKS,
)  # fmt: skip
def test_what_somebody_should_look_at_stands_beside_the_tool(operation: Any, remark: str) -> None:
    text = drafted(with_operation({"operationId": "x", **operation})).text
    before, _, _ = text.partition("[tools.x]")
    assert remark in before.splitlines()[-1]


def test_parameters_have_the_words_of_json_schema_in_use_today() -> None:
    found = parameters(PETS, "list_pets")
    assert found["limit"].schema == {
        "description": "How many.", "type": "integer", "exclusiveMinimum": 0,
    }  # fmt: skip
    assert (found["filter_tag"].sent_as, found["filter_tag"].place) == ("filter[tag]", "query")


def test_the_members_of_a_body_are_parameters_but_for_what_only_the_server_writes() -> None:
    found = parameters(PETS, "create_pet")
    assert {name: (one.place, one.is_optional) for name, one in found.items()} == {
        "name": ("json", False),
        "tag": ("json", True),
        "owner": ("json", True),
    }
    assert found["name"].schema == {"type": "string", "maxLength": 20}
    assert found["tag"].schema == {"type": ["string", "null"]}


def test_a_schema_that_holds_itself_ends_somewhere() -> None:
    owner = parameters(PETS, "create_pet")["owner"].schema
    assert owner["properties"]["pets"]["items"] == {"type": "object"}


def test_what_is_joined_is_one_object() -> None:
    body = {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Dog"}}},
    }
    found = parameters(with_operation({"operationId": "x", "requestBody": body}), "x")
    assert {name for name, one in found.items() if not one.is_optional} == {"name", "barks"}


def test_an_object_that_is_joined_with_itself_is_one_parameter() -> None:
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Loop"}}}}
    page = with_operation({"operationId": "x", "requestBody": body})
    page["components"]["schemas"]["Loop"] = {"allOf": [{"$ref": "#/components/schemas/Loop"}]}
    assert parameters(page, "x")["body"].place == "body"


def test_a_body_that_is_no_object_is_one_parameter() -> None:
    assert parameters(PETS, "put_pets_pet_id")["body"].place == "body"


def test_a_form_is_sent_as_one() -> None:
    schema = {"type": "object", "properties": {"a": TEXT}}
    body = {"content": {"application/x-www-form-urlencoded": {"schema": schema}}}
    assert (
        parameters(with_operation({"operationId": "x", "requestBody": body}), "x")["a"].place
        == "form"
    )


def test_a_parameter_and_a_member_of_one_name_are_two() -> None:
    operation = {
        "operationId": "x",
        "parameters": [{"name": "id", "in": "query", "schema": TEXT}],
        "requestBody": {"content": {"application/json": {"schema": {"properties": {"id": TEXT}}}}},
    }
    found = parameters(with_operation(operation), "x")
    assert {name: (one.place, one.sent_as) for name, one in found.items()} == {
        "id": ("query", "id"),
        "id_2": ("json", "id"),
    }


@pytest.mark.parametrize("header", ["Authorization", "X-KEY", "Content-Type", "Cookie"])
def test_no_agent_decides_who_asks(header: str) -> None:
    operation = {
        "operationId": "x",
        "parameters": [{"name": header, "in": "header", "schema": TEXT}],
    }
    assert parameters(with_operation(operation), "x") == {}


CONTENTS: list[Any] = [
    ({"application/json": {}}, "json"),
    ({"application/hal+json": {}}, "json"),
    ({"text/csv": {}}, "text"),
    ({"application/pdf": {}}, "any"),
    ({}, "json"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "returns"),
    CONTENTS,
)
def test_what_an_operation_answers_with_is_declared(content: Any, returns: str) -> None:
    operation = {"operationId": "x", "responses": {"200": {"content": content}}}
    http = settings(with_operation(operation)).tools["x"].http
    assert http is not None
    assert http.returns == returns


def test_a_draft_proposes_what_of_a_reply_to_pick() -> None:
    assert '# pick = "{id: id, name: name, tag: tag, owner: owner}"' in drafted().text


UNUSABLE: list[Any] = [
    ({"requestBody": {"content": {"multipart/form-data": {}}}}, "its body is multipart/form-data"),
    ({"requestBody": {"content": {"application/x-www-form-urlencoded": {}}}}, "a form of unknown fields"),
    ({"parameters": [{"name": "c", "in": "cookie", "required": True}]}, "'c' is required and is a cookie"),
    ({"parameters": [{"name": "f", "in": "query", "required": True, "schema": {"type": "object"}}]}, "is an object in a parameter"),
    ({"parameters": [{"name": "f", "in": "query", "required": True, "content": {}}]}, "is a document in a parameter"),
    ({"requestBody": {"$ref": "other.json#/x"}}, "'other.json#/x' is in another document"),
    ({"requestBody": {"$ref": "#/components/nothing"}}, "leads nowhere"),
    ({"requestBody": {"$ref": "#/paths/~1x/post/requestBody"}}, "a reference leads in circles"),
    ({"parameters": [{"name": "id", "in": "path", "required": True, "schema": TEXT}]}, "a parameter that the url names in braces"),
    ({"servers": [{"url": "https://user:word@h"}]}, "tools.x.http.url"),
    ({"parameters": [{"name": "n", "in": "query", "schema": {"type": "text"}}]}, "tools.x.http.parameters.n.type"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "why"),
    UNUSABLE,
)  # fmt: skip
def test_what_no_tool_can_be_made_of_is_left_out_with_the_reason(operation: Any, why: str) -> None:
    page = with_operation({"operationId": "x", **operation})
    page["paths"]["/y"] = {"get": {"operationId": "y"}}
    found = drafted(page)
    assert found.tools == ["y"]
    (left_out,) = found.left_out
    assert left_out.startswith("POST /x: ")
    assert why in left_out


@pytest.mark.parametrize(
    ("only", "tools"),
    [
        (("list_*",), ["list_pets"]),
        (("getPet",), ["get_pet"]),
        (("GET /pets*",), ["list_pets", "get_pet"]),
        (("list_pets", "DELETE *"), ["list_pets", "delete_pets_pet_id"]),
    ],
)
def test_only_what_is_meant_is_drafted(only: tuple[str, ...], tools: list[str]) -> None:
    assert drafted(PETS, *only).tools == tools


@pytest.mark.parametrize(
    ("id", "name"),
    [
        ("listPets", "list_pets"),
        ("pets/list-all", "pets_list_all"),
        ("Pets.HTTPList", "pets_httplist"),
        ("", "post_x"),
        ("ünï", "n"),
        ("x" * 99, "x" * 64),
    ],
)
def test_a_tool_has_a_name_that_models_take(id: str, name: str) -> None:
    assert drafted(with_operation({"operationId": id})).tools == [name]


def test_two_operations_of_one_name_are_two_tools() -> None:
    page = deepcopy(PETS)
    page["paths"] = {f"/{n}": {"get": {"operationId": "x" * 70}} for n in range(3)}
    assert drafted(page).tools == ["x" * 64, "x" * 62 + "_2", "x" * 62 + "_3"]


@pytest.mark.parametrize(
    ("page", "why"),
    [({"swagger": "2.0"}, "has version 2.0"), ({}, "has no version"), ([], "no version"), (None, "no version")],
)  # fmt: skip
def test_what_is_no_document_of_openapi_3_is_told(page: Any, why: str) -> None:
    with pytest.raises(Misconfigured, match=why):
        Document(page)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["type", "properties", "$ref", "allOf", "enum", "schema", "in", "name", "a b"]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=8,
)  # fmt: skip


def places(part: Any) -> list[tuple[Any, Any]]:
    """Return every place of a document."""
    keys: list[Any] = list(part) if hasattr(part, "keys") else list(range(len(part)))
    inner: list[Any] = [
        part[key] for key in keys if isinstance(part[key], Sized) and not isinstance(part[key], str)
    ]
    return [*((part, key) for key in keys), *(place for one in inner for place in places(one))]


@given(st.data())
def test_whatever_a_document_holds_its_draft_loads(data: st.DataObject) -> None:
    page = deepcopy(PETS)
    for _ in range(data.draw(st.integers(1, 3))):
        part, key = data.draw(st.sampled_from(places(page["paths"]) + places(page["components"])))
        part[key] = data.draw(JSON)
    found = draft(Document(page))
    assert list(read(found.text).tools) == list(found.tools)


ODD: list[Any] = [
    {"parameters": [{"name": [], "in": [], "schema": []}]},
    {"security": [{"odd": []}]},
    {"requestBody": [], "responses": 5, "servers": 1, "summary": {}, "operationId": []},
]  # fmt: skip


@pytest.mark.parametrize(
    "operation",
    ODD,
)
def test_what_is_of_the_wrong_kind_is_as_if_it_were_not_there(operation: Any) -> None:
    page = with_operation(operation)
    page["components"]["securitySchemes"]["odd"] = {"type": [], "in": {}, "name": 1, "scheme": []}
    assert drafted(page).tools == ["post_x"]


def test_a_draft_is_toml_whatever_texts_hold() -> None:
    summary = 'a "quote" \\ and \x7f \x00 \ud800 line\nbreak # no comment ü'
    text = drafted(with_operation({"operationId": "x", "summary": summary})).text
    told = tomllib.loads(text)["tools"]["x"]["description"]
    assert told == 'a "quote" \\ and \x7f \x00 � line break # no comment ü'
