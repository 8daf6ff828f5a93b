from __future__ import annotations

from pathlib import Path

import pytest

from callgate.call import Tool, Witness
from callgate.config.policies import LimitPolicy
from callgate.config.tool_policies import Parameter, ToolPolicy
from callgate.doors.cli.settings import referenced_variables
from callgate.money import Money
from tests.unit.config.files import PLACE, problem_of, problems_of, read

REFUND = """
[tools.refund]
description = "Refund a charge."
effect = "write"
cost = "$0.01"
timeout = "20s"
max_bytes = "32kB"
key = "env:SHOP_KEY"
per_minute = 30

[tools.refund.http]
method = "POST"
url = "https://api.example/charges/{charge}/refunds"
idempotency_header = "Idempotency-Key"
pick = "{id: id, status: status}"
errors = { 403 = "answer" }
ca_file = "ca.pem"

[tools.refund.http.parameters]
charge = { type = "string", description = "Its id." }
amount = { type = "integer", minimum = 1, in = "form" }
why = { type = "string", in = "form", name = "reason", optional = true }
source = { value = "agent", in = "form" }
"""


def test_a_tool_over_http_is_resolved_whole() -> None:
    tool = read(REFUND).tools["refund"]
    assert (tool.effect, tool.timeout_seconds, tool.cost) == ("write", 20, Money.dollars("0.01"))
    assert tool.http is not None
    assert (tool.http.method, tool.max_bytes, tool.http.errors) == (
        "POST",
        32_000,
        {403: "answer"},
    )
    assert tool.http.ca_file == PLACE.parent / "ca.pem"
    assert tool.http.parameters == (
        Parameter(
            name="charge",
            place="path",
            sent_as="charge",
            schema={"type": "string", "description": "Its id."},
        ),
        Parameter(
            name="amount", place="form", sent_as="amount", schema={"type": "integer", "minimum": 1}
        ),
        Parameter(
            name="why", place="form", sent_as="reason", schema={"type": "string"}, is_optional=True
        ),
        Parameter(name="source", place="form", sent_as="source", value="agent"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("method", "place"),
    [("GET", "query"), ("DELETE", "query"), ("POST", "json"), ("PUT", "json"), ("PATCH", "json")],
)
def test_a_parameter_goes_where_its_method_looks_for_it(method: str, place: str) -> None:
    settings = read(f"""
        [tools.t]
        description = "-"
        [tools.t.http]
        method = "{method}"
        url = "https://h/{{id}}"
        parameters.id.type = "string"
        parameters.size.type = "integer"
    """)
    http = settings.tools["t"].http
    assert http is not None
    assert [parameter.place for parameter in http.parameters] == ["path", place]


def test_a_tool_has_limits_of_its_own() -> None:
    assert LimitPolicy(scope="tool:refund", name="per_minute", value=30) in read(REFUND).limits


def test_the_key_of_a_tool_is_kept_from_programs_that_are_run() -> None:
    assert referenced_variables(read(REFUND)) == {"SHOP_KEY"}


def test_what_the_settings_say_of_a_tool_goes_before_what_its_source_says() -> None:
    tool = Tool(
        name="t", description="Old.", input_schema={}, toolset="s", remote_name="t",
        effect="destructive", timeout_seconds=5,
    )  # fmt: skip
    policy = ToolPolicy(name="t", effect="read", description="New.", is_idempotent=False)
    applied = policy.applied_to(tool)
    assert (applied.effect, applied.description) == ("read", "New.")
    assert (applied.timeout_seconds, applied.input_schema) == (5, {})


HTTP = '[tools.t]\ndescription = "-"\n[tools.t.http]\n'
KEYED = '[tools.t]\ndescription = "-"\nkey = "env:K"\n[tools.t.http]\nurl = "https://h/x"\n'
POST = f'{HTTP}method = "POST"\nurl = "https://h/x"\n'


@pytest.mark.parametrize(
    ("text", "key", "allowed"),
    [
        ("[tools.t]", "tools.t", 'python = "module:function"'),
        ('[tools."git.log"]\neffect = "read"', 'tools."git.log"', 'python = "module:function"'),
        ('[tools.t]\npython = "search"', "tools.t.python", "a module and its function"),
        ('[tools.t]\npython = "a:b"\ndescription = "-"\nhttp.url = "https://h/"', "tools.t.http", "one of the two"),
        ('[tools.t]\nhttp.url = "https://h/"', "tools.t.description", "a model goes by it"),
        (f'{HTTP}url = "http://elsewhere/x"', "tools.t.http.url", "a URL of https"),
        (f'{HTTP}url = "https://user:word@h/x"', "tools.t.http.url", "without a user"),
        (f'{HTTP}url = "https://h/a/../b"', "tools.t.http.url", "dots for steps"),
        (f'{HTTP}url = "https://{{host}}/x"', "tools.t.http.url", "a URL of https"),
        (f'{HTTP}url = "https://h/x?y=1"', "tools.t.http.url", "stands under parameters"),
        (f'{HTTP}url = "https://h/{{id}}"', "tools.t.http.url", "'id' has none"),
        (f'{HTTP}url = "https://h/"\nparameters.id.in = "path"', "tools.t.http.parameters", "names in braces"),
        (f'{HTTP}url = "https://h/{{id}}"\nparameters.id.optional = true', "tools.t.http.parameters.id.optional", "a path has no gaps"),
        (f'{HTTP}url = "https://h/"\nparameters.id.in = "json"', "tools.t.http.parameters", "a body has no meaning there"),
        (f'{POST}parameters.a.in = "json"\nparameters.b.in = "form"', "tools.t.http.parameters", "one of them"),
        (f'{POST}parameters.a.name = "x"\nparameters.b.name = "x"', "tools.t.http.parameters", "one of each"),
        (f'{POST}parameters.a = {{ in = "header", name = "Host" }}', "tools.t.http.parameters.a", "nothing else decides"),
        (f'{POST}parameters.a = {{ in = "header", name = "a b" }}', "tools.t.http.parameters.a", "nothing else decides"),
        (f'{POST}parameters.a = {{ in = "header", name = "Authorization" }}', "tools.t.http.parameters.a", "nothing else decides"),
        (f'{POST}idempotency_header = "X-Once"\nparameters.a = {{ in = "header", name = "x-once" }}', "tools.t.http.parameters.a", "nothing else decides"),
        (KEYED + 'auth = "query:key"\nparameters.key.type = "string"', "tools.t.http.parameters.key", "nothing else decides"),
        (f'{POST}parameters.a = {{ in = "header", name = "X" }}\nparameters.b = {{ in = "header", name = "x" }}', "tools.t.http.parameters", "one of each"),
        (f'{POST}parameters.a = {{ in = "query", type = "object" }}', "tools.t.http.parameters.a.type", "or a list of them"),
        (f'{POST}parameters.a = {{ value = 1, type = "integer" }}', "tools.t.http.parameters.a", "nothing besides value"),
        (f'{POST}parameters.a.type = "text"', "tools.t.http.parameters.a.type", "is not valid"),
        (f'{POST}parameters.a.pattern = "("', "tools.t.http.parameters.a.pattern", 'is not a "regex"'),
        (f'{POST}parameters.a.items = {{ "$ref" = "http://127.0.0.1:1/x" }}', "tools.t.http.parameters.a", "settings open no connection"),
        (f'{POST}parameters.a.minimum = "1"', "tools.t.http.parameters.a.minimum", "is not of type"),
        (f'{POST}parameters."a b".type = "string"', 'tools.t.http.parameters."a b"', "letters, digits"),
        (f'{POST}auth = "bearer"', "tools.t.key", "that auth sends"),
        (KEYED + 'auth = "header:host"', "tools.t.http.auth", "nothing else decides"),
        (KEYED + 'auth = "cookie"', "tools.t.http.auth", "header:NAME or query:NAME"),
        ('[tools.t]\npython = "a:b"\nkey = "sk-secret"', "tools.t.key", "never a key, only where it is"),
        (f'{POST}idempotency_header = "Content-Length"', "tools.t.http.idempotency_header", "nothing else decides"),
        (f'{POST}pick = "a["', "tools.t.http.pick", "JMESPath"),
        (f'{POST}cost_unit = "$0.01"', "tools.t.http.cost_unit", "without cost_from it does nothing"),
        (f'{POST}cost_from = "credits"', "tools.t.cost", "the most that a call can cost"),
        (f'{POST}errors = {{ 200 = "answer" }}', "tools.t.http.errors.200", "a status from 400 to 599"),
        (f'{POST}errors = {{ 404 = "nothing" }}', "tools.t.http.errors.404", "'answer'"),
    ],
)  # fmt: skip
def test_a_tool_that_could_not_be_called_is_told_with_what_is_allowed(
    text: str, key: str, allowed: str
) -> None:
    problem = problem_of(text + "\n")
    assert problem.key == key
    assert allowed in problem.allowed
    assert problem.line is not None


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ('[tools.t]\npython = "a:b"\nefect = "read"', "effect"),
        ('[tools.t]\npython = "a:b"\neffect = "reed"', "read"),
        (f'{HTTP}url = "https://h/"\nmetod = "GET"', "method"),
        (f'{POST}parameters.a.typ = "string"', "type"),
        (f'{POST}parameters.a.in = "querry"', "query"),
    ],
)  # fmt: skip
def test_a_misspelling_in_a_tool_is_told_with_the_nearest_name(text: str, nearest: str) -> None:
    assert problem_of(text).nearest == nearest


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:80"])
def test_http_without_tls_is_for_this_machine(host: str) -> None:
    assert problems_of(f'{HTTP}url = "http://{host}/x"\n') == []


