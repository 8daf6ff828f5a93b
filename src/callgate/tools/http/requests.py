"""From the arguments of a call to the request that is sent, with nothing in it that could lead elsewhere."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast
from urllib.parse import quote

import msgspec

from callgate import __version__
from callgate.call import Headers
from callgate.config.tool_policies import HttpPolicy, Parameter, Place, Returns
from callgate.config.tool_resolving import IN_PATH
from callgate.errors import BadRequest, Reason
from callgate.redact import Secret
from callgate.tools import Invocation

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"

ACCEPTED: Final[Mapping[Returns, str]] = {"json": JSON, "text": "text/*, */*;q=0.1", "any": "*/*"}
"""What a request says that it takes, by what the tool is declared to return."""

STEP: Final = re.compile(r"(?:^|[/\\])\.{1,2}(?:[/\\]|$)")
"""A part of a path that leads up or stays, also behind a slash that is encoded."""

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

Pairs = Sequence[tuple[str, str]]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it leaves."""

    method: str
    url: str
    headers: Headers
    body: bytes = b""


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter and what a call gives for it."""

    parameter: Parameter
    value: Any


def draft(http: HttpPolicy, invocation: Invocation) -> Request:
    """Return the request of a call.

    Raises:
        BadRequest: An argument cannot be sent where it goes; nothing was.
    """
    try:
        return _drafted(http, invocation)
    except UnicodeEncodeError as error:
        msg = f"an argument holds half of a character, which cannot be sent: {error.reason}"
        raise BadRequest(msg, billed=False) from None


def _drafted(http: HttpPolicy, invocation: Invocation) -> Request:
    filled = tuple(_filled(http, invocation.arguments))
    key_headers, key_query = _key(http.auth, invocation.credential)
    body, type = _body(http, filled)
    headers = [
        ("accept", ACCEPTED[http.returns]),
        ("accept-encoding", "identity"),
        ("user-agent", f"callgate/{__version__}"),
        *([("content-type", type)] if type else []),
        *_headers(filled),
        *key_headers,
    ]
    if http.idempotency_header is not None:
        headers.append((http.idempotency_header, invocation.idempotency_key))
    return Request(
        method=http.method,
        url=_url(http.url, filled, key_query),
        headers=tuple(headers),
        body=body,
    )


def _filled(http: HttpPolicy, arguments: Mapping[str, Any]) -> Iterator[Filled]:
    """Give every parameter that has a value in this call, or in all."""
    for parameter in http.parameters:
        if parameter.value is not None:
            yield Filled(parameter=parameter, value=parameter.value)
        elif parameter.name in arguments:
            yield Filled(parameter=parameter, value=arguments[parameter.name])


def _at(filled: Sequence[Filled], place: Place) -> Iterator[Filled]:
    return (one for one in filled if one.parameter.place == place)


def _pairs(filled: Sequence[Filled], place: Place) -> Iterator[tuple[str, str]]:
    """Give names and texts; a list is its name again and again, and null is nothing."""
    for one in _at(filled, place):
        for value in _listed(one.value):
            if value is not None:
                yield one.parameter.sent_as, _text(value, one.parameter)


def _url(template: str, filled: Sequence[Filled], key_query: Pairs) -> str:
    parts = {one.parameter.sent_as: _part(one) for one in _at(filled, "path")}
    url = IN_PATH.sub(lambda found: parts[found[1]], template)
    query = _encoded((*_pairs(filled, "query"), *key_query))
    return f"{url}?{query}" if query else url


def _part(one: Filled) -> str:
    """Return a part of a path, which leads nowhere but to where it stands."""
    text = _joined(one)
    if not text or STEP.search(text) or CONTROL.search(text):
        raise _unsendable(one.parameter, "it would lead to another place of the server")
    return quote(text, safe="")


def _headers(filled: Sequence[Filled]) -> Iterator[tuple[str, str]]:
    for one in _at(filled, "header"):
        if one.value is None:
            continue
        text = _joined(one).strip()
        if CONTROL.search(text) or not text.isascii():
            raise _unsendable(one.parameter, "a header holds plain ASCII text on one line")
        yield one.parameter.sent_as, text


def _joined(one: Filled) -> str:
    """Return a value as text, a list with commas."""
    return ",".join(_text(value, one.parameter) for value in _listed(one.value))


def _listed(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else [value]


def _text(value: object, parameter: Parameter) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return msgspec.json.encode(value).decode()
    raise _unsendable(parameter, "only text, numbers, true and false can be sent there")


def _encoded(pairs: Pairs) -> str:
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)


def _body(http: HttpPolicy, filled: Sequence[Filled]) -> tuple[bytes, str | None]:
    """Return the body and its type; None where there is no body."""
    for one in _at(filled, "body"):
        return msgspec.json.encode(one.value), JSON
    form = list(_pairs(filled, "form"))
    if form:
        return _encoded(form).encode(), FORM
    if not any(parameter.place == "json" for parameter in http.parameters):
        return b"", None
    members = {one.parameter.sent_as: one.value for one in _at(filled, "json")}
    return msgspec.json.encode(members), JSON


def _key(auth: str, credential: Secret | None) -> tuple[Pairs, Pairs]:
    """Return the headers and the query in which the key is sent."""
    if credential is None:
        return (), ()
    key = credential.reveal()
    kind, _, name = auth.partition(":")
    if kind == "query":
        return (), ((name, key),)
    if kind == "header":
        return ((name, key),), ()
    if kind == "basic":
        pair = key if ":" in key else f"{key}:"
        return (("authorization", f"Basic {base64.b64encode(pair.encode()).decode()}"),), ()
    return (("authorization", f"Bearer {key}"),), ()


def _unsendable(parameter: Parameter, why: str) -> BadRequest:
    fix = f"correct $.{parameter.name}; nothing was sent"
    msg = f"$.{parameter.name} cannot be sent in the {parameter.place}: {why}; {fix}"
    return BadRequest(msg, billed=False, reason=Reason(code="invalid_arguments", fix=fix))
