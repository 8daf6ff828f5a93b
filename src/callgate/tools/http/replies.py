"""From a reply to what the agent gets of it: picked, of bounded size, and what it cost."""

from __future__ import annotations

import json
import zlib
from decimal import Decimal, InvalidOperation
from math import ceil
from typing import Any, Final, NoReturn

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError

from callgate.call import Headers, ToolResult
from callgate.config.tool_policies import HttpPolicy
from callgate.errors import BrokenReply, Reason
from callgate.money import LARGEST_DOLLARS, NANO_PER_DOLLAR, Money
from callgate.redact import Secret, conceal, redact
from callgate.tools.results import data, medium, said, too_large, useless, whole

LARGEST_BODY: Final = 10_000_000
"""Bytes of a reply that are read, of which an agent gets what is picked."""

LONGEST_QUOTE: Final = 300
"""Characters of a server's own words that a message repeats."""

MEDIA: Final = frozenset({
    "image/png", "image/jpeg", "image/gif", "image/webp",
    "audio/wav", "audio/mpeg", "audio/mp3", "audio/ogg", "audio/flac",
})  # fmt: skip
"""What a result may hold besides text."""


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A reply, read."""

    tool: str
    status: int
    headers: Headers
    body: bytes | None
    """None where it has more than is read."""
    credential: Secret | None

    def header(self, name: str) -> str:
        """Return a header; an empty text where there is none."""
        return next((value for named, value in self.headers if named == name), "")

    @property
    def type(self) -> str:
        """What it says that it is, such as ``text/html``."""
        return self.header("content-type").partition(";")[0].strip().lower()

    @property
    def is_json(self) -> bool:
        """Whether it says that it is JSON."""
        return self.type == "application/json" or self.type.endswith("+json")

    @property
    def text(self) -> str:
        """Its text; what is no character is marked as such."""
        named = self.header("content-type").partition("charset=")[2].partition(";")[0].strip(' "')
        try:
            return (self.body or b"").decode(named or "utf-8", "replace")
        except LookupError:
            return (self.body or b"").decode("utf-8", "replace")

    def page(self) -> Any:
        """Return its JSON.

        Raises:
            ValueError: It is none.
        """
        try:
            return json.loads(self.body or b"", parse_constant=_no_constant)
        except RecursionError:
            msg = "it is nested too deeply"
            raise ValueError(msg) from None

    def quote(self, text: str) -> str:
        """Return somebody's words on one line, short, and without a credential."""
        text = whole(text)
        known = text if self.credential is None else conceal(text, self.credential)
        return redact(" ".join(known.split()))[:LONGEST_QUOTE] or "(nothing)"


def unpacked(body: bytes | None, headers: Headers) -> bytes | None:
    """Return a body that came compressed although nobody asked for it; None if it is too large.

    Raises:
        BrokenReply: It is not what it says.
    """
    encoding = next((value.lower() for name, value in headers if name == "content-encoding"), "")
    if body is None or encoding not in {"gzip", "deflate"}:
        return body
    try:
        inflating = zlib.decompressobj(zlib.MAX_WBITS | 32)
        found = inflating.decompress(body, LARGEST_BODY + 1)
    except zlib.error as error:
        msg = f"the reply says it is {encoding}, and cannot be unpacked: {error}"
        raise BrokenReply(msg, billed=True) from None
    return found if len(found) <= LARGEST_BODY else None


def result_of(received: Received, http: HttpPolicy) -> ToolResult:
    """Return what a reply with a good status is for the agent.

    Raises:
        BrokenReply: It is not what the settings declare.
    """
    if received.body is None:
        return too_large(None, LARGEST_BODY)
    if not received.body.strip():
        return said("(no content)")
    if http.returns == "json" or (http.returns == "any" and received.is_json):
        return _of_page(_page(received), http, received)
    if http.returns == "text" or received.type.startswith("text/") or not received.type:
        return said(received.text)
    if received.type in MEDIA:
        return medium(received.body, received.type)
    size = len(received.body)
    msg = f"the call was made, and answered with {size:,} bytes of {received.type}"
    hint = "That is nothing that a model can read; do not make the same call again"
    return useless(msg, kind="binary_result", hint=hint)


def _page(received: Received) -> Any:
    try:
        return received.page()
    except ValueError:
        type = received.type or "no type"
        fix = f'set returns under [tools.{received.tool}.http] to "text" or "any", if that is right'
        msg = f"{received.tool} was to answer with JSON, and sent {type}: {received.quote(received.text)}; {fix}"
        raise BrokenReply(msg, billed=True, reason=Reason(code="not_json", fix=fix)) from None


def _of_page(page: Any, http: HttpPolicy, received: Received) -> ToolResult:
    cost = cost_of(page, http)
    if http.fails_when is not None and find(http.fails_when, page):
        told = message_of(page, http) or received.quote(received.text)
        result = said(received.quote(told), is_error=True)
    else:
        result = data(page if http.pick is None else find(http.pick, page))
        result = result if result.content else said("null")
    return msgspec.structs.replace(result, cost=cost)


def cost_of(page: Any, http: HttpPolicy) -> Money | None:
    """Return what a reply says that its call cost; None where it says nothing that can be believed."""
    if http.cost_from is None:
        return None
    found = find(http.cost_from, page)
    if isinstance(found, bool) or not isinstance(found, int | float | str):
        return None
    try:
        units = Decimal(str(found))
        nano = ceil(units * http.cost_unit.nano) if units.is_finite() else -1
    except InvalidOperation:
        return None
    return Money(nano) if 0 <= nano <= LARGEST_DOLLARS * NANO_PER_DOLLAR else None


def message_of(page: Any, http: HttpPolicy) -> str | None:
    """Return the text of an error where the settings say it is."""
    found = None if http.error_message is None else find(http.error_message, page)
    if found is None or found == "":
        return None
    return found if isinstance(found, str) else msgspec.json.encode(found).decode()


def find(place: str, page: Any) -> Any:
    """Return what JMESPath finds; None also where it does not fit what is there."""
    try:
        return jmespath.search(place, page)
    except (JMESPathError, TypeError, RecursionError):
        return None


def _no_constant(name: str) -> NoReturn:
    msg = f"{name} is no JSON"
    raise ValueError(msg)
