"""The settings file as it is written: names, types and what each setting means."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema

from callgate.config.values import parse_duration, parse_money, parse_price, parse_size
from callgate.money import Money

REFERENCE: Final = re.compile(r"(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$")
OTHER_SCHEMES: Final = ("keyring:", "vault:", "aws:", "gcp:", "azure:")
NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*$")


def _reference(value: object) -> str:
    if isinstance(value, str) and REFERENCE.match(value):
        return value
    if isinstance(value, str) and value.startswith(OTHER_SCHEMES):
        msg = f"{value.partition(':')[0]}: is not supported by this version; use env:NAME or file:PATH"
        raise ValueError(msg)
    msg = "(hidden) is not a reference; a key is never written here, only where it is: env:NAME or file:PATH"
    raise ValueError(msg)


def _zone(value: object) -> str:
    try:
        ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, ValueError) as error:
        msg = f'{value!r} is not a time zone; write one like "UTC" or "Europe/Berlin"'
        raise ValueError(msg) from error
    return str(value)


def _url(value: object) -> str:
    if isinstance(value, str) and re.match(r"https?://[^\s/]+", value):
        return value.rstrip("/")
    msg = f'{value!r} is not a URL; write one like "https://host/v1"'
    raise ValueError(msg)


def _store(value: object) -> str:
    if isinstance(value, str) and value.startswith("sqlite:") and value != "sqlite:":
        return value
    if isinstance(value, str) and value.startswith("postgresql:"):
        msg = "PostgreSQL is not supported by this version; use sqlite:PATH"
        raise ValueError(msg)
    msg = f'{value!r} is not a store; write "sqlite:callgate.db"'
    raise ValueError(msg)


def _candidate(value: object) -> tuple[str, str]:
    for separator in ":/":
        provider, found, model = str(value).partition(separator)
        if isinstance(value, str) and found and provider and model and "/" not in provider:
            return provider, model
    msg = f'{value!r} does not name a provider and its model; write "provider:model"'
    raise ValueError(msg)


def _as(kind: str) -> WithJsonSchema:
    return WithJsonSchema({"type": kind})


Amount = Annotated[Money, PlainValidator(parse_money), _as("string")]
Duration = Annotated[float, PlainValidator(parse_duration), _as("string")]
Price = Annotated[int, PlainValidator(parse_price), _as("string")]
Size = Annotated[int, PlainValidator(parse_size), _as("string")]
Reference = Annotated[str, BeforeValidator(_reference)]
Url = Annotated[str, BeforeValidator(_url)]
UseEntry = Annotated[tuple[str, str], PlainValidator(_candidate), _as("string")]
Tokens = Annotated[int, Field(ge=1, le=1_000_000_000)]


class Table(BaseModel):
    """A table of the file: a name that it does not have is a mistake."""

    model_config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)


class GateTable(Table):
    """The process and its store."""

    store: Annotated[str, BeforeValidator(_store)] = Field(
        default="sqlite:callgate.db",
        description="Where everything durable is: `sqlite:` and a file, relative to this one.",
    )
    host: str = Field(
        default="127.0.0.1", description="The address that `callgate serve` listens at."
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=4180, description="Its port; 0 takes a free one."
    )
    timezone: Annotated[str, BeforeValidator(_zone)] = Field(
        default="UTC", description="The time zone in which days and months begin."
    )
    max_body_bytes: Size = Field(
        default=32_000_000, description='The largest request, such as `"32MB"`.'
    )
    on_disconnect: Literal["drain", "cancel"] = Field(
        default="drain",
        description="When a client hangs up: read on to learn what it cost, or cancel.",
    )
    drain: Duration = Field(
        default=30.0, description="How long to read on, and to wait at the end of the process."
    )
    require_task: bool = Field(default=False, description="Refuse calls that name no task.")
    require_user: bool = Field(default=False, description="Refuse calls that name no end user.")


class ProviderTable(Table):
    """Who serves models, and with which key."""

    api: Literal["openai", "anthropic"] = Field(description="What it speaks.")
    base_url: Url | None = Field(
        default=None, description="Where it is; the api's own address if left out."
    )
    key: Reference | None = Field(
        default=None, description="Where its key is: `env:NAME` or `file:PATH`."
    )
    price_source: str | None = Field(
        default=None, description="Whose price list holds; the api's name if left out."
    )
    limit_field: Literal["max_tokens", "max_completion_tokens"] | None = Field(
        default=None,
        description="The field for an output limit, where a server knows only one of the two.",
    )
    ca_file: str | None = Field(
        default=None, description="Certificates to trust, for a server of your own."
    )
    proxy: Url | None = Field(default=None, description="An HTTP proxy to go through.")
    connect_timeout: Duration = Field(default=5.0, description="To reach it.")
    first_byte_timeout: Duration = Field(
        default=120.0, description="From the request to the reply's headers."
    )
    read_timeout: Duration = Field(default=60.0, description="The longest silence in a reply.")


class ModelTable(Table):
    """A name that agents ask for."""

    use: Annotated[list[UseEntry], Field(min_length=1)] = Field(
        description="Who serves it, as `provider:model`: the first choice, then the fallbacks."
    )
    prefer: Literal["order"] = Field(default="order", description="How to choose among them.")


class AgentTable(Table):
    """What one agent may do; nothing is allowed that is not named."""

    key: Reference | None = Field(
        default=None, description="Where its key is; left out, `callgate keys create` makes one."
    )
    models: list[str] = Field(
        default_factory=list, description="Names, or globs such as `openai:*`."
    )
    tools: Annotated[list[str], Field(max_length=0)] = Field(
        default_factory=list, description="Must be empty: this version governs no tools."
    )
    task_type: str = Field(default="default", description="The type of its tasks that name none.")


class TaskTable(Table):
    """What holds for every task of a type."""

    budget: Amount | None = Field(
        default=None, description='The most that a task may cost, such as `"$0.50"`.'
    )
    timeout: Duration | None = Field(default=None, description="How long a task may take.")
    retries: Annotated[int, Field(ge=0, le=10)] = Field(
        default=2, description="Tries after the first, for each candidate of a call."
    )
    max_retries: Annotated[int, Field(ge=0, le=10_000)] = Field(
        default=20, description="Tries after the first, of all calls of a task together."
    )
    max_output_tokens: Tokens = Field(
        default=8192, description="The output limit for requests that name none."
    )
    max_input_tokens: Tokens | None = Field(
        default=None,
        description="The input bound for requests whose bytes do not bound it, such as images.",
    )


class PriceTable(Table):
    """A price of your own, in US dollars for a million tokens."""

    input: Price = Field(description="Input that no cache has to do with.")
    output: Price = Field(description="Output that the reader sees.")
    cache_read: Price | None = Field(
        default=None, description="Read from a cache; as input if left out."
    )
    cache_write: Price | None = Field(
        default=None, description="Written to a cache; as input if left out."
    )
    cache_write_long: Price | None = Field(
        default=None, description="Written to a cache for longer; as cache_write if left out."
    )
    reasoning: Price | None = Field(default=None, description="Reasoning; as output if left out.")
    context_window: Tokens | None = Field(
        default=None, description="Tokens that the model takes at the most."
    )


class File(Table):
    """``callgate.toml``."""

    gate: GateTable = Field(default_factory=GateTable)
    providers: dict[str, ProviderTable] = Field(default_factory=dict)
    models: dict[str, ModelTable] = Field(default_factory=dict)
    agents: dict[str, AgentTable] = Field(default_factory=dict)
    tasks: dict[str, TaskTable] = Field(default_factory=dict)
    prices: dict[str, PriceTable] = Field(default_factory=dict)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of the file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **File.model_json_schema()}
