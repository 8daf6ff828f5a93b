"""Settings of MCP servers that do not go together, or that would show a credential."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from callgate.config.kinds import REFERENCE
from callgate.config.lines import Lines
from callgate.config.page import Page, as_table, named_tables, strings
from callgate.config.problems import Problem, dotted
from callgate.config.tool_checks import OUR_HEADERS
from callgate.redact import redact

OF_A_PROGRAM: Final = ("args", "env", "cwd")
OF_A_PLACE: Final = ("key", "headers", "oauth", "ca_file")


def mcp_problems(page: Page, lines: Lines) -> Iterator[Problem]:
    """Report every server that could not be reached, and credentials where none may stand."""
    for name, table in named_tables(page, "mcp"):
        check = Check(name, table, lines)
        yield from check.of_place()
        yield from check.of_oauth()
        yield from check.of_credentials()
        yield from check.of_headers()


class Check:
    """The settings of one server."""

    def __init__(self, name: str, table: Page, lines: Lines) -> None:
        self._place = ("mcp", name)
        self._table = table
        self._lines = lines

    def of_place(self) -> Iterator[Problem]:
        """Report a server that is nowhere or in two places, and settings of the other kind."""
        is_program, is_place = "command" in self._table, "url" in self._table
        if is_program == is_place:
            found = "command and url" if is_program else "neither command nor url"
            allowed = "one of the two: a program to start, or where a server is"
            yield self._problem((), found, allowed, f"name one in [{dotted(self._place)}]")
            return
        kind, without = ("url", OF_A_PROGRAM) if is_place else ("command", OF_A_PLACE)
        for key in without:
            if key in self._table:
                allowed = f"nothing: it means nothing for a server with a {kind}"
                yield self._problem((key,), "a setting of the other kind", allowed, "remove it")

    def of_oauth(self) -> Iterator[Problem]:
        """Report two credentials for one server, and one that is not whole."""
        if not isinstance(self._table.get("oauth"), dict):
            return
        oauth = as_table(self._table["oauth"])
        if "key" in self._table:
            allowed = "one of both: key and oauth are sent in the same header"
            yield self._problem(("oauth",), "oauth beside key", allowed, "remove one")
        if oauth.get("grant") == "client_credentials":
            for key in ("client_id", "client_secret", "issuer"):
                if key not in oauth:
                    allowed = "client_id, client_secret and issuer, as the gate has a credential"
                    yield self._problem(("oauth", key), "nothing", allowed, f"add {key}")

    def of_credentials(self) -> Iterator[Problem]:
        """Report what looks like a credential where only its place may stand."""
        remedy = 'put it into the environment or a file, and write "env:NAME" or "file:PATH"'
        for section in ("env", "headers"):
            for name, value in as_table(self._table.get(section)).items():
                is_reference = isinstance(value, str) and re.match(REFERENCE, value)
                text = f"{name}={value}"
                if not is_reference and redact(text) != text:
                    allowed = "never a key, only where it is: env:NAME or file:PATH"
                    yield self._problem((section, name), "a credential", allowed, remedy)
        for index, value in strings(self._table, "args"):
            if redact(value) != value:
                allowed = (
                    "no credentials: everybody on the machine sees what programs are started with"
                )
                yield self._problem(("args", index), "a credential", allowed, f"{remedy} under env")

    def of_headers(self) -> Iterator[Problem]:
        """Report headers that something else decides."""
        for name in as_table(self._table.get("headers")):
            lower = name.lower()
            if lower == "authorization" and "key" in self._table:
                allowed = "one of both: key is sent in this header"
                yield self._problem(("headers", name), "a header beside key", allowed, "remove one")
            elif lower in OUR_HEADERS or lower.startswith("mcp-"):
                allowed = "a header that nothing else decides"
                yield self._problem(("headers", name), repr(name), allowed, "name another header")

    def _problem(
        self, keys: tuple[str | int, ...], found: str, allowed: str, remedy: str
    ) -> Problem:
        path = (*self._place, *keys)
        return Problem(
            line=self._lines.of(path), key=dotted(path), found=found, allowed=allowed, remedy=remedy
        )
