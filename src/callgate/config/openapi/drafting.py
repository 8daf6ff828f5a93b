"""From an OpenAPI document to settings: a table for each operation that a tool can be made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import msgspec

from callgate.call import Effect
from callgate.config.loading import read_settings
from callgate.config.openapi import toml
from callgate.config.openapi.bodies import LONGEST_NAME, Drafted, Parameters, clean
from callgate.config.openapi.documents import Document, Operation, Unusable, listed, text_at
from callgate.config.openapi.schemas import Schemas, shortened
from callgate.config.page import as_table
from callgate.config.problems import InvalidSettings
from callgate.config.tool_policies import Method

EFFECTS: Final[Mapping[Method, Effect]] = {
    "GET": "read", "PUT": "write", "POST": "write", "PATCH": "write", "DELETE": "destructive",
}  # fmt: skip

NOWHERE: Final = "https://api.example.invalid"
"""Where a tool is whose document does not say it: a host that there never is. Source: RFC 6761 §6.4."""

LOOPBACK: Final = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(?=[:/]|$)")

MOST_PICKED: Final = 6


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """Settings for somebody to cut down and correct."""

    text: str
    tools: Sequence[str]
    """The names of its tools."""
    left_out: Sequence[str]
    """What no tool was made of, each with the reason."""


def draft(document: Document, *, only: Sequence[str] = (), source: str = "") -> Draft:
    """Return settings for the tools that a document describes.

    Args:
        document: The document.
        only: Patterns of which a tool's name, its ``operationId`` or ``METHOD /path`` must match one;
            without any, all do.
        source: Where the document comes from: servers without a host are taken to be there.
    """
    drafter = Drafter(document, source)
    tables: dict[str, str] = {}
    left_out: list[str] = []
    for operation in document.operations():
        name = _free_name(name_of(operation), tables)
        if only and not _is_meant(operation, name, only):
            continue
        try:
            tables[name] = drafter.table(operation, name)
        except Unusable as unusable:
            left_out.append(f"{operation.place}: {unusable}")
    text = "\n".join((_head(document, list(tables)), *tables.values()))
    return Draft(text=text, tools=list(tables), left_out=left_out)


def name_of(operation: Operation) -> str:
    """Return what a tool is called: the operation's id in the style of functions, or its place."""
    id = operation.table.get("operationId")
    words = id if isinstance(id, str) and id.strip() else f"{operation.method} {operation.path}"
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", words)
    return clean(re.sub(r"[^A-Za-z0-9]+", "_", apart).lower())


def _free_name(name: str, taken: Mapping[str, str]) -> str:
    free, n = name, 2
    while free in taken:
        suffix = f"_{n}"
        free, n = name[: LONGEST_NAME - len(suffix)] + suffix, n + 1
    return free


def _is_meant(operation: Operation, name: str, only: Sequence[str]) -> bool:
    names = (name, str(operation.table.get("operationId", "")), operation.place)
    return any(fnmatchcase(each, pattern) for pattern in only for each in names)


def _head(document: Document, names: Sequence[str]) -> str:
    title = " ".join(filter(None, (document.title, document.version)))
    listed_names = ", ".join(map(toml.text, names))
    return "\n".join((
        f"# Drafted from {title}.",
        "# Delete what no agent needs, as each tool costs tokens in every request; see that each effect is",
        "# right; say in each description when to call it; and pick of each reply what an agent needs.",
        "",
        "# [agents.NAME]",
        f"# tools = [{listed_names}]",
        "",
    ))  # fmt: skip


