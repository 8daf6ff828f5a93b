from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.config import json_schema, starter
from tests.unit.config.files import problems_of, toml
from tests.unit.config.json_schema import accepts

SCHEMA = json_schema()

NAMES = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,6}\Z")
AMOUNTS = st.from_regex(r"\A\$?[0-9]{1,6}(\.[0-9]{1,6})?\Z")
LENGTHS = st.sampled_from(["30s", "10m", "1h30m", "0.5d", "7", 1, 2.5, 31_622_400])
REFERENCES = st.sampled_from(["env:KEY", "file:/run/secrets/key", "file:a b"])
TOKENS = st.integers(1, 10**9)

COUNTS = st.sampled_from([0, 1, 20, 10**9])
LIMITS: Mapping[str, st.SearchStrategy[Any]] = {
    "per_minute": COUNTS, "per_hour": COUNTS, "per_day": COUNTS, "concurrency": COUNTS,
    "budget_per_hour": AMOUNTS, "budget_per_day": AMOUNTS, "budget_per_month": AMOUNTS,
    "on_limit": st.sampled_from(["refuse", "wait"]),
}  # fmt: skip

GATES = st.fixed_dictionaries(
    {},
    optional={
        "store": st.sampled_from(["sqlite:x.db", "sqlite:/var/lib/x.db", "postgresql://gate@db/x"]),
        "host": st.just("::1"),
        "port": st.integers(0, 65535),
        "max_body_bytes": st.sampled_from(["32MB", "1 kB", 1, 10**12]),
        "on_disconnect": st.sampled_from(["drain", "cancel"]),
        "drain": LENGTHS,
        "timezone": st.sampled_from(["UTC", "Europe/Berlin"]),
        "require_task": st.booleans(),
        "require_user": st.booleans(),
    },
)
PROVIDERS = st.fixed_dictionaries(
    {"api": st.sampled_from(["openai", "anthropic"])},
    optional={
        "base_url": st.sampled_from(["https://host/v1", "http://[::1]:8000", "https://u:p@h/"]),
        "key": REFERENCES,
        "price_source": st.just("openai"),
        "limit_field": st.sampled_from(["max_tokens", "max_completion_tokens"]),
        "ca_file": st.just("ca.pem"),
        "proxy": st.just("http://proxy:3128"),
        "connect_timeout": LENGTHS,
        "first_byte_timeout": LENGTHS,
        "read_timeout": LENGTHS,
        "first_token_timeout": LENGTHS,
        "total_timeout": LENGTHS,
        **LIMITS,
    },
)
TASKS = st.fixed_dictionaries(
    {},
    optional={
        "budget": AMOUNTS,
        "timeout": LENGTHS,
        "retries": st.integers(0, 10),
        "max_retries": st.integers(0, 10_000),
        "max_output_tokens": TOKENS,
        "max_input_tokens": TOKENS,
        "max_calls": COUNTS,
        "max_repeats": COUNTS,
        "max_depth": COUNTS,
        "max_wait": LENGTHS,
        **LIMITS,
    },
)
PRICES = st.fixed_dictionaries(
    {"input": AMOUNTS, "output": AMOUNTS},
    optional={
        "cache_read": AMOUNTS, "cache_write": AMOUNTS, "cache_write_long": AMOUNTS,
        "reasoning": AMOUNTS, "context_window": TOKENS,
    },
)  # fmt: skip
AGENTS = st.fixed_dictionaries(
    {},
    optional={
        "key": REFERENCES,
        "models": st.just(["*", "smart"]),
        "tools": st.just([]),
        **LIMITS,
    },
)
ONE_USER = st.fixed_dictionaries({}, optional=LIMITS).map(lambda own: {**own, "per_day": 5})
USERS = st.fixed_dictionaries({}, optional={"anna": ONE_USER, "b@x.org": ONE_USER, **LIMITS})
TOOLS = st.fixed_dictionaries(
    {"python": st.sampled_from(["my_tools:search", "a.b:c_d"])},
    optional={
        "description": st.just("Finds pages."),
        "effect": st.sampled_from(["read", "write", "destructive"]),
        "idempotent": st.booleans(),
        "key": REFERENCES,
        "cost": AMOUNTS,
        "timeout": LENGTHS,
        **LIMITS,
    },
)
CAPS = st.fixed_dictionaries(
    {},
    optional={
        "day": AMOUNTS,
        "month": AMOUNTS,
        "alert_at": st.sampled_from([[], [1], [0.5, 0.8, 0.95]]),
    },
)
NOT_CAPPED = {key: LIMITS[key] for key in LIMITS.keys() - {"budget_per_day", "budget_per_month"}}
FILES = st.fixed_dictionaries({
    "gate": GATES,
    "providers": st.dictionaries(NAMES, PROVIDERS, max_size=2).map(
        lambda named: {**named, "p": {"api": "openai"}}
    ),
    "models": st.just({"smart": {"use": ["p:m", "p/m"], "prefer": "order"}}),
    "agents": st.dictionaries(NAMES, AGENTS, max_size=2),
    "tasks": st.dictionaries(NAMES, TASKS, max_size=2),
    "users": USERS,
    "limits": st.fixed_dictionaries({}, optional=NOT_CAPPED),
    "caps": CAPS,
    "tools": st.dictionaries(NAMES, TOOLS, max_size=2),
    "prices": st.dictionaries(st.sampled_from(["p:m", "p/o"]), PRICES, max_size=2),
})  # fmt: skip
ODD = st.one_of(
    st.booleans(),
    st.integers(-5, 10**13),
    st.floats(-1, 100),
    st.sampled_from(
        ["", "$1", "30s", "env:X", "openai:x", "order", "x y", "-1", "32MB", "https://h"]
    ),
    st.lists(st.sampled_from(["p:m", "smart", 1]), max_size=2),
)


