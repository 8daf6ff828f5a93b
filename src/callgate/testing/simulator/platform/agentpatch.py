"""AgentPatch, as its own client speaks to it.

Source: the PyPI package ``agentpatch`` 0.2.0 and the fixtures of its repository's tests; what they do
not tell, such as the body of a 401, is assumed to be an ``error`` like the others.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, unquote

from callgate.testing.simulator.connection import Incoming
from callgate.testing.simulator.platform.books import Books, Job, Refusal
from callgate.testing.simulator.platform.words import Body, Operation, Wanted
from callgate.testing.simulator.script import PlatformToolTable

TOOL: Final = re.compile(r"/api/tools/([^/]+)/([^/]+)")
JOB: Final = re.compile(r"/api/jobs/([^/]+)")

CREDIT_NANO_USD: Final = 100_000
"""10,000 credits are $1."""

SECONDS: Final = "timeout_seconds"


class AgentPatch:
    """AgentPatch's REST API."""

    api = "agentpatch"
    credit_nano_usd = CREDIT_NANO_USD
    has_jobs = True

    def find(self, incoming: Incoming, /) -> Wanted | None:
        """Return what a request wants."""
        query = dict(parse_qsl(incoming.query))
        if incoming.path == "/api/search":
            return Wanted(operation="list", query=query)
        if found := JOB.fullmatch(incoming.path):
            return Wanted(operation="poll", job_id=unquote(found[1]))
        if found := TOOL.fullmatch(incoming.path):
            calls = incoming.method == "POST"
            operation: Operation = "invoke" if calls else "look"
            return Wanted(
                operation=operation,
                method="POST" if calls else "GET",
                owner=unquote(found[1]),
                slug=unquote(found[2]),
                query=query,
            )
        return None

    def status(self, status: int, /) -> int:
        """Return a status as it is."""
        return status

    def read(self, wanted: Wanted, body: object, /) -> tuple[Wanted, object, int | None]:
        """Return the call: the body is the input itself."""
        if SECONDS not in wanted.query:
            return wanted, body, None
        return wanted, body, wanted.number(SECONDS, 60, most=3600)

    def page(self, wanted: Wanted, books: Books, key: str | None, /) -> Body:
        """Return a tool, or a list of them; everybody may see what there is."""
        del key
        if wanted.operation == "look":
            tool = books.shelf(wanted.owner, wanted.slug).table
            limits = {
                "default_timeout_seconds": tool.default_timeout_seconds,
                "max_timeout_seconds": tool.max_timeout_seconds,
            }
            return {**_tool(tool), **limits}
        found = [_tool(tool) for tool in books.tools if _fits(tool, wanted)]
        found = found[: wanted.number("limit", 20, most=100)]
        return {"tools": found, "count": len(found)}

    def pending(self, job: Job, /) -> Body:
        """Return the 202."""
        return {
            "job_id": job.id,
            "status": "pending",
            "poll_url": f"/api/jobs/{job.id}",
            "credits_reserved": job.reserved,
            "credits_remaining": job.balance,
        }

    def done(self, job: Job, /) -> Body:
        """Return the 200, which may tell of a failure."""
        return {
            "job_id": job.id,
            "status": job.status,
            **_outcome(job),
            "latency_ms": job.latency_ms,
            "credits_used": job.used,
            "credits_remaining": job.balance,
        }

    def job(self, job: Job, /) -> Body:
        """Return the job."""
        told: dict[str, object] = {
            "job_id": job.id,
            "tool_id": f"tool_{job.tool.slug}",
            "status": job.status,
            "credits_remaining": job.balance,
            "created_at": job.created_at,
        }
        if job.status == "pending":
            return {**told, "credits_reserved": job.reserved}
        over = {"latency_ms": job.latency_ms, "credits_used": job.used}
        return {**told, **_outcome(job), **over, "completed_at": job.completed_at}

    def error(self, refusal: Refusal, job: Job | None = None, /) -> Body:
        """Return an error's body; of a call that was paid for, with what it has cost."""
        told: Body = {"error": refusal.message, **refusal.fields}
        if job is None or not job.reserved:
            return told
        return {**told, "credits_used": job.used, "credits_remaining": job.balance}


def _outcome(job: Job) -> Body:
    return {"output": job.output} if job.status == "success" else {"error": job.error}


def _tool(tool: PlatformToolTable) -> Body:
    return {
        "slug": tool.slug,
        "name": tool.name or tool.slug.replace("-", " ").title(),
        "description": tool.description,
        "price_credits_per_call": tool.price_credits,
        "input_schema": tool.input_schema,
        "output_schema": tool.output_schema,
        "owner_username": tool.owner,
        "success_rate": tool.success_rate,
        "total_calls": 1000,
        "avg_latency_ms": 500,
    }


def _fits(tool: PlatformToolTable, wanted: Wanted) -> bool:
    query = wanted.query
    asked = query.get("q", "").lower()
    shown = f"{tool.slug} {tool.name or ''} {tool.description}".lower()
    try:
        return (
            asked in shown
            and tool.success_rate >= float(query.get("min_success_rate", "0"))
            and tool.price_credits <= int(query.get("max_price_credits", tool.price_credits))
        )
    except ValueError:
        msg = "min_success_rate and max_price_credits must be numbers"
        raise Refusal(400, msg) from None
