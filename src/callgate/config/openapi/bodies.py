"""The parameters of an operation, and the members of its body, as parameters of a tool."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from callgate.config.openapi.documents import Document, Operation, Unusable, text_at
from callgate.config.openapi.schemas import Schemas, shortened
from callgate.config.page import Page, as_table
from callgate.config.tool_checks import CREDENTIALS, OUR_HEADERS
from callgate.config.tool_policies import Place
from callgate.config.tool_resolving import place_of

JSON: Final = re.compile(r"application/(?:[\w.+-]+\+)?json|\*/\*")
FORM: Final = "application/x-www-form-urlencoded"

ODD: Final = re.compile(r"[^A-Za-z0-9_.-]+")
LONGEST_NAME: Final = 64
"""Characters of a name. Source: OpenAI and Anthropic, names of functions and of their parameters."""


class Drafted(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter of a tool, as its table has it."""

    name: str
    place: Place
    sent_as: str
    is_optional: bool
    schema: dict[str, Any]
    remark: str | None = None
    """What somebody should look at."""

    def table(self, operation: Operation) -> dict[str, Any]:
        """Return its table, without what follows from the rest."""
        written: dict[str, Any] = {}
        if self.place != place_of(self.sent_as, url=operation.path, method=operation.method):
            written["in"] = self.place
        if self.sent_as != self.name:
            written["name"] = self.sent_as
        if self.is_optional:
            written["optional"] = True
        return {**self.schema, **written}


class Parameters:
    """Reads what the operations of a document take."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._schemas = Schemas(document)

    def of(self, operation: Operation) -> Sequence[Drafted]:
        """Return the parameters of an operation, each with a name of its own.

        Raises:
            Unusable: It needs something that no tool can send.
        """
        named: dict[str, Drafted] = {}
        for one in (*self._beside(operation), *self._body(operation)):
            name, n = one.name, 2
            while name in named:
                name, n = f"{one.name}_{n}", n + 1
            named[name] = msgspec.structs.replace(one, name=name)
        return tuple(named.values())

    def _beside(self, operation: Operation) -> Iterator[Drafted]:
        """Give the parameters beside the body."""
        for parameter in operation.parameters:
            place, sent_as = text_at(parameter, "in"), text_at(parameter, "name")
            if place == "header" and sent_as.lower() in OUR_HEADERS | CREDENTIALS:
                continue
            flaw = self._flaw(parameter)
            if flaw is None and place in {"path", "query", "header"}:
                yield self._drafted(parameter, "path" if place == "path" else _place(place))
            elif parameter.get("required") is True:
                msg = f"{sent_as!r} is required and {flaw or f'is a {place}'}, which no tool sends"
                raise Unusable(msg)

    def _drafted(self, parameter: Page, place: Place) -> Drafted:
        schema = self._schemas.read(parameter.get("schema"))
        if "description" in parameter:
            schema["description"] = shortened(parameter["description"])
        is_list = schema.get("type") == "array"
        joined = is_list and place == "query" and parameter.get("explode") is False
        name = text_at(parameter, "name")
        return Drafted(
            name=clean(name),
            place=place,
            sent_as=name,
            is_optional=place != "path" and parameter.get("required") is not True,
            schema=schema,
            remark=f"{name} is sent once for each of its values, and wanted joined"
            if joined
            else None,
        )

    def _flaw(self, parameter: Page) -> str | None:
        """Return why a parameter cannot be sent, if it cannot."""
        if "content" in parameter:
            return "is a document in a parameter"
        kind = self._schemas.read(parameter.get("schema")).get("type")
        return "is an object in a parameter" if kind == "object" else None

    def _body(self, operation: Operation) -> Iterator[Drafted]:
        body = self._document.resolve(operation.table.get("requestBody"))
        content = as_table(body.get("content"))
        if not content or operation.method == "GET":
            return
        type = next((one for one in content if JSON.fullmatch(one)), None)
        if type is None and FORM not in content:
            msg = f"its body is {', '.join(map(str, content))}, which no tool sends"
            raise Unusable(msg)
        place: Place = "form" if type is None else "json"
        schema = as_table(content[type or FORM]).get("schema")
        yield from self._members(schema, place, is_required=body.get("required") is True)

    def _members(self, schema: object, place: Place, *, is_required: bool) -> Iterator[Drafted]:
        found = self._schemas.object_of(schema)
        if found is None:
            if place == "form":
                msg = "its body is a form of unknown fields"
                raise Unusable(msg)
            read = self._schemas.read(schema)
            yield Drafted(
                name="body", place="body", sent_as="body", is_optional=not is_required, schema=read
            )
            return
        members, required = found
        for name, one in members.items():
            if self._schemas.is_read_only(one):
                continue
            read = self._schemas.read(one)
            if place == "form" and read.get("type") == "object":
                msg = f"{name!r} is an object in a form, which no tool sends"
                raise Unusable(msg)
            yield Drafted(
                name=clean(name),
                place=place,
                sent_as=name,
                is_optional=not (is_required and name in required),
                schema=read,
            )


def _place(place: object) -> Place:
    return "header" if place == "header" else "query"


def clean(name: str) -> str:
    """Return a name that models and settings take."""
    made = ODD.sub("_", name).strip("_.-")[:LONGEST_NAME]
    return made or "value"
