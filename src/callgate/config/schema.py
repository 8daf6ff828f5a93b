"""The settings file as it is written: names, types and what each setting means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from callgate.call import CostReport
from callgate.config.kinds import (
    Amount,
    AwsRegion,
    BaseUrl,
    Count,
    Duration,
    McpName,
    Name,
    Price,
    Reference,
    Region,
    RouteName,
    Shares,
    Size,
    StorePlace,
    Tokens,
    Url,
    UseEntry,
)
from callgate.config.mcp import McpTable
from callgate.config.platforms import PlatformTable
from callgate.config.policies import (
    ALERT_AT,
    Ability,
    Flaw,
    LossName,
    Preference,
    PriceSource,
    Urgency,
)
from callgate.config.servers import ServerName
from callgate.config.tables import LimitsTable, Table
from callgate.config.tools import ToolTable


class GateTable(Table):
    """The process and its store."""

    store: StorePlace = Field(
        default="sqlite:callgate.db",
        description="Where everything durable is: `sqlite:` and a file, relative to this one, or"
        " `postgresql://user@host/name`, which gates of several machines may share. Its password is"
        " in `PGPASSWORD` or `~/.pgpass`.",
    )
    host: str = Field(
        default="127.0.0.1", description="The address that `callgate serve` listens at."
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=4180, description="Its port; 0 takes a free one."
    )
    hosts: list[str] = Field(
        default_factory=list[str],
        description="Names by which clients reach it besides those of this machine, such as"
        ' `"gate.example.com"`. `/mcp` refuses what is addressed to another name, or comes from a web'
        " page of another one; at an address of a network any name is taken if none is set.",
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
    timezone: str = Field(
        default="UTC", description='Where days and months begin and end, such as `"Europe/Berlin"`.'
    )
    require_task: bool = Field(default=False, description="Refuse calls that name no task.")
    require_user: bool = Field(default=False, description="Refuse calls that name no end user.")


class ProviderTable(LimitsTable):
    """Who serves models, and with which key."""

    api: Literal["openai", "anthropic", "gemini", "azure", "bedrock"] = Field(
        description="What it speaks. Bedrock is asked in Converse, whatever the agent speaks."
    )
    base_url: BaseUrl | None = Field(
        default=None,
        description="Where it is; the api's own address if left out. Azure's is that of your resource;"
        " one that ends in `?api-version=…` means its older addresses.",
    )
    server: ServerName | None = Field(
        default=None,
        description="What answers there, if it is another server that speaks OpenAI's API: its address,"
        " its prices and what it does not take are then known. Hosted ones are known by `base_url` too.",
    )
    models_lack: dict[str, list[Ability]] = Field(
        default_factory=dict[str, list[Ability]],
        description="What its models cannot do (`tools`, `images`, `schema`), by name or pattern, such as"
        ' `{ "llama*" = ["images"] }`: requests that ask for it go to other candidates.',
    )
    key: Reference | None = Field(
        default=None,
        description="Where its key is: `env:NAME` or `file:PATH`. A provider of the api `bedrock`"
        " without one signs with AWS's own credentials.",
    )
    aws_profile: str | None = Field(
        default=None,
        description="Bedrock: the profile whose credentials sign; AWS's own order if left out.",
    )
    aws_region: AwsRegion | None = Field(
        default=None,
        description='Bedrock: the region of AWS, such as `"eu-central-1"`, if `base_url` names none.',
    )
    keys: Annotated[list[Reference], Field(min_length=1)] | None = Field(
        default=None,
        description="Several keys of one account, in the place of `key`: tasks are spread over them, and"
        " where one is rejected or has had too many calls, the next is used at once.",
    )
    region: Region | None = Field(
        default=None,
        description='Where in the world it serves, in a word of yours, such as `"eu"`.',
    )
    price_source: PriceSource | None = Field(
        default=None,
        description="Whose price list holds; the api's name if left out. With `none` only the prices"
        " under `[prices]` do.",
    )
    reported_cost: CostReport | None = Field(
        default=None,
        description="In whose way its replies tell what they cost, where that is to be believed"
        " instead of a price list: of OpenRouter or of xAI.",
    )
    limit_field: Literal["max_tokens", "max_completion_tokens"] | None = Field(
        default=None,
        description="The field for an output limit, where a server knows only one of the two.",
    )
    tokens_per_minute: Count | None = Field(
        default=None,
        description="Tokens in any 60 seconds: what is expected of an attempt while it runs, then"
        " what it took.",
    )
    credit: Amount | None = Field(
        default=None,
        description="What its account has, where it is paid in advance: counted down by what calls cost"
        " from then on. Write the new amount after you have topped it up.",
    )
    low_balance: Amount | None = Field(
        default=None, description='Somebody is told once less of it is left, such as `"$5"`.'
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
    first_token_timeout: Duration = Field(
        default=300.0,
        description="From the beginning of an attempt to a stream's first content, however often it"
        " says that it is alive.",
    )
    total_timeout: Duration = Field(
        default=3600.0,
        description="From the beginning of an attempt to its end, however steadily it answers.",
    )


class ModelTable(Table):
    """A name that agents ask for."""

    use: Annotated[list[UseEntry], Field(min_length=1)] = Field(
        description="Who serves it, as `provider:model`: the first choice, then the fallbacks. A"
        " request is put into the format of one that does not speak its own, if nothing is lost."
    )
    allow_loss: list[LossName] = Field(
        default_factory=list[LossName],
        description="What a request may lose on its way into another format, by name, such as"
        " `thinking`; one that would lose anything else does not go there.",
    )
    prefer: Preference = Field(
        default="order",
        description="Who is asked first: in the `order` of `use`, or by the least `cost`, the least"
        " `latency` to the first content, or the highest `reliability` of the last 15 minutes.",
    )
    escalate: list[Flaw] = Field(
        default_factory=list[Flaw],
        description="What of a reply lets the next candidate answer instead, once: `length` (cut at its"
        " output limit), `schema` (not what the request's JSON schema says). Streams go on as they began.",
    )


class AgentTable(LimitsTable):
    """What one agent may do; nothing is allowed that is not named."""

    key: Reference | None = Field(
        default=None, description="Where its key is; left out, `callgate keys create` makes one."
    )
    models: list[str] = Field(
        default_factory=list, description="Names, or globs such as `openai:*`."
    )
    tools: list[str] = Field(
        default_factory=list, description="Names of tools, or globs such as `git.*`."
    )
    when: dict[str, str] = Field(
        default_factory=dict[str, str],
        description="What must be true of a call, by tool or glob, in CEL, such as"
        ' `{ create_refund = "args.amount <= 5000" }`; all that are for a tool must.',
    )
    task_type: str = Field(default="default", description="The type of its tasks that name none.")


class TaskTable(LimitsTable):
    """What holds for every task of a type."""

    models: list[str] | None = Field(
        default=None,
        description="What its tasks may ask for of what their agent may; all of it if left out.",
    )
    tools: list[str] | None = Field(
        default=None,
        description="What its tasks may call of what their agent may; all of it if left out.",
    )
    when: dict[str, str] = Field(
        default_factory=dict[str, str],
        description="As under an agent, and besides what stands there.",
    )
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
    urgency: Urgency = Field(
        default="interactive",
        description="Whether somebody waits for its tasks, or nobody does: then a cheaper service tier"
        " that is slower (`flex`) is asked for where a model has one.",
    )
    prefer: Preference | None = Field(
        default=None, description="As under a model, for all models that its tasks ask for."
    )
    regions: list[Region] = Field(
        default_factory=list[Region],
        description="Where its calls may be served, by `region` of the providers; anywhere if left out.",
    )
    max_retry_wait: Duration | None = Field(
        default=None,
        description="The longest wait that a provider may ask for (`retry-after`) while another"
        " candidate is left; 5s where a task is interactive, 60s in the background, if left out.",
    )
    max_calls: Count | None = Field(default=None, description="Calls of one task.")
    max_repeats: Count | None = Field(
        default=None,
        description="How often a task may make the very same call, the first time included.",
    )
    max_depth: Count | None = Field(
        default=None,
        description="How many tasks may stand above one; 0 allows only tasks without a parent.",
    )
    max_wait: Duration | None = Field(
        default=None,
        description="How long a call may wait for its turn, where `on_limit` lets it wait.",
    )
    max_output_tokens: Tokens = Field(
        default=8192, description="The output limit for requests that name none."
    )
    max_input_tokens: Tokens | None = Field(
        default=None,
        description="The input bound for requests whose bytes do not bound it, such as sounds and files.",
    )
    bound: Literal["proven", "counted"] = Field(
        default="proven",
        description="What may be held for input: only a `proven` bound, or also a `counted` one where a proven one does not fit into a budget. A count is an estimate.",
    )


class UsersTable(LimitsTable):
    """What holds for each end user; a call that names none is not held by it.

    A user with a table of its own, `[users.NAME]`, has only the limits that stand there.
    """

    model_config = ConfigDict(extra="allow")

    # As pydantic documents it; its own annotation is wider.
    __pydantic_extra__: dict[str, LimitsTable] = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        init=False
    )

    @property
    def named(self) -> Mapping[str, LimitsTable]:
        """The users that have limits of their own."""
        return self.__pydantic_extra__


class CapsTable(Table):
    """The most that everything together may cost."""

    day: Amount | None = Field(
        default=None,
        description='In a day, such as `"$50"`: another name for `budget_per_day` in `[limits]`.',
    )
    month: Amount | None = Field(
        default=None, description="In a month: another name for `budget_per_month` in `[limits]`."
    )
    alert_at: Shares = Field(
        default=ALERT_AT,
        description="Shares of a cap or a budget, rising, at which somebody is told.",
    )


class PriceTable(Table):
    """A price of your own, in US dollars for a million tokens."""

    input: Price = Field(description="Input that no cache has to do with.")
    output: Price = Field(description="Output that the reader sees.")
    cache_read: Price | None = Field(
        default=None, description="Read from a cache; as input if left out."
    )
    cache_write: Price | None = Field(
        default=None,
        description="Written to a cache; as input if left out, for Anthropic 1.25 times as much.",
    )
    cache_write_long: Price | None = Field(
        default=None,
        description="Written to a cache for longer; as cache_write if left out, for Anthropic twice the input.",
    )
    reasoning: Price | None = Field(default=None, description="Reasoning; as output if left out.")
    context_window: Tokens | None = Field(
        default=None, description="Tokens that the model takes at the most."
    )


class File(Table):
    """``callgate.toml``."""

    gate: GateTable = Field(default_factory=GateTable)
    providers: dict[Name, ProviderTable] = Field(default_factory=dict)
    models: dict[RouteName, ModelTable] = Field(default_factory=dict)
    agents: dict[Name, AgentTable] = Field(default_factory=dict)
    tasks: dict[Name, TaskTable] = Field(default_factory=dict)
    users: UsersTable = Field(default_factory=UsersTable)
    limits: LimitsTable = Field(default_factory=LimitsTable)
    caps: CapsTable = Field(default_factory=CapsTable)
    tools: dict[Name, ToolTable] = Field(default_factory=dict)
    platforms: dict[Name, PlatformTable] = Field(default_factory=dict)
    mcp: dict[McpName, McpTable] = Field(default_factory=dict)
    prices: dict[str, PriceTable] = Field(default_factory=dict)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of the file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **File.model_json_schema()}