@given(FILES)
def test_the_schema_accepts_every_setting_that_loads(page: dict[str, Any]) -> None:
    assert problems_of(toml(page)) == []
    assert accepts(SCHEMA, page, root=SCHEMA)


@given(FILES, st.data())
def test_what_loads_with_one_odd_value_in_it_the_schema_accepts_too(
    page: dict[str, Any], data: st.DataObject
) -> None:
    page = deepcopy(page)
    table = data.draw(st.sampled_from([table for table in tables_of(page) if table]))
    table[data.draw(st.sampled_from(sorted(table)))] = data.draw(ODD)
    text = toml(page)
    assert problems_of(text) or accepts(SCHEMA, tomllib.loads(text), root=SCHEMA)


def tables_of(page: Mapping[str, Any]) -> list[dict[str, Any]]:
    sections: list[dict[str, Any]] = [page[section] for section in sorted(page)]
    settings: list[Any] = [setting for section in sections for setting in section.values()]
    named = (cast("dict[str, Any]", one) for one in settings if isinstance(one, dict))
    return [*sections, *named]


@pytest.mark.parametrize(
    "text",
    [
        "colour = 1", "[gate]\nport = 99999", "[gate]\nport = true", '[tasks.x]\nbudget = "ten"',
        "[tasks.x]\nbudget = 5", '[tasks.x]\ntimeout = "ten"', "[providers.x]", "[models.x]\nuse = []",
        '[agents.x]\ntools = "t"', '[tasks.x]\nwhen = "true"', '[providers.x]\napi = "openai"\nkey = "sk-1"', "[tools.x]\npython = 5",
        "[limits]\nper_minute = 1.5", "[users]\nper_day = -1", "[users.anna]\nnonsense = 1",
        "[caps]\nalert_at = [80]", "[agents.x]\nbudget_per_day = 5",
    ],
)  # fmt: skip
def test_the_schema_shows_an_editor_what_would_not_load(text: str) -> None:
    assert problems_of(text)
    assert not accepts(SCHEMA, tomllib.loads(text), root=SCHEMA)


def test_the_file_that_init_writes_is_valid_as_it_stands() -> None:
    assert problems_of(starter()) == []
    assert accepts(SCHEMA, tomllib.loads(starter()), root=SCHEMA)


def test_what_init_writes_as_a_comment_is_valid_without_the_sign() -> None:
    lines = starter().splitlines()
    text = "\n".join(re.sub(r"^# (?=\[|\w+ = )", "", line) for line in lines)
    assert problems_of(text) == []
    assert "users" in tomllib.loads(text)
