"""What the tables of the settings file share: no unknown names, and limits."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from callgate.config.kinds import Amount, Count


class Table(BaseModel):
    """A table of the file: a name that it does not have is a mistake."""

    model_config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)


class LimitsTable(Table):
    """Limits of the whole gate.

    The same keys under an agent, a task type, a provider or a user hold for that one. A call must
    fit all limits that it falls under; 0 allows nothing.
    """

    per_minute: Count | None = Field(
        default=None, description="Calls in any 60 seconds; at a provider, attempts."
    )
    per_hour: Count | None = Field(default=None, description="Calls in any 3,600 seconds.")
    per_day: Count | None = Field(
        default=None, description="Calls in a day, which begins at midnight in `[gate] timezone`."
    )
    concurrency: Count | None = Field(
        default=None,
        description="How many run at once: tasks; of an agent, calls; at a provider, attempts.",
    )
    budget_per_hour: Amount | None = Field(
        default=None, description='Money in an hour of the clock, such as `"$2"`.'
    )
    budget_per_day: Amount | None = Field(default=None, description="Money in a day.")
    budget_per_month: Amount | None = Field(default=None, description="Money in a month.")
    on_limit: Literal["refuse", "wait"] = Field(
        default="refuse",
        description="What becomes of a call that is one too many: it is refused, or waits for its"
        " turn until its task's deadline. A call that does not fit a budget never waits.",
    )
