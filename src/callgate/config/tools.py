"""``[tools.NAME]`` as it is written: what every tool has, and how one over HTTP is asked."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from callgate.call import Effect, Within
from callgate.config.kinds import (
    Amount,
    AuthPlace,
    Duration,
    FunctionPlace,
    HeaderName,
    Name,
    Query,
    Reference,
    Size,
    StatusName,
    ToolUrl,
    Url,
)
from callgate.config.tables import LimitsTable, Table
from callgate.config.tool_policies import LARGEST_RESULT, Meaning, Method, Place, Returns


class ParameterTable(Table):
    """One thing that a call of the tool takes.

    Besides these keys stands what JSON schema says about it, such as `type`, `description`, `enum` and
    `minimum`: agents see that, and a call that does not fit it is refused.
    """

    model_config = ConfigDict(extra="allow")

    # As pydantic documents it; its own annotation is wider.
    __pydantic_extra__: dict[str, Any] = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        init=False
    )

    place: Place | None = Field(
        default=None,
        alias="in",
        description="Where it goes: a part of the `path`, the `query`, a `header`, a member of the body"
        " as `json` or `form`, or the whole `body` as JSON. Left out: the path if the URL names it, else"
        " the query of a GET or DELETE, and JSON for the others.",
    )
    name: str | None = Field(default=None, description="What it is called there, if not the same.")
    optional: bool = Field(default=False, description="Whether a call may leave it out.")
    value: Any = Field(
        default=None,
        description="What is sent in every call; agents then neither see nor choose it.",
    )

    @property
    def schema_part(self) -> dict[str, Any]:
        """What JSON schema says about it."""
        return self.__pydantic_extra__


class HttpTable(Table):
    """How a tool over HTTP is asked.

    Redirects to another host are not followed, headers of the agent are not passed on.
    """

    method: Method = Field(default="GET", description="The method of HTTP.")
    url: ToolUrl = Field(
        description="Where it is: `https`, or `http` on this machine. Parts of the path in braces, such as"
        " `{id}`, are parameters; the host is always this one."
    )
    parameters: dict[Name, ParameterTable] = Field(
        default_factory=dict[str, ParameterTable], description="What a call of it takes, by name."
    )
    auth: AuthPlace = Field(
        default="bearer",
        description="How its key is sent: as `bearer` token, as `basic` (the key is `user:password`), or"
        " as it is in `header:NAME` or `query:NAME`.",
    )
    idempotency_header: HeaderName | None = Field(
        default=None,
        description="The header for a key by which its server knows an action that was asked for twice.",
    )
    returns: Returns = Field(
        default="json",
        description="What it answers with: `json`, `text`, or `any`, which goes by the type that the"
        " reply names, pictures and sounds included.",
    )
    pick: Query | None = Field(
        default=None,
        description="What of a JSON reply the agent gets, in JMESPath, such as `{id: id, status: status}`;"
        " all of it if left out.",
    )
    fails_when: Query | None = Field(
        default=None,
        description="When a reply with a good status tells of a failure, in JMESPath, such as"
        " `status == 'failed'`.",
    )
    error_message: Query | None = Field(
        default=None,
        description="Where an error's text is, in JMESPath; looked for in the usual places if left out.",
    )
    errors: dict[StatusName, Meaning] = Field(
        default_factory=dict[int, Meaning],
        description="What statuses mean that here mean something else than"
        ' [usual](failures.md#when-a-tool-fails), such as `{ 403 = "answer" }`.',
    )
    cost_from: Query | None = Field(
        default=None,
        description="Where a reply tells what the call cost, in JMESPath; `cost` is then what is held.",
    )
    cost_unit: Amount | None = Field(
        default=None,
        description='What one of that is worth, such as `"$0.0001"`; `"$1"` if left out.',
    )
    ca_file: str | None = Field(
        default=None, description="Certificates to trust, for a server of your own."
    )
    proxy: Url | None = Field(default=None, description="An HTTP proxy to go through.")


class CheckTable(Table):
    """How to find out whether something has been done of which nobody knows it."""

    tool: str = Field(description="A tool that only reads, and knows.")
    arguments: Query = Field(
        description="What it is asked with, in JMESPath, of the arguments of the call that is looked for,"
        " such as `{charge: charge}`."
    )
    done: Query = Field(
        description="What of its answer is true if it was done, in JMESPath, such as"
        " `status == 'succeeded'` or `items[0]`; nothing, `false` and empty lists and texts are not."
    )
    certain_after: Duration = Field(
        default=300.0,
        description="How long after it was sent the far side may still be at it: a no before that"
        " proves nothing, a yes always does.",
    )


class ToolTable(LimitsTable):
    """What an agent can call besides models.

    One with neither `python` nor `http` is a tool of a server, `[tools."SERVER.TOOL"]`, about which its
    server is not to have the last word.
    """

    python: FunctionPlace | None = Field(
        default=None,
        description="A function of Python as `module:function`; modules are looked for beside this file"
        " first.",
    )
    http: HttpTable | None = Field(default=None, description="How it is asked over HTTP.")
    description: str | None = Field(
        default=None,
        description="What it is for, as a model reads it; a function's docstring if left out.",
    )
    effect: Effect | None = Field(
        default=None,
        description="What it does to the world. Left out, what a function says of itself, else"
        " `destructive`.",
    )
    idempotent: bool | None = Field(
        default=None, description="Whether the same call again changes nothing more."
    )
    key: Reference | None = Field(
        default=None,
        description="Where the key is that it is called with: `env:NAME` or `file:PATH`. A function gets it"
        " in its `Context`.",
    )
    cost: Amount | None = Field(
        default=None, description="What a call costs, or the most that it can; nothing if left out."
    )
    max_bytes: Size = Field(
        default=LARGEST_RESULT,
        description="The most text that an agent gets of a result; a larger one is an error.",
    )
    timeout: Duration | None = Field(
        default=None, description="How long one attempt may take; 60s if nobody says."
    )
    once: Query | None = Field(
        default=None,
        description="What of the arguments names the [action](effects.md) that happens once, in JMESPath,"
        " such as `charge` or `[order.id, line]`; all of them if left out.",
    )
    once_in: Within | None = Field(
        default=None,
        description="Where it happens once: in a `task`, for a `user`, for an `agent`, or in the whole"
        " `gate`. Left out: in the task, of a tool that is neither a `read` nor idempotent.",
    )
    repeats: bool | None = Field(
        default=None,
        description="Whether the same call again means that it is to be done again, as with a tool that"
        " rolls dice or appends a line.",
    )
    on_error: Literal["not_done", "unknown"] | None = Field(
        default=None,
        description="What it means where the tool itself says that it failed: that it has done nothing"
        " (`not_done`, if left out), or that nobody knows.",
    )
    check: CheckTable | None = Field(
        default=None, description="How to find out whether an action has been done."
    )
