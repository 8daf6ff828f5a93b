"""Settings of a tool that do not go together, or that could not be sent."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final, NoReturn

from callgate.config.kinds import HEADER_NAME, TOOL_URL
from callgate.config.lines import Lines
from callgate.config.page import Page, as_table, named_tables
from callgate.config.problems import Problem, dotted, shown
from callgate.config.tool_policies import FROM_THE_QUERY
from callgate.config.tool_resolving import IN_PATH

OURS: Final = frozenset({"in", "name", "optional", "value"})
WORDS: Final = (
    "type", "description", "enum", "const", "default", "examples", "format", "pattern", "minLength",
    "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "items",
    "prefixItems", "contains", "minItems", "maxItems", "uniqueItems", "properties",
    "patternProperties", "additionalProperties", "propertyNames", "required", "minProperties",
    "maxProperties", "anyOf", "oneOf", "allOf", "not", "title", "deprecated",
)  # fmt: skip
"""The words of JSON schema that a parameter may have.

Source: JSON Schema 2020-12; those that name other schemas have none to name here.
"""

FLAT: Final = frozenset({"path", "query", "header", "form"})
"""Places that hold text, and lists of it."""
BODIES: Final = ("json", "form", "body")

OUR_HEADERS: Final = frozenset({
    "accept", "accept-encoding", "connection", "content-length", "content-type", "expect", "host",
    "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
})  # fmt: skip
"""Headers that belong to the connection, or follow from what is sent."""

CREDENTIALS: Final = frozenset({"authorization", "cookie", "proxy-authorization"})
"""Headers that say who asks, which no agent decides."""

Sent = tuple[str, str]
"""A place, and a name there."""

SERVERS: Final = ("mcp", "platforms")
"""Sections whose tools are called ``NAME.tool``."""


def tool_problems(page: Page, lines: Lines) -> Iterator[Problem]:
    """Report every tool that could not be called, and settings that would do nothing."""
    servers = {name for section in SERVERS for name, _ in named_tables(page, section)}
    for name, table in named_tables(page, "tools"):
        check = Check(("tools", name), table, lines)
        yield from check.of_kind(servers)
        yield from check.of_witness(page, servers)
        if isinstance(table.get("http"), dict):
            yield from check.of_description()
            yield from HttpCheck(("tools", name, "http"), as_table(table["http"]), lines).run()
            yield from check.of_companions()


class Check:
    """The settings of one table."""

    def __init__(self, place: tuple[str, ...], table: Page, lines: Lines) -> None:
        self._place = place
        self._table = table
        self._lines = lines

    def of_kind(self, servers: set[str]) -> Iterator[Problem]:
        """Report a tool that comes from two places, or from none."""
        name = self._place[-1]
        if "python" in self._table and "http" in self._table:
            yield self._problem("http", "python and http", "one of the two", "make two tools of it")
        elif not self._table.keys() & {"python", "http"} and name.partition(".")[0] not in servers:
            allowed = 'python = "module:function", or a table http'
            remedy = (
                f"add one to [{dotted(self._place)}], or call it as a server's tool: SERVER.TOOL"
            )
            yield self._problem(None, "a tool that comes from nowhere", allowed, remedy)

    def of_witness(self, page: Page, servers: set[str]) -> Iterator[Problem]:
        """Report a tool that is to be asked what another has done, and is not there or does more."""
        name = as_table(self._table.get("check", {})).get("tool")
        if not isinstance(name, str) or name.partition(".")[0] in servers:
            return
        tools = dict(named_tables(page, "tools"))
        if name not in tools:
            nearest = next(iter(get_close_matches(name, tools, n=1)), None)
            allowed = "a tool that only reads, and knows"
            yield self._problem("check", shown(name), allowed, nearest=nearest)
        elif tools[name].get("effect", "read") != "read":
            found = f"{name}, whose effect is {tools[name]['effect']}"
            yield self._problem("check", found, "a tool that only reads, and knows")

    def of_description(self) -> Iterator[Problem]:
        """Report a tool that no model could choose."""
        if "description" not in self._table:
            remedy = f'add description = "…" to [{dotted(self._place)}]'
            allowed = "what it is for, in a sentence or two: a model goes by it"
            yield self._problem("description", "nothing", allowed, remedy)

    def of_companions(self) -> Iterator[Problem]:
        """Report a key that is missing, and a cost that nobody could hold before it is known."""
        http = as_table(self._table["http"])
        if "auth" in http and "key" not in self._table:
            remedy = f'add key = "env:…" to [{dotted(self._place)}], or remove auth'
            yield self._problem("key", "nothing", "where the key is that auth sends", remedy)
        if "cost_from" in http and "cost" not in self._table:
            remedy = f'add cost = "$…" to [{dotted(self._place)}]'
            allowed = "the most that a call can cost, as cost_from tells it only afterwards"
            yield self._problem("cost", "nothing", allowed, remedy)

    def _problem(
        self,
        key: str | None,
        found: str,
        allowed: str,
        remedy: str | None = None,
        *,
        nearest: str | None = None,
    ) -> Problem:
        path = self._place if key is None else (*self._place, key)
        return Problem(
            line=self._lines.of(path),
            key=dotted(path),
            found=found,
            allowed=allowed,
            nearest=nearest,
            remedy=remedy,
        )


class HttpCheck(Check):
    """The settings of one tool over HTTP."""

    def run(self) -> Iterator[Problem]:
        """Report what could not be sent, or would do nothing."""
        if "cost_unit" in self._table and "cost_from" not in self._table:
            found = shown(self._table["cost_unit"])
            allowed = "nothing: without cost_from it does nothing"
            yield self._problem("cost_unit", found, allowed, "add cost_from, or remove it")
        yield from self._of_headers()
        yield from self._of_places()
        taken = self._taken()
        for name, parameter in named_tables(self._table, "parameters"):
            place = (*self._place, "parameters", name)
            yield from ParameterCheck(place, parameter, self._lines).run(
                self._place_of(name), taken
            )

    def _taken(self) -> set[Sent]:
        """Return the places that the key, its idempotency key and the connection have."""
        taken = {("header", name) for name in OUR_HEADERS | CREDENTIALS}
        taken.add(("header", str(self._table.get("idempotency_header")).lower()))
        kind, _, name = str(self._table.get("auth")).partition(":")
        taken.add((kind, name.lower() if kind == "header" else name))
        return taken

    def _of_headers(self) -> Iterator[Problem]:
        named = {"idempotency_header": str(self._table.get("idempotency_header"))}
        kind, _, header = str(self._table.get("auth")).partition(":")
        if kind == "header":
            named["auth"] = header
        for key, name in named.items():
            if name.lower() in OUR_HEADERS:
                yield self._problem(
                    key, repr(name), "a header that nothing else decides", "name another header"
                )

    def _of_places(self) -> Iterator[Problem]:
        """Report parameters that have no place, two in one, and places without a parameter."""
        places = {name: self._place_of(name) for name, _ in named_tables(self._table, "parameters")}
        url = str(self._table.get("url"))
        if re.fullmatch(TOOL_URL, url) is None:
            return
        in_url = IN_PATH.findall(url)
        sent_in_path = {name for place, name in places.values() if place == "path"}
        for name in dict.fromkeys(in_url):
            if name not in sent_in_path:
                allowed = f"a parameter for each part of the path in braces, and {name!r} has none"
                yield self._problem("url", f"{{{name}}}", allowed, f"add parameters.{name}")
        for name in sent_in_path.difference(in_url):
            allowed = "a parameter that the url names in braces"
            yield self._problem("parameters", repr(name), allowed, f"put {{{name}}} into the url")
        for (place, sent), count in Counter(places.values()).items():
            if count > 1:
                found = f"{count} parameters that are sent as {sent} in the {place}"
                yield self._problem("parameters", found, "one of each", "give one another name")
        yield from self._of_body({place for place, _ in places.values()})

    def _of_body(self, places: set[str]) -> Iterator[Problem]:
        bodies = [place for place in BODIES if place in places]
        method = self._table.get("method", "GET")
        if len(bodies) > 1:
            remedy = "a request has one body: put all into one place"
            yield self._problem("parameters", " and ".join(bodies), "one of them", remedy)
        elif bodies and method == "GET":
            allowed = "path, query and header: a body has no meaning there"
            remedy = 'set method = "POST", or put them elsewhere'
            yield self._problem("parameters", f"{bodies[0]} in a {method}", allowed, remedy)

    def _place_of(self, name: str) -> Sent:
        """Return where a parameter goes, and what it is called there."""
        table = as_table(as_table(self._table.get("parameters")).get(name))
        sent_as = str(table.get("name", name))
        if "in" in table:
            place = str(table["in"])
            return place, sent_as.lower() if place == "header" else sent_as
        if sent_as in IN_PATH.findall(str(self._table.get("url"))):
            return "path", sent_as
        return ("query" if self._table.get("method", "GET") in FROM_THE_QUERY else "json"), sent_as


class ParameterCheck(Check):
    """The settings of one parameter."""

    def run(self, sent: Sent, taken: set[Sent]) -> Iterator[Problem]:
        """Report what no call could fill in.

        Args:
            sent: Where it goes, and what it is called there.
            taken: What has its value from elsewhere.
        """
        place, name = sent
        words = {key: value for key, value in self._table.items() if key not in OURS}
        if "value" in self._table:
            yield from self._of_value(words)
        if place == "path" and self._table.get("optional") is True:
            yield self._problem("optional", "true", "false: a path has no gaps", "remove it")
        if sent in taken or (place == "header" and not re.fullmatch(HEADER_NAME, name)):
            allowed = f"a name in the {place} that nothing else decides"
            yield self._problem(None, repr(name), allowed, "send it as something else")
        if place in FLAT and words.get("type") == "object":
            allowed = "text, a number, true or false, or a list of them"
            yield self._problem("type", f"an object in the {place}", allowed, 'put it in = "json"')
        yield from self._of_schema(words)

    def _of_value(self, words: Mapping[str, object]) -> Iterator[Problem]:
        if words or self._table.get("optional"):
            found = ", ".join([*words, *self._table.keys() & {"optional"}])
            allowed = "nothing besides value, in and name: no agent chooses it"
            yield self._problem(None, found, allowed, "remove the rest, or value")

    def _of_schema(self, words: Mapping[str, object]) -> Iterator[Problem]:
        known = (*WORDS, *OURS)
        for word in words:
            if word not in known:
                near = get_close_matches(word, known, n=1)
                allowed = f"{', '.join(sorted(OURS))}, and words of JSON schema: {', '.join(WORDS)}"
                nearest = near[0] if near else None
                yield self._problem(word, "an unknown setting", allowed, nearest=nearest)
                return
        # Only a gate that looks at schemas has its 15 MB in memory.
        import jsonschema_rs  # noqa: PLC0415

        # Where it will stand: what it refers to is looked for in the whole.
        schema = {"properties": {self._place[-1]: words}}
        try:
            jsonschema_rs.validator_for(schema, retriever=_retrieve_nothing)
        except jsonschema_rs.ValidationError as error:
            at = next(map(str, error.instance_path[2:]), None)
            remedy = "see https://json-schema.org"
            yield self._problem(at, shown(words.get(at or "")), error.message, remedy)


def _retrieve_nothing(uri: str) -> NoReturn:
    msg = f"a schema may not refer to {uri}: settings open no connection"
    raise ValueError(msg)
