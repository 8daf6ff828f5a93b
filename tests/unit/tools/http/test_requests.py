"""What a server is sent: every argument in its place, and nothing that leads elsewhere."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.config.tool_policies import HttpPolicy, Parameter
from callgate.errors import BadRequest
from callgate.tools.http.requests import draft
from tests.unit.tools.calling import CANARY, NOTHING, invocation
from tests.unit.tools.http.server import Server


async def test_arguments_go_where_the_settings_say(server: Server) -> None:
    server.declare(
        """
        method = "PUT"
        parameters.id.type = "string"
        parameters.page = { type = "integer", in = "query", name = "p" }
        parameters.tags = { type = "array", in = "query" }
        parameters.lang = { type = "string", in = "header", name = "X-Lang" }
        parameters.amount.type = "integer"
        parameters.more.type = "object"
        parameters.unit.value = "cent"
        """,
        path="/a/{id}/b",
    )
    await server.call(id="ä b/c", page=2, tags=["x", "y&z"], lang="de", amount=5, more={"k": [1]})
    asked = server.last
    assert (asked.method, asked.target) == ("PUT", "/a/%C3%A4%20b%2Fc/b?p=2&tags=x&tags=y%26z")
    assert (asked.headers["X-Lang"], asked.headers["content-type"]) == ("de", "application/json")
    assert asked.body == '{"amount":5,"more":{"k":[1]},"unit":"cent"}'


async def test_a_form_is_sent_as_one(server: Server) -> None:
    server.declare(
        'method = "POST"\nparameters.a = { in = "form" }\nparameters.b = { in = "form" }'
    )
    await server.call(a="x y&z", b=[True, 1.5])
    assert server.last.body == "a=x%20y%26z&b=true&b=1.5"
    assert server.last.headers["content-type"] == "application/x-www-form-urlencoded"


async def test_a_whole_body_may_be_one_argument(server: Server) -> None:
    server.declare('method = "POST"\nparameters.rows = { in = "body", type = "array" }')
    await server.call(rows=[1, {"a": None}])
    assert server.last.body == '[1,{"a":null}]'


async def test_what_is_left_out_is_not_sent(server: Server) -> None:
    server.declare(
        'method = "POST"\nparameters.a = { optional = true }\n'
        'parameters.b = { optional = true, in = "query" }'
    )
    await server.call(b=None)
    assert (server.last.target, server.last.body) == ("/", "{}")


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ("", "authorization", f"Bearer {CANARY}"),
        ('auth = "header:X-Key"', "X-Key", CANARY),
        ('auth = "basic"', "authorization", "Basic Y2FuYXJ5LzVmIjNlK2tleTo="),
    ],
)
async def test_the_key_is_sent_where_the_server_looks_for_it(
    server: Server, auth: str, header: str, value: str
) -> None:
    server.declare(auth, key=CANARY)
    await server.call()
    assert server.last.headers[header] == value


async def test_a_key_may_be_in_the_query(server: Server) -> None:
    server.declare('auth = "query:api_key"', key=CANARY)
    await server.call()
    assert parse_qs(urlsplit(server.last.target).query) == {"api_key": [CANARY]}


async def test_one_action_has_one_key_for_its_server(server: Server) -> None:
    server.declare('method = "POST"\nidempotency_header = "Idempotency-Key"')
    assert server.tool.takes_key
    await server.call()
    assert server.last.headers["Idempotency-Key"] == "key_1"


async def test_nothing_is_sent_that_nobody_asked_for(server: Server) -> None:
    await server.call()
    names = {name.lower() for name in server.last.headers}
    assert names == {"host", "accept", "accept-encoding", "user-agent", "content-length"}


def test_an_agent_sees_the_parameters_that_it_chooses(server: Server) -> None:
    server.declare(
        'parameters.q = { type = "string", description = "What." }\n'
        'parameters.n = { type = "integer", optional = true }\nparameters.fixed.value = 1'
    )
    assert server.tool.input_schema == {
        "type": "object",
        "properties": {"q": {"type": "string", "description": "What."}, "n": {"type": "integer"}},
        "required": ["q"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "part", ["", ".", "..", "../x", "a/../b", "a\\..\\b", "a\nb", "a/.", None, {}]
)
async def test_an_argument_that_would_lead_elsewhere_is_not_sent(server: Server, part: Any) -> None:
    server.declare("parameters.id.type = 'string'", path="/a/{id}")
    with pytest.raises(BadRequest, match=r"\$\.id cannot be sent in the path") as refused:
        await server.call(id=part)
    assert (refused.value.billed, server.asked) == (False, [])


@pytest.mark.parametrize("place", ["path", "query", "json", "body"])
async def test_half_of_a_character_is_not_sent(server: Server, place: str) -> None:
    path = "/{a}" if place == "path" else "/"
    server.declare(f'method = "POST"\nparameters.a.in = "{place}"', path=path)
    with pytest.raises(BadRequest, match="half of a character"):
        await server.call(a="\ud800")
    assert server.asked == []


@pytest.mark.parametrize("text", ["a\r\nx-admin: 1", "ä", "\x00"])
async def test_an_argument_is_no_second_header(server: Server, text: str) -> None:
    server.declare("parameters.lang = { in = 'header' }")
    with pytest.raises(BadRequest, match="plain ASCII text on one line"):
        await server.call(lang=text)


@given(st.text(min_size=1))
def test_whatever_an_argument_holds_it_stays_in_its_part_of_the_path(text: str) -> None:
    http = HttpPolicy(
        url="https://host/a/{id}/b",
        parameters=(Parameter(name="id", place="path", sent_as="id"),),
    )
    try:
        url = draft(http, invocation(NOTHING, {"id": text})).url
    except BadRequest:
        return
    parts = urlsplit(url)
    assert (parts.netloc, parts.query, parts.fragment) == ("host", "", "")
    before, part, after = parts.path.removeprefix("/").split("/")
    assert (before, unquote(part), after) == ("a", text, "b")
