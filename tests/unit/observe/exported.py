"""Exports as providers write them, made by hand, for one day and model unless a test says otherwise."""

from __future__ import annotations

import json
from typing import Any

DAY = "2026-01-01"
NEXT_DAY = "2026-01-02"
STARTS_AT = 1_767_225_600
DAY_SECONDS = 86_400

OPENAI_USAGE_HEADER = (
    "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,"
    "model,batch,service_tier,input_tokens,output_tokens,input_cached_tokens,input_uncached_tokens"
)
OPENAI_COSTS_HEADER = (
    "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,"
    "quantity_unit,line_item,user_id,api_key_id,project_id,organization_id"
)
ANTHROPIC_USAGE_HEADER = (
    "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,"
    "usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,"
    "usage_input_tokens_cache_read,usage_output_tokens,web_search_count,inference_geo,speed"
)
ANTHROPIC_COSTS_HEADER = (
    "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,"
    "list_price_usd,cost_type,inference_geo,speed,api_key_id,api_key_status"
)


def csv_of(header: str, *rows: str) -> bytes:
    """Return a file as a provider sends it: with a line end after the last line too."""
    return "\r\n".join([header, *rows, ""]).encode()


def times(day: int = 0) -> str:
    """Return the four columns of a day's bucket in OpenAI's files."""
    start = STARTS_AT + day * DAY_SECONDS
    first, second = f"2026-01-{day + 1:02}", f"2026-01-{day + 2:02}"
    return f"{start},{start + DAY_SECONDS},{first}T00:00:00+00:00,{second}T00:00:00+00:00"


def openai_row(
    requests: int,
    tokens: int,
    cached: int,
    output: int,
    *,
    model: str = "gpt-5.5-2026-04-23",
    key: str = "key_a",
    served: str = "FALSE,default",
    day: int = 0,
) -> str:
    """Return a row of OpenAI's export of its activity, with counts as it writes them.

    Args:
        requests: How many.
        tokens: All input.
        cached: The part of it that was read from a cache.
        output: All output.
        model: Its name.
        key: Whose it is.
        served: Whether in a batch, and the service tier.
        day: How many days after the first.
    """
    return (
        f"{times(day)},proj_a,{requests}.0,user-a,{key},{model},{served},"
        f"{tokens}.0,{output}.0,{cached}.0,{tokens - cached}.0"
    )


def openai_cost(
    amount: str, item: str, *, quantity: str = "", key: str = "key_a", day: int = 0
) -> str:
    """Return a row of OpenAI's export of its costs."""
    unit = "tokens" if quantity else ""
    return f'{times(day)},{amount},usd,{quantity},{unit},"{item}",user-a,{key},proj_a,org-a'


def anthropic_row(plain: int, written: int, read: int, output: int, *, day: str = DAY) -> str:
    """Return a row of the Claude Console's export of its usage."""
    return (
        f"{day},claude-haiku-4-5-20251001,my key,Default,standard,≤ 200k,"
        f"{plain},{written},0,{read},{output},0,global,"
    )


def anthropic_cost(token_type: str, cost: str, *, listed: str | None = None, day: str = DAY) -> str:
    """Return a row of the Claude Console's export of its costs, which names models otherwise."""
    return (
        f"{day},Claude Haiku 4.5,Default,my key,message,≤ 200k,{token_type},{cost},{listed or cost},"
        "token,global,,apikey_1,active"
    )


def openai_page(*results: dict[str, Any], day: int = 0, has_more: bool = False) -> dict[str, Any]:
    """Return a page of OpenAI's usage or costs API."""
    start = STARTS_AT + day * DAY_SECONDS
    bucket = {
        "object": "bucket",
        "start_time": start,
        "end_time": start + DAY_SECONDS,
        "results": list(results),
    }
    return {
        "object": "page",
        "data": [bucket],
        "has_more": has_more,
        "next_page": "page_2" if has_more else None,
    }


def openai_result(requests: int, tokens: int, cached: int, output: int) -> dict[str, Any]:
    """Return a result of OpenAI's usage API."""
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": tokens,
        "output_tokens": output,
        "input_cached_tokens": cached,
        "num_model_requests": requests,
        "project_id": None,
        "api_key_id": "key_a",
        "model": "gpt-5.5-2026-04-23",
        "batch": False,
        "service_tier": "default",
    }


def anthropic_page(*results: dict[str, Any], has_more: bool = False) -> dict[str, Any]:
    """Return a page of Anthropic's usage or cost report."""
    times = {"starting_at": f"{DAY}T00:00:00Z", "ending_at": f"{NEXT_DAY}T00:00:00Z"}
    return {"data": [{**times, "results": list(results)}], "has_more": has_more, "next_page": None}


def json_of(*pages: object) -> bytes:
    """Return pages one after the other."""
    return "\n".join(json.dumps(page) for page in pages).encode()
