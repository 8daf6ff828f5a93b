"""The settings as the rest of the house sees them: frozen, complete, with every default filled in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from pathlib import Path
from typing import Final, Literal

import msgspec

from callgate.call import Candidate, CostReport
from callgate.config.conditions import Condition
from callgate.config.mcp_policies import McpPolicy
from callgate.config.platform_policies import PlatformPolicy
from callgate.config.tool_policies import ToolPolicy
from callgate.config.values import parse_zone
from callgate.money import Money
from callgate.task import DEFAULT_TYPE

Api = Literal["openai", "anthropic", "gemini", "azure", "bedrock"]
BASE_URLS: Final[Mapping[Api, str]] = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com/v1beta",
}
"""Where an api is served that has one address for everybody."""

FORMATS_OF_API: Final[Mapping[Api, tuple[str, ...]]] = {
    "openai": ("openai_chat", "openai_responses", "openai_embeddings"),
    "anthropic": ("anthropic_messages", "anthropic_count_tokens"),
    "gemini": ("gemini_generate_content",),
    "azure": ("openai_chat", "openai_responses", "openai_embeddings"),
    "bedrock": ("bedrock_converse",),
}
"""What each api takes as it comes; a request of another format is put into the first of them."""

LossName = Literal[
    "arguments", "audio", "author", "cache_hint", "choices", "citations", "document", "effort",
    "image", "image_detail", "instruction_order", "json_mode", "label", "logprobs", "metadata",
    "opaque", "order", "output_limit", "parallel", "place", "prefill", "region", "safety",
    "sampling", "schema", "service_tier", "state", "stop", "storage", "strict", "system",
    "thinking", "thinking_view", "tool", "tool_choice", "tool_image", "truncation", "unknown",
    "verbosity",
]  # fmt: skip
"""What a request may lose on its way into another format, by name."""

Ability = Literal["tools", "images", "schema"]
"""What a model may be unable to do: call tools, see images, answer by a JSON schema."""

Preference = Literal["order", "cost", "latency", "reliability"]

Flaw = Literal["length", "schema"]
"""``length``: cut at its output limit; ``schema``: not what the request's JSON schema says."""

OnDisconnect = Literal["drain", "cancel"]

PriceSource = Literal[
    "openai", "anthropic", "gemini", "azure", "bedrock", "mistral", "deepseek", "x-ai", "groq",
    "openrouter", "together", "fireworks", "none",
]  # fmt: skip
"""Whose price list may hold for a provider; ``none`` is an empty one."""
Bound = Literal["proven", "counted"]

PRICE_FILE: Final = "callgate.prices.json"
"""A price list of the user's own, beside the settings file, or in the state folder without one."""

ALERT_AT: Final = (0.8, 0.95)
"""Half of a budget is a false alarm on most normal days."""


class GatePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """``[gate]``: the process and its store."""

    store: str
    """``sqlite:`` and an absolute path, or the URL of a PostgreSQL database."""
    host: str = "127.0.0.1"
    port: int = 4180
    hosts: tuple[str, ...] = ()
    """Names of the gate besides those of this machine, in lower case."""
    max_body_bytes: int = 32_000_000
    """Larger requests are refused with 413."""
    on_disconnect: OnDisconnect = "drain"
    """What happens upstream when a client hangs up: read on to learn the usage, or cancel."""
    drain_seconds: float = 30.0
    """How long to read on at most."""
    timezone: str = "UTC"
    """Where days and months begin and end."""
    require_task: bool = False
    require_user: bool = False

    @property
    def zone(self) -> tzinfo:
        """The time zone; UTC needs no list of time zones on the machine."""
        return parse_zone(self.timezone)

    @property
    def drain_limit_seconds(self) -> float:
        """How long a call goes on when its client has hung up."""
        return self.drain_seconds if self.on_disconnect == "drain" else 0.0

    @property
    def store_file(self) -> Path | None:
        """The file of the store; None where it is on a server."""
        kind, _, file = self.store.partition(":")
        return Path(file) if kind == "sqlite" else None


class ProviderPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """``[providers.NAME]``: who serves models, and with which key."""

    name: str
    api: Api
    base_url: str
    """Without a slash at the end."""
    key: str | None = None
    """A secret reference, such as ``env:OPENAI_API_KEY``; None sends none."""
    more_keys: tuple[str, ...] = ()
    """Keys of the same account, for when that one is rejected or has had too many calls."""
    region: str | None = None
    """Where in the world it serves, in the words of these settings."""
    price_source: str
    """Whose price list holds for it: its ``api``, unless the settings name another."""
    reported_cost: CostReport | None = None
    """In whose way its replies tell what they cost, where that is to be believed."""
    formats: tuple[str, ...] = ()
    """What it takes as it comes; what its ``api`` does, if left out."""
    limit_field: str | None = None
    """The field for an inserted output limit, where the server knows only one of several."""
    models_lack: tuple[tuple[str, tuple[Ability, ...]], ...] = ()
    """What models whose names match cannot do, by pattern."""
    lacks: frozenset[str] = frozenset()
    """What its server does not take; this and what follows is of :mod:`callgate.config.servers`."""
    tool_ids: str | None = None
    thinking_field: str | None = None
    api_version: str | None = None
    """Azure's, where its older addresses are meant, which name the deployment."""
    aws_profile: str | None = None
    aws_region: str | None = None
    """What Bedrock's requests are signed for."""
    credit: Money | None = None
    """What its account has, where it is paid in advance; the ledger counts it down."""
    low_balance: Money | None = None
    """Somebody is told once less is left."""
    ca_file: Path | None = None
    proxy: str | None = None
    connect_timeout_seconds: float = 5.0
    first_byte_timeout_seconds: float = 120.0
    read_timeout_seconds: float = 60.0
    """The longest silence between two pieces of a reply."""
    first_token_timeout_seconds: float = 300.0
    """From the beginning of an attempt to a stream's first content, whatever else it sends."""
    total_timeout_seconds: float = 3600.0
    """From the beginning of an attempt to its end."""

    @property
    def keys(self) -> tuple[str | None, ...]:
        """Its keys; None stands for sending none."""
        return (self.key, *self.more_keys)

    @property
    def takes(self) -> tuple[str, ...]:
        """The formats that it takes as they come; others are put into the first."""
        return self.formats or FORMATS_OF_API[self.api]

    def url(self, path: str, *, model: str) -> str:
        """Return where a request goes.

        Args:
            path: Where the format is served, below the base URL.
            model: The model's name at the provider.
        """
        if self.api_version is None:
            return self.base_url + path
        return f"{self.base_url}/deployments/{model}{path}?api-version={self.api_version}"


class RoutePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """``[models.NAME]``: a name that agents ask for, and who serves it, in order."""

    name: str
    use: tuple[Candidate, ...]
    allow_loss: tuple[LossName, ...] = ()
    """What a request may lose on its way to a candidate of another format."""
    prefer: Preference = "order"
    """Who is asked first, unless the task type says otherwise."""
    escalate: tuple[Flaw, ...] = ()
    """What of a plain reply lets the next candidate answer instead, once."""


class AgentPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """``[agents.NAME]``: what one agent may do; nothing is allowed that is not named."""

    name: str
    key: str | None = None
    """A secret reference to the agent's key; None where its keys are made by ``callgate keys``."""
    models: tuple[str, ...] = ()
    """Names or globs: ``smart``, ``openai:*``, ``*``."""
    tools: tuple[str, ...] = ()
    """Names or globs: ``web_search``, ``git.*``."""
    conditions: tuple[Condition, ...] = ()
    """What must be true of the arguments of its calls to tools."""
    task_type: str = DEFAULT_TYPE


Urgency = Literal["interactive", "background"]

RETRY_WAIT_SECONDS: Final[Mapping[Urgency, float]] = {"interactive": 5.0, "background": 60.0}
"""The longest wait for a provider while there is another, by who waits."""


class TaskPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """``[tasks.TYPE]``: what holds for every task of a type."""

    type: str
    models: tuple[str, ...] | None = None
    """Of what its agent may ask for; None leaves all of it."""
    tools: tuple[str, ...] | None = None
    conditions: tuple[Condition, ...] = ()
    """What must be true besides the conditions of the agent."""
    budget: Money | None = None
    timeout_seconds: float | None = None
    retries: int = 2
    """Tries after the first, for each candidate of a call."""
    max_retries: int = 20
    """Tries after the first, of all calls of one task together."""
    urgency: Urgency = "interactive"
    """Whether somebody waits; nobody does where a cheaper, slower service tier will do."""
    prefer: Preference | None = None
    """Who is asked first, whatever the route says; None goes by the route."""
    regions: tuple[str, ...] = ()
    """Where in the world its calls may be served; none named: anywhere."""
    max_retry_wait_seconds: float = RETRY_WAIT_SECONDS["interactive"]
    """The longest wait that a provider may ask for before another candidate is asked instead."""
    max_output_tokens: int = 8192
    """The output limit inserted where a request names none."""
    max_input_tokens: int | None = None
    """The input bound for requests whose bytes do not bound it; refused if None and a budget
    holds and the model's context window is unknown."""
    max_wait_seconds: float | None = None
    """How long a call may wait for its turn; None: up to the deadline of its task."""
    bound: Bound = "proven"
    """Whether a count may take the place of a proven bound that does not fit into a budget."""


class PricePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """``[prices."provider:model"]``: a contract price; femto-dollars per token."""

    input_femto: int
    output_femto: int
    cache_read_femto: int | None = None
    """None: the input price, as for the other two."""
    cache_write_femto: int | None = None
    cache_write_long_femto: int | None = None
    reasoning_femto: int | None = None
    """None: the output price."""
    context_window: int | None = None


LimitName = Literal[
    "per_minute", "per_hour", "per_day", "tokens_per_minute", "concurrency",
    "budget_per_hour", "budget_per_day", "budget_per_month",
    "max_calls", "max_repeats", "max_depth",
]  # fmt: skip


class LimitPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """One limit of one scope, as a row."""

    scope: str
    """``gate``, ``user:*`` for every user that has none of its own, or a kind and a name:
    ``agent:researcher``, ``type:research``, ``user:u1``, ``provider:openai``."""
    name: LimitName
    value: int
    """Calls, tokens, or nano-dollars."""
    waits: bool = False
    """Whether a call that does not fit waits for its turn, instead of being refused."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``callgate.toml`` says, resolved."""

    path: Path | None
    """The file; None for the built-in settings."""
    gate: GatePolicy
    providers: Mapping[str, ProviderPolicy]
    models: Mapping[str, RoutePolicy]
    agents: Mapping[str, AgentPolicy]
    tasks: Mapping[str, TaskPolicy]
    """Always holds ``default``."""
    tools: Mapping[str, ToolPolicy] = {}
    platforms: Mapping[str, PlatformPolicy] = {}
    mcp: Mapping[str, McpPolicy] = {}
    prices: Mapping[str, PricePolicy]
    """By ``provider:model``."""
    price_file: Path | None = None
    """Where a price list of the user's own is, if there is one; None never looks for one."""
    limits: tuple[LimitPolicy, ...] = ()
    """Every limit of the file."""
    alert_at: tuple[float, ...] = ALERT_AT
    """Shares of a budget or a cap, rising, at which somebody is told."""