def test_a_url_that_may_hold_a_password_is_not_shown() -> None:
    assert "word" not in problem_of(f'{HTTP}url = "https://user:word@h/x"\n').found


def test_a_tool_of_a_function_is_looked_for_beside_the_file() -> None:
    settings = read('[tools.search]\npython = "my_tools:search"\n')
    assert settings.path == Path("/srv/callgate.toml")
    assert settings.tools["search"] == ToolPolicy(name="search", python="my_tools:search")


PAY = """
[tools.pay]
python = "bank:pay"
once = "charge"
once_in = "gate"
repeats = false
on_error = "unknown"
check = {{ tool = "{witness}", arguments = "{{charge: charge}}", done = "id" }}
[tools.find]
python = "bank:find"
[tools.drop]
python = "bank:drop"
effect = "destructive"
"""


def test_what_makes_a_tool_happen_once_is_resolved() -> None:
    bare = Tool(name="pay", description="Pay.", input_schema={}, toolset="bank", remote_name="pay")
    tool = read(PAY.format(witness="find")).tools["pay"].applied_to(bare)
    assert (tool.once, tool.once_in, tool.repeats, tool.error_is_unknown) == (
        "charge", "gate", False, True,
    )  # fmt: skip
    assert tool.check == Witness(tool="find", arguments="{charge: charge}", done="id")


@pytest.mark.parametrize(
    ("witness", "found"),
    [("fnd", "'fnd'"), ("drop", "drop, whose effect is destructive")],
)
def test_who_is_asked_what_was_done_must_be_there_and_only_read(witness: str, found: str) -> None:
    problem = problem_of(PAY.format(witness=witness))
    assert (problem.key, problem.found) == ("tools.pay.check", found)
    assert problem.nearest == ("find" if witness == "fnd" else None)
