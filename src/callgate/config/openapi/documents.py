"""An OpenAPI document, read with no trust in it: its operations, and what they refer to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

import msgspec

from callgate.config.page import Page, as_table
from callgate.config.tool_policies import Method
from callgate.errors import Misconfigured

METHODS: Final[Mapping[str, Method]] = {
    "get": "GET", "post": "POST", "put": "PUT", "patch": "PATCH", "delete": "DELETE",
}  # fmt: skip
MOST_HOPS: Final = 20
"""How often a reference may lead to another one."""


class Unusable(Exception):
    """A part of a document that no tool can be made of; the message says why."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method at one path."""

    method: Method
    path: str
    table: Page
    """What stands there."""
    parameters: Sequence[Page]
    """Its own and those of its path, references resolved."""
    server: str
    """Where it is, as it stands there."""

    @property
    def place(self) -> str:
        """What it is called in messages, such as ``GET /pets``."""
        return f"{self.method} {self.path}"


class Document:
    """An OpenAPI document of version 3.0 or 3.1.

    Args:
        page: What it holds, read from JSON or YAML.

    Raises:
        Misconfigured: It is none.
    """

    def __init__(self, page: object) -> None:
        self.page = as_table(page)
        version = str(self.page.get("openapi", ""))
        if not version.startswith("3."):
            found = f"version {self.page['swagger']}" if "swagger" in self.page else "no version"
            msg = (
                f"this is no OpenAPI document of version 3 but has {version or found}; converters from "
                "older versions are at https://openapi.tools"
            )
            raise Misconfigured(msg)
        info = as_table(self.page.get("info"))
        self.title = " ".join(str(info.get("title") or "an interface").split())
        self.version = " ".join(str(info.get("version") or "").split())

    def operations(self) -> Iterator[Operation]:
        """Give every operation, in the order of the document."""
        for path, value in as_table(self.page.get("paths")).items():
            item = self.resolve(value)
            for name, method in METHODS.items():
                if isinstance(item.get(name), dict):
                    table = as_table(item[name])
                    yield Operation(
                        method=method,
                        path=str(path),
                        table=table,
                        parameters=list(self._parameters(item, table)),
                        server=self._server(table, item, self.page),
                    )

    def resolve(self, value: object) -> Page:
        """Return a table, or the one that it refers to.

        Raises:
            Unusable: What it refers to is not in the document.
        """
        table = as_table(value)
        for _ in range(MOST_HOPS):
            reference = table.get("$ref")
            if not isinstance(reference, str):
                return table
            table = as_table(self._find(reference))
        msg = "a reference leads in circles"
        raise Unusable(msg)

    def _find(self, reference: str) -> object:
        if not reference.startswith("#/"):
            msg = f"{reference!r} is in another document"
            raise Unusable(msg)
        found: object = self.page
        for part in reference[2:].split("/"):
            name = (
                part.replace("~1", "/").replace("~0", "~").replace("%7B", "{").replace("%7D", "}")
            )
            table = as_table(found)
            if name not in table:
                msg = f"{reference!r} leads nowhere"
                raise Unusable(msg)
            found = table[name]
        return found

    def _parameters(self, item: Page, table: Page) -> Iterator[Page]:
        """Give the parameters of an operation; its own go before those of its path."""
        named: dict[tuple[str, str], Page] = {}
        for one in (*listed(item.get("parameters")), *listed(table.get("parameters"))):
            try:
                parameter = self.resolve(one)
            except Unusable:
                continue
            named[text_at(parameter, "in"), text_at(parameter, "name")] = parameter
        yield from named.values()

    @staticmethod
    def _server(*tables: Page) -> str:
        """Return where an operation is: the first server of the nearest table that names one."""
        for table in tables:
            for one in listed(table.get("servers")):
                server = as_table(one)
                url = str(server.get("url", ""))
                for name, variable in as_table(server.get("variables")).items():
                    url = url.replace(f"{{{name}}}", str(as_table(variable).get("default", "")))
                return url
        return ""


def text_at(table: Page, key: str) -> str:
    """Return what stands at a key if that is text, else an empty one."""
    value = table.get(key)
    return value if isinstance(value, str) else ""


def listed(value: object) -> Sequence[object]:
    """Return a value if it is a list, else an empty one."""
    return cast("list[object]", value) if isinstance(value, list) else ()
