"""The kinds of values that a setting may have: how one is read, and what may stand there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import jmespath
from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from callgate.config.values import (
    LARGEST_SIZE,
    LONGEST_DURATION,
    parse_duration,
    parse_money,
    parse_price,
    parse_shares,
    parse_size,
)
from callgate.money import Money

KIND: Final = "kind"
"""The type of the error that a kind reports."""


class Kind:
    """One kind of value, as an annotation of a field.

    Args:
        read: Returns what a value means, or raises ValueError.
        allowed: What may stand there, in words.
        name: What such a value is called.
        schema: The same as JSON schema.
        secret: Whether a wrong value may be a key by mistake, so that no message shows it.
    """

    def __init__(
        self,
        read: Callable[[object], object],
        allowed: str,
        *,
        name: str,
        schema: Mapping[str, object],
        secret: bool = False,
    ) -> None:
        self._read = read
        self._allowed = allowed
        self._schema = {"x-kind": name, **schema}
        self._secret = secret

    def __get_pydantic_core_schema__(
        self, _source: object, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Read the value as this kind does."""
        return core_schema.no_info_plain_validator_function(self._checked)

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe the value as this kind does."""
        return dict(self._schema)

    def _checked(self, value: object) -> object:
        try:
            return self._read(value)
        except ValueError:
            context = {"allowed": self._allowed, "secret": self._secret}
            raise PydanticCustomError(KIND, "{allowed}", context) from None


def _text(pattern: str) -> Callable[[object], str]:
    """Return what reads a text of a certain form."""
    form = re.compile(pattern)

    def read(value: object) -> str:
        if isinstance(value, str) and form.fullmatch(value):
            return value
        raise ValueError

    return read


def _read_url(value: object) -> str:
    return _text(URL)(value).rstrip("/")


def _read_base_url(value: object) -> str:
    return _text(BASE_URL)(value).rstrip("/")


def _read_platform_url(value: object) -> str:
    return _text(TOOL_URL)(value).rstrip("/")


def _read_candidate(value: object) -> tuple[str, str]:
    text = _text(CANDIDATE)(value)
    provider, _, model = (text if ":" in text else text.replace("/", ":", 1)).partition(":")
    return provider, model


def _read_query(value: object) -> str:
    text = _text(r"(?s).*\S.*")(value)
    jmespath.compile(text)
    return text


def _read_status(value: object) -> int:
    return int(_text(STATUS)(value))


NUMBER: Final = r"[0-9]+(\.[0-9]+)?"
URL: Final = r"^https?://[^\s/?#]+[^\s?#]*$"
BASE_URL: Final = r"^https?://[^\s/?#]+[^\s?#]*(\?api-version=[\w.-]+)?$"
AWS_REGION: Final = r"^[a-z]{2,}(-[a-z]+)+-[0-9]+$"
REFERENCE: Final = r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:[^\x00]+)$"
STORE: Final = (
    r"^(sqlite:[^\x00]+"
    r"|postgres(ql)?://(?!\S*:\S*@)(?!\S*[?&](ssl)?password=)[^\s\x00]+)$"
)
"""A password is in ``PGPASSWORD`` or ``~/.pgpass``, where libpq looks for it."""
HEADER_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
"""Source: RFC 9110 §5.6.2, which calls it a token."""
TOOL_URL: Final = (
    r"^(https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])|http://(localhost|127\.0\.0\.1|\[::1\]))"
    r"(:[0-9]{1,5})?(/(?!\.{1,2}(/|$))[^\s/?#\\]*)*$"
)
"""No user, no query, no step up; nothing but the path may have parameters."""
AUTH_PLACE: Final = rf"^(bearer|basic|header:{HEADER_NAME}|query:[^\s&=#]+)$"
FUNCTION: Final = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$"
VARIABLE: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
STATUS: Final = r"^[45][0-9][0-9]$"
SLUG: Final = r"^([A-Za-z0-9_]([A-Za-z0-9_-]|\.(?!\.))*/)?[A-Za-z0-9_]([A-Za-z0-9_-]|\.(?!\.))*$"
"""Nothing that an address could take for more than a name, such as ``..``."""
CANDIDATE: Final = r"^([^:/\s]+:\S+|[^:/\s]+/\S+)$"

Amount = Annotated[
    Money,
    Kind(
        parse_money,
        'US dollars in quotes, such as "$0.50", up to a billion',
        name="amount of money",
        schema={"type": "string", "pattern": rf"^\$?{NUMBER}$"},
    ),
]
Price = Annotated[
    int,
    Kind(
        parse_price,
        'US dollars for a million tokens in quotes, such as "$1.25", down to "$0.000000001"',
        name="price",
        schema={"type": "string", "pattern": rf"^\$?{NUMBER}$"},
    ),
]
Duration = Annotated[
    float,
    Kind(
        parse_duration,
        'a length of time up to a year, such as "30s", "10m", "2h" or "1d"',
        name="length of time",
        schema={
            "anyOf": [
                {"type": "string", "pattern": rf"^({NUMBER}|({NUMBER}(ms|s|m|h|d))+)$"},
                {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_DURATION},
            ]
        },
    ),
]
Size = Annotated[
    int,
    Kind(
        parse_size,
        'a number of bytes up to 1,000 GB, such as "32MB"',
        name="size",
        schema={
            "anyOf": [
                {"type": "string", "pattern": "^[0-9]+ *(B|kB|KB|MB|GB)$"},
                {"type": "integer", "minimum": 1, "maximum": LARGEST_SIZE},
            ]
        },
    ),
]
Shares = Annotated[
    tuple[float, ...],
    Kind(
        parse_shares,
        "shares over 0 and up to 1 that rise, such as [0.8, 0.95]",
        name="list of shares",
        schema={
            "type": "array",
            "items": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        },
    ),
]
Reference = Annotated[
    str,
    Kind(
        _text(REFERENCE),
        "never a key, only where it is: env:NAME or file:PATH",
        name="reference",
        schema={"type": "string", "pattern": REFERENCE},
        secret=True,
    ),
]
Url = Annotated[
    str,
    Kind(
        _read_url,
        'a URL, such as "https://host/v1"',
        name="URL",
        schema={"type": "string", "pattern": URL},
        # It may hold a password.
        secret=True,
    ),
]
BaseUrl = Annotated[
    str,
    Kind(
        _read_base_url,
        'a URL, such as "https://host/v1"; only Azure\'s may end in ?api-version=',
        name="URL",
        schema={"type": "string", "pattern": BASE_URL},
        # It may hold a password.
        secret=True,
    ),
]
AwsRegion = Annotated[
    str,
    Kind(
        _text(AWS_REGION),
        'a region of AWS, such as "eu-central-1"',
        name="region of AWS",
        schema={"type": "string", "pattern": AWS_REGION},
    ),
]
StorePlace = Annotated[
    str,
    Kind(
        _text(STORE),
        'sqlite: and a file, such as "sqlite:callgate.db", or a database without its password, such '
        'as "postgresql://user@host/name"',
        name="store",
        schema={"type": "string", "pattern": STORE},
        # It may hold a password.
        secret=True,
    ),
]
SlugEntry = Annotated[
    str,
    Kind(
        _text(SLUG),
        'a tool as its platform calls it, such as "google-search", or "owner/tool"',
        name="`slug` or `owner/slug`",
        schema={"type": "string", "pattern": SLUG},
    ),
]
UseEntry = Annotated[
    tuple[str, str],
    Kind(
        _read_candidate,
        'a provider and its model, as "provider:model"',
        name="`provider:model`",
        schema={"type": "string", "pattern": CANDIDATE},
    ),
]

ToolUrl = Annotated[
    str,
    Kind(
        _text(TOOL_URL),
        'a URL of https (of http on this machine), such as "https://host/refunds/{id}", without a user,'
        " a query and dots for steps; what goes into the query stands under parameters",
        name="URL",
        schema={"type": "string", "pattern": TOOL_URL},
        # It may hold a password.
        secret=True,
    ),
]
PlatformUrl = Annotated[
    str,
    Kind(
        _read_platform_url,
        'a URL of https (of http on this machine), such as "https://host", without a user and a query',
        name="URL",
        schema={"type": "string", "pattern": TOOL_URL},
        # It may hold a password.
        secret=True,
    ),
]
AuthPlace = Annotated[
    str,
    Kind(
        _text(AUTH_PLACE),
        "bearer, basic, header:NAME or query:NAME",
        name='`"bearer"`, `"basic"`, `"header:NAME"`, `"query:NAME"`',
        schema={"type": "string", "pattern": AUTH_PLACE},
    ),
]
HeaderName = Annotated[
    str,
    Kind(
        _text(rf"^{HEADER_NAME}$"),
        'the name of a header, such as "Idempotency-Key"',
        name="name of a header",
        schema={"type": "string", "pattern": rf"^{HEADER_NAME}$"},
    ),
]
FunctionPlace = Annotated[
    str,
    Kind(
        _text(FUNCTION),
        'a module and its function, such as "my_tools:web_search"',
        name="`module:function`",
        schema={"type": "string", "pattern": FUNCTION},
    ),
]
Variable = Annotated[
    str,
    Kind(
        _text(VARIABLE),
        "the name of a variable of the environment, such as API_KEY",
        name="name of a variable",
        schema={"type": "string", "pattern": VARIABLE},
    ),
]
Query = Annotated[
    str,
    Kind(
        _read_query,
        'JMESPath, such as "items[].{id: id, name: name}"; see https://jmespath.org',
        name="JMESPath",
        schema={"type": "string", "pattern": r"\S"},
    ),
]
StatusName = Annotated[
    int,
    Kind(
        _read_status,
        "a status from 400 to 599",
        name="status",
        schema={"type": "string", "pattern": STATUS},
    ),
]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$")]
Region = Name
McpName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_\-]*$")]
RouteName = Annotated[str, Field(pattern=r"^[^\s*?\[\]]+$")]
Tokens = Annotated[int, Field(ge=1, le=1_000_000_000)]
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
