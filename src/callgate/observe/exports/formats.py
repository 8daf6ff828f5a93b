"""The formats of the exports that are known: which fields they have, and what these mean.

A format is recognised by the fields that only it has, never by the name of a file. Nested fields of
JSON are written with a dot; the fields of a bucket of time are those of each of its results too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from callgate.config.policies import Api
from callgate.observe.exports import Bucket


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """Which field of an export means what; None where it has no such field."""

    name: str
    api: Api
    recognised_by: frozenset[str]
    starts: str
    """When the bucket of time begins: a day, a time in RFC 3339, or seconds since 1970."""
    ends: str | None = None
    model: str | None = None
    requests: str | None = None
    buckets: Mapping[Bucket, str] = {}
    all_input: str | None = None
    """All input where the export tells that, cached or not, instead of what is not cached."""
    amount: str | None = None
    list_amount: str | None = None
    is_cents: bool = False
    """Whether amounts are cents instead of dollars."""
    rounded: bool = False
    """Whether amounts are told to the cent only."""
    currency: str | None = None
    bucket: str | None = None
    """A field whose values are keys of :data:`TOKEN_TYPES`."""
    line_item: str | None = None
    """A field that has model and token type in one text, such as ``gpt-5.5, cached input``."""
    cost_type: str | None = None
    """A field that tells tokens from fees."""
    quantity: str | None = None
    service_tier: str | None = None
    batch: str | None = None
    owners: tuple[str, ...] = ()
    """Whose the line is, the narrowest first."""


TOKEN_TYPES: Final[Mapping[str, Bucket]] = {
    "input": "input_tokens",
    "input_tokens": "input_tokens",
    "cached input": "cache_read_tokens",
    "cache write": "cache_write_tokens",
    "cache writes": "cache_write_tokens",
    "output": "output_tokens",
    "output_tokens": "output_tokens",
    "input_no_cache": "input_tokens",
    "input_cache_read": "cache_read_tokens",
    "input_cache_write_5m": "cache_write_tokens",
    "input_cache_write_1h": "cache_write_long_tokens",
    "uncached_input_tokens": "input_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation.ephemeral_5m_input_tokens": "cache_write_tokens",
    "cache_creation.ephemeral_1h_input_tokens": "cache_write_long_tokens",
}
"""What exports call the buckets, in line items of OpenAI and in token types of Anthropic."""

TOKEN_COSTS: Final = frozenset({"token", "tokens"})
"""What ``cost_type`` says of tokens; anything else, such as ``web_search``, is a fee."""

STANDARD_TIERS: Final = frozenset({"default", "standard", "auto", "message", "scale"})
"""Service tiers at the list price, by the names that exports have for them."""

FORMATS: Final = (
    # Source: platform.openai.com/docs/api-reference/usage/completions_object; the dashboard's
    # export of its activity has the same fields as columns, with counts such as "10.0".
    Format(
        name="OpenAI usage",
        api="openai",
        recognised_by=frozenset({"start_time", "num_model_requests", "input_tokens"}),
        starts="start_time",
        ends="end_time",
        model="model",
        requests="num_model_requests",
        all_input="input_tokens",
        buckets={
            "cache_read_tokens": "input_cached_tokens",
            "cache_write_tokens": "input_cache_write_tokens",
            "output_tokens": "output_tokens",
        },
        service_tier="service_tier",
        batch="batch",
        owners=("api_key_id", "project_id", "user_id"),
    ),
    # Source: the dashboard's export of its costs ("amount_value", "amount_currency"), grouped by
    # line item or not.
    Format(
        name="OpenAI costs (CSV)",
        api="openai",
        recognised_by=frozenset({"start_time", "amount_value", "amount_currency"}),
        starts="start_time",
        ends="end_time",
        amount="amount_value",
        currency="amount_currency",
        line_item="line_item",
        quantity="quantity",
        owners=("api_key_id", "project_id", "user_id"),
    ),
    # Source: platform.openai.com/docs/api-reference/usage/costs_object.
    Format(
        name="OpenAI costs (JSON)",
        api="openai",
        recognised_by=frozenset({"start_time", "amount.value", "amount.currency"}),
        starts="start_time",
        ends="end_time",
        amount="amount.value",
        currency="amount.currency",
        line_item="line_item",
        quantity="quantity",
        owners=("api_key_id", "project_id"),
    ),
    # Source: the Claude Console's export of the page Usage.
    Format(
        name="Anthropic usage (CSV)",
        api="anthropic",
        recognised_by=frozenset({
            "usage_date_utc", "model_version", "usage_input_tokens_no_cache", "usage_output_tokens",
        }),
        starts="usage_date_utc",
        model="model_version",
        buckets={
            "input_tokens": "usage_input_tokens_no_cache",
            "cache_read_tokens": "usage_input_tokens_cache_read",
            "cache_write_tokens": "usage_input_tokens_cache_write_5m",
            "cache_write_long_tokens": "usage_input_tokens_cache_write_1h",
            "output_tokens": "usage_output_tokens",
        },
        service_tier="usage_type",
        owners=("api_key", "workspace"),
    ),
    # Source: the Claude Console's export of the page Cost; amounts are dollars, to the cent.
    Format(
        name="Anthropic costs (CSV)",
        api="anthropic",
        recognised_by=frozenset({"usage_date_utc", "model", "token_type", "cost_usd"}),
        starts="usage_date_utc",
        model="model",
        amount="cost_usd",
        list_amount="list_price_usd",
        rounded=True,
        bucket="token_type",
        cost_type="cost_type",
        service_tier="usage_type",
        owners=("api_key", "workspace"),
    ),
    # Source: platform.claude.com/docs/en/api/admin/usage_report/retrieve_messages.
    Format(
        name="Anthropic usage report (JSON)",
        api="anthropic",
        recognised_by=frozenset({"starting_at", "uncached_input_tokens", "output_tokens"}),
        starts="starting_at",
        ends="ending_at",
        model="model",
        buckets={
            "input_tokens": "uncached_input_tokens",
            "cache_read_tokens": "cache_read_input_tokens",
            "cache_write_tokens": "cache_creation.ephemeral_5m_input_tokens",
            "cache_write_long_tokens": "cache_creation.ephemeral_1h_input_tokens",
            "output_tokens": "output_tokens",
        },
        service_tier="service_tier",
        owners=("api_key_id", "workspace_id"),
    ),
    # Source: platform.claude.com/docs/en/api/admin/cost_report ("lowest currency units (e.g. cents)
    # as a decimal string").
    Format(
        name="Anthropic cost report (JSON)",
        api="anthropic",
        recognised_by=frozenset({"starting_at", "amount", "currency"}),
        starts="starting_at",
        ends="ending_at",
        model="model",
        amount="amount",
        list_amount="list_amount",
        is_cents=True,
        currency="currency",
        bucket="token_type",
        cost_type="cost_type",
        service_tier="service_tier",
        owners=("workspace_id",),
    ),
    # Source: platform.claude.com/docs/en/api/beta/organization/analytics/usage.
    Format(
        name="Anthropic usage analytics (JSON)",
        api="anthropic",
        recognised_by=frozenset({"starting_at", "usage.uncached_input_tokens", "group.model"}),
        starts="starting_at",
        ends="ending_at",
        model="group.model",
        requests="usage.requests",
        buckets={
            "input_tokens": "usage.uncached_input_tokens",
            "cache_read_tokens": "usage.cache_read_input_tokens",
            "cache_write_tokens": "usage.cache_creation.ephemeral_5m_input_tokens",
            "cache_write_long_tokens": "usage.cache_creation.ephemeral_1h_input_tokens",
            "output_tokens": "usage.output_tokens",
        },
        service_tier="group.service_tier",
        owners=("group.api_key_id", "group.workspace_id"),
    ),
    # Source: platform.claude.com/docs/en/api/beta/organization/analytics/cost ("fractional cents").
    Format(
        name="Anthropic cost analytics (JSON)",
        api="anthropic",
        recognised_by=frozenset({"starting_at", "cost.amount", "group.model"}),
        starts="starting_at",
        ends="ending_at",
        model="group.model",
        amount="cost.amount",
        list_amount="cost.list_amount",
        is_cents=True,
        currency="cost.currency",
        bucket="group.token_type",
        cost_type="group.cost_type",
        service_tier="group.service_tier",
        owners=("group.api_key_id", "group.workspace_id"),
    ),
)  # fmt: skip
"""The formats, none of which has all the fields by which another is recognised."""

BARE: Final = (
    Format(
        name="OpenAI, nothing used",
        api="openai",
        recognised_by=frozenset(
            {"object", "start_time", "end_time", "start_time_iso", "end_time_iso"}
        ),
        starts="start_time",
        ends="end_time",
    ),
    Format(
        name="Anthropic, nothing used",
        api="anthropic",
        recognised_by=frozenset({"starting_at", "ending_at"}),
        starts="starting_at",
        ends="ending_at",
    ),
)
"""Buckets of time in which nothing was used: they have no field besides these."""


def recognise(fields: frozenset[str]) -> Format | None:
    """Return the format of a row that has these fields; None where it is none that is known."""
    for known in FORMATS:
        if known.recognised_by <= fields:
            return known
    return next(
        (known for known in BARE if fields <= known.recognised_by and known.starts in fields), None
    )
