"""AgentPMT, as its documentation describes it.

Source: agentpmt.com/docs, "API / HTTP" for the list of tools and "Programmatic Access" for the
balance; the answer to a purchase is not shown there, and is assumed to be wrapped as the others.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from callgate.testing.simulator.connection import Incoming
from callgate.testing.simulator.platform.books import Books, Job, Refusal
from callgate.testing.simulator.platform.words import Body, Operation, Wanted
from callgate.testing.simulator.request import is_object, shown_key
from callgate.testing.simulator.script import PlatformToolTable

CREDIT_NANO_USD: Final = 10_000_000
"""100 credits are $1."""

PATHS: Final[dict[str, tuple[str, Operation]]] = {
    "/products/fetch": ("GET", "list"),
    "/products/purchase": ("POST", "invoke"),
    "/credits/balance": ("GET", "balance"),
    "/credits/history": ("GET", "history"),
}


class AgentPMT:
    """AgentPMT's REST API."""

    api = "agentpmt"
    credit_nano_usd = CREDIT_NANO_USD
    has_jobs = False

    def find(self, incoming: Incoming, /) -> Wanted | None:
        """Return what a request wants."""
        found = PATHS.get(incoming.path)
        if found is None:
            return None
        method, operation = found
        return Wanted(operation=operation, method=method, query=dict(parse_qsl(incoming.query)))

    def status(self, status: int, /) -> int:
        """Return a status as it is."""
        return status

    def read(self, wanted: Wanted, body: object, /) -> tuple[Wanted, object, int | None]:
        """Return the call: the body names the tool, and holds its input."""
        del wanted
        if not is_object(body) or not isinstance(body.get("name"), str):
            raise Refusal(422, "name: Field required")
        called = Wanted(operation="invoke", method="POST", slug=str(body["name"]))
        return called, body.get("parameters", {}), None

    def page(self, wanted: Wanted, books: Books, key: str | None, /) -> Body:
        """Return a page of tools, or what an account has."""
        account = books.account(key)
        if wanted.operation == "balance":
            data: object = {"balance": account.credits, "expiration": None, "expires_in_days": None}
        elif wanted.operation == "history":
            shown = shown_key(account.key)
            latest = [moved for moved in reversed(books.movements) if moved.key == shown]
            data = {"transactions": latest[: wanted.number("limit", 50, most=1000)]}
        else:
            return _tools(wanted, books)
        return {"success": True, "message": "OK", "data": data}

    def pending(self, job: Job, /) -> Body:
        """Return what there is; this platform lets its callers wait."""
        return self.done(job)

    def done(self, job: Job, /) -> Body:
        """Return the answer to a purchase."""
        if job.status == "success":
            return {"success": True, "message": "OK", "data": job.output}
        return {"success": False, "message": job.error, "data": None}

    def job(self, job: Job, /) -> Body:
        """Return a job; nobody asks for one here."""
        return self.done(job)

    def error(self, refusal: Refusal, job: Job | None = None, /) -> Body:
        """Return an error's body."""
        del job
        return {"success": False, "message": refusal.message, "detail": refusal.fields or None}


def _tools(wanted: Wanted, books: Books) -> Body:
    page = wanted.number("page", 1, most=1_000_000)
    size = wanted.number("page_size", 10, most=100)
    first = (page - 1) * size
    shown = books.tools[first : first + size]
    has_next = first + size < len(books.tools)
    return {
        "success": True,
        "details": {
            "tools_on_this_page": len(shown),
            "total_qualified_tools": len(books.tools),
            "page_returned": page,
            "page_size_requested": size,
            "has_next_page": has_next,
            "has_previous_page": page > 1,
        },
        "tools": [_tool(tool) for tool in shown],
    }


def _tool(tool: PlatformToolTable) -> Body:
    return {
        "type": "function",
        "function": {
            "name": tool.slug,
            "description": tool.description,
            "parameters": tool.input_schema,
        },
        "x-pricing": {
            "unit_type": "request",
            "price_per_unit": tool.price_credits,
            "currency": "credits",
        },
    }