class Drafter:
    """Makes tables of the operations of one document."""

    def __init__(self, document: Document, source: str) -> None:
        self._document = document
        self._source = source
        self._parameters = Parameters(document)
        self._schemas = Schemas(document)
        self._key = (
            f"env:{re.sub(r'[^A-Z0-9]+', '_', document.title.upper()).strip('_') or 'API'}_KEY"
        )

    def table(self, operation: Operation, name: str) -> str:
        """Return the tables of a tool, which load as they stand.

        Raises:
            Unusable: No tool can be made of it.
        """
        try:
            text = "\n".join(self._lines(operation, name))
            read_settings(text, Path("/callgate.toml"))
        except RecursionError:
            msg = "it is nested too deeply"
            raise Unusable(msg) from None
        except InvalidSettings as invalid:
            problem = invalid.problems[0]
            msg = f"{problem.key}: found {problem.found}, allowed {problem.allowed}"
            raise Unusable(msg) from None
        return text

    def _lines(self, operation: Operation, name: str) -> Iterator[str]:
        url, remark = self._url(operation)
        auth, auth_remark = self._auth(operation)
        sent = (auth or "").lower()
        parameters = [
            one
            for one in self._parameters.of(operation)
            if f"{one.place}:{one.sent_as}".lower() != sent
        ]
        remarks = (remark, auth_remark, *(one.remark for one in parameters))
        yield from (f"# {said}" for said in remarks if said is not None)
        yield f"[tools.{toml.key(name)}]"
        yield f"description = {toml.text(_description(operation))}"
        yield f"effect = {toml.text(EFFECTS[operation.method])}"
        if operation.method == "PUT":
            yield "idempotent = true"
        if auth is not None:
            yield f"key = {toml.text(self._key)}"
        yield ""
        yield f"[tools.{toml.key(name)}.http]"
        yield from self._http(operation, url, auth)
        yield from _tables(operation, name, parameters)

    def _http(self, operation: Operation, url: str, auth: str | None) -> Iterator[str]:
        if operation.method != "GET":
            yield f"method = {toml.text(operation.method)}"
        yield f"url = {toml.text(url)}"
        if auth not in {None, "bearer"}:
            yield f"auth = {toml.text(auth or '')}"
        returns, members = self._reply(operation)
        if returns != "json":
            yield f"returns = {toml.text(returns)}"
        if members:
            pairs = ", ".join(f"{member}: {member}" for member in members[:MOST_PICKED])
            yield f"# pick = {toml.text(f'{{{pairs}}}')}"
        yield ""

    def _url(self, operation: Operation) -> tuple[str, str | None]:
        """Return where an operation is, and what somebody should look at."""
        base = operation.server.rstrip("/")
        if "://" not in base:
            host = re.match(r"https?://[^/?#]+", self._source)
            if host is None:
                return (
                    f"{NOWHERE}{operation.path}",
                    "the document does not say where it is: correct url",
                )
            base = host[0] + ("" if not base or base.startswith("/") else "/") + base
        if base.startswith("http://") and LOOPBACK.match(base) is None:
            remark = "the document says http, which would show the key to whoever listens"
            return f"https{base.removeprefix('http')}{operation.path}", remark
        return base + operation.path, None

    def _auth(self, operation: Operation) -> tuple[str | None, str | None]:
        """Return how a key is sent, None where none is, and what somebody should look at."""
        wanted = operation.table.get("security", self._document.page.get("security"))
        requirements = [as_table(one) for one in listed(wanted)]
        schemes = as_table(as_table(self._document.page.get("components")).get("securitySchemes"))
        for requirement in filter(None, requirements):
            name = next(iter(requirement))
            auth, remark = _auth_of(self._document.resolve(schemes.get(name)))
            if len(requirement) > 1:
                remark = (
                    f"besides {name} it wants {', '.join(list(requirement)[1:])}, which is not sent"
                )
            return auth, remark
        return None, None

    def _reply(self, operation: Operation) -> tuple[str, list[str]]:
        """Return what a good reply is, and the members of it."""
        responses = as_table(operation.table.get("responses"))
        good = next((one for code, one in responses.items() if str(code).startswith("2")), None)
        try:
            content = as_table(self._document.resolve(good).get("content"))
            type = next((one for one in content if "json" in one), None)
            if type is None:
                texts = [one for one in content if one.startswith("text/")]
                return ("text" if texts else "any") if content else "json", []
            found = self._schemas.object_of(as_table(content[type]).get("schema"))
        except Unusable:
            return "json", []
        members = [] if found is None else list(found[0])
        return "json", [name for name in members if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII)]


def _description(operation: Operation) -> str:
    table = operation.table
    said = shortened(table.get("summary")) or shortened(table.get("description"))
    return said or f"{operation.place}."


def _auth_of(scheme: Mapping[str, Any]) -> tuple[str | None, str | None]:
    kind, place = text_at(scheme, "type"), text_at(scheme, "in")
    if kind == "apiKey" and place in {"header", "query"}:
        name = text_at(scheme, "name")
        is_bearer = (place, name.lower()) == ("header", "authorization")
        return (
            f"{place}:{name}",
            "key is sent as it is: begin it with Bearer, if that is wanted" if is_bearer else None,
        )
    if kind == "http":
        return ("basic" if text_at(scheme, "scheme").lower() == "basic" else "bearer"), None
    if kind in {"oauth2", "openIdConnect"}:
        return "bearer", "key is an access token, which somebody must renew"
    return None, f"it wants a key in a {place}, which is not sent" if kind == "apiKey" else None


def _tables(operation: Operation, name: str, parameters: Sequence[Drafted]) -> Iterator[str]:
    if parameters:
        yield f"[tools.{toml.key(name)}.http.parameters]"
    for one in parameters:
        yield f"{toml.key(one.name)} = {toml.value(one.table(operation))}"
    yield ""
