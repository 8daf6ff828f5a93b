"""``[mcp.NAME]`` as it is written."""

from __future__ import annotations

from pydantic import Field

from callgate.call import Effect
from callgate.config.kinds import (
    Amount,
    Duration,
    HeaderName,
    Reference,
    Size,
    Url,
    Variable,
)
from callgate.config.mcp_policies import MAX_RESULT_BYTES, Grant
from callgate.config.platform_policies import Pin
from callgate.config.tables import Table


class OAuthTable(Table):
    """How tokens for a server are got. An empty table is enough for most: `callgate mcp login NAME`."""

    grant: Grant = Field(
        default="authorization_code",
        description="`authorization_code`: a person agrees once, by `callgate mcp login NAME`."
        " `client_credentials`: the gate has a credential of its own.",
    )
    client_id: str | None = Field(
        default=None, description="Who the gate is; left out, it registers itself."
    )
    client_secret: Reference | None = Field(
        default=None, description="Where its secret is: `env:NAME` or `file:PATH`."
    )
    issuer: Url | None = Field(
        default=None,
        description="The authorization server that the credential is for; it is shown to no other.",
    )
    scope: str | None = Field(default=None, description="What to ask for, separated by spaces.")


class McpTable(Table):
    """A server of MCP: a program that the gate starts, or one that is elsewhere.

    Its tools are called `NAME.TOOL`; `[tools."NAME.TOOL"]` has the last word about one of them.
    """

    command: str | None = Field(
        default=None,
        description='The program that is the server, such as `"uvx"`: looked for in `PATH`, or below'
        " `cwd` where it is written as a path.",
    )
    args: list[str] = Field(default_factory=list, description="What it is started with.")
    env: dict[Variable, str] = Field(
        default_factory=dict[str, str],
        description="Its environment, besides `PATH`, `HOME`, `LANG`, `LC_ALL` and `TZ`: it gets nothing"
        " else of the gate's. Values that begin with `env:` or `file:` say where a secret is.",
    )
    cwd: str | None = Field(
        default=None, description="The folder that it runs in, relative to this file's."
    )
    url: Url | None = Field(
        default=None, description='Where it is, such as `"https://host/mcp"`, if not a program.'
    )
    key: Reference | None = Field(
        default=None,
        description="Where the key is that is sent to it as a bearer token: `env:NAME` or `file:PATH`.",
    )
    headers: dict[HeaderName, str] = Field(
        default_factory=dict[str, str],
        description="What else is sent to it with every request. Values as under `env`.",
    )
    oauth: OAuthTable | None = Field(
        default=None, description="How tokens for it are got, in the place of `key`."
    )
    ca_file: str | None = Field(
        default=None, description="Certificates to trust besides the usual ones."
    )
    pin: Pin = Field(
        default="first",
        description="What of its tools may be called: its `first` list as it was, or only what somebody has"
        " `accepted`. A lock file goes before both.",
    )
    trust: bool = Field(
        default=False,
        description="Whether to believe what it says its tools do to the world. Otherwise that only"
        " makes matters stricter.",
    )
    effect: Effect | None = Field(
        default=None,
        description="What its tools do to the world; left out, what a trusted server says, else"
        " `destructive`.",
    )
    idempotent: bool = Field(
        default=False, description="Whether the same call again changes nothing more."
    )
    cost: Amount | None = Field(
        default=None, description="The most that a call of a tool of it can cost."
    )
    timeout: Duration = Field(default=60.0, description="How long one attempt may take.")
    start_timeout: Duration = Field(
        default=30.0,
        description="How long it may take to start and to tell its tools; then it counts as dead.",
    )
    max_result_bytes: Size = Field(
        default=MAX_RESULT_BYTES, description="The largest result that is passed on."
    )
