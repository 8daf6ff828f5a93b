"""What is different at each platform, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from callgate.config.platform_policies import ProfileName
from callgate.money import Money

Path = tuple[str, ...]
"""Where something stands in a JSON document: the names that lead to it."""

Refund = Literal["server_error", "failed", "timeout"]
"""What a platform gives credits back for: a 5xx, a tool that failed, and one that took too long."""


class Definitions(msgspec.Struct, frozen=True, kw_only=True):
    """Where a platform tells what a tool is, and what stands where in it."""

    path: str
    """With ``{owner}`` and ``{slug}`` for one tool, or with ``{page}`` for a list of them."""
    items: Path = ()
    """Where the list is; nowhere, where one tool is all of it."""
    has_more: Path | None = None
    """What says that there is another page."""
    slug: Path
    title: Path | None = None
    description: Path
    price: Path
    """In credits."""
    input_schema: Path
    output_schema: Path | None = None
    timeout_seconds: Path | None = None
    """How long the platform lets the tool run at the most."""


class Outcomes(msgspec.Struct, frozen=True, kw_only=True):
    """What stands where in a platform's answer to a call, or to a look at a job."""

    status: Path
    done: frozenset[object]
    """What the status is when there is an output."""
    failed: frozenset[object]
    timed_out: frozenset[object] = frozenset()
    pending: frozenset[object] = frozenset()
    output: Path
    error: Path
    cost: Path | None = None
    """What was charged, in credits; None where no answer tells."""
    balance: Path | None = None
    """What is left, in credits."""
    job_id: Path | None = None
    required: Path | None = None
    """What a call would have taken, where the credits are not there."""
    refused_balance: Path | None = None
    """What is left, where they are not there."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """How one platform is spoken to."""

    base_url: str
    credit: Money
    """What one credit costs."""
    owner: str = ""
    """Whose a tool is where the settings name nobody."""
    definitions: Definitions
    call_path: str
    """With ``{owner}`` and ``{slug}`` where the path names the tool."""
    slug_member: str | None = None
    """The member of the body that names the tool; None where the body is the arguments alone."""
    arguments_member: str | None = None
    timeout_parameter: str | None = None
    """The parameter of the query that ends a tool after so many whole seconds."""
    longest_timeout_seconds: int = 3600
    outcomes: Outcomes
    job_path: str | None = None
    """Where a job is asked for, with ``{job_id}``; None where there are none."""
    balance_path: str | None = None
    """Where an account's balance can be asked for; None: it only comes with replies."""
    balance: Path = ()
    refunds: frozenset[Refund] = frozenset()


AGENTPATCH: Final = Profile(
    base_url="https://agentpatch.ai",
    credit=Money(100_000),
    owner="agentpatch",
    definitions=Definitions(
        path="/api/tools/{owner}/{slug}",
        slug=("slug",),
        title=("name",),
        description=("description",),
        price=("price_credits_per_call",),
        input_schema=("input_schema",),
        output_schema=("output_schema",),
        timeout_seconds=("max_timeout_seconds",),
    ),
    call_path="/api/tools/{owner}/{slug}",
    timeout_parameter="timeout_seconds",
    outcomes=Outcomes(
        status=("status",),
        done=frozenset({"success", "completed"}),
        failed=frozenset({"failed"}),
        timed_out=frozenset({"timeout"}),
        pending=frozenset({"pending", "running"}),
        output=("output",),
        error=("error",),
        cost=("credits_used",),
        balance=("credits_remaining",),
        job_id=("job_id",),
        required=("required",),
        refused_balance=("balance",),
    ),
    job_path="/api/jobs/{job_id}",
    refunds=frozenset({"server_error", "failed", "timeout"}),
)
"""Source: the PyPI package ``agentpatch`` 0.2.0 for paths and members, with the statuses of its skill
file; agentpatch.ai/docs for what a credit costs and what is refunded."""

AGENTPMT: Final = Profile(
    base_url="https://api.agentpmt.com",
    credit=Money(10_000_000),
    definitions=Definitions(
        path="/products/fetch?page={page}&page_size=100",
        items=("tools",),
        has_more=("details", "has_next_page"),
        slug=("function", "name"),
        description=("function", "description"),
        price=("x-pricing", "price_per_unit"),
        input_schema=("function", "parameters"),
    ),
    call_path="/products/purchase",
    slug_member="name",
    arguments_member="parameters",
    outcomes=Outcomes(
        status=("success",),
        done=frozenset({True}),
        failed=frozenset({False}),
        output=("data",),
        error=("message",),
    ),
    balance_path="/credits/balance",
    balance=("data", "balance"),
)
"""Source: agentpmt.com/docs, "API / HTTP" and "Programmatic Access". What a purchase answers with is
not told there: that it is wrapped as the other answers are is an assumption."""

PROFILES: Final[Mapping[ProfileName, Profile]] = {"agentpatch": AGENTPATCH, "agentpmt": AGENTPMT}
