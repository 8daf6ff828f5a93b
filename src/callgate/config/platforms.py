"""``[platforms.NAME]`` as it is written."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from callgate.config.kinds import Amount, Duration, Reference, Size, SlugEntry, Url
from callgate.config.platform_policies import MAX_RESULT_BYTES, Pin, ProfileName
from callgate.config.tables import Table


class PlatformTable(Table):
    """A platform that sells tools for credits. Each tool that is named here is called `NAME.slug`."""

    profile: ProfileName = Field(description="Which platform it is.")
    key: Reference = Field(description="Where its key is: `env:NAME` or `file:PATH`.")
    tools: Annotated[list[SlugEntry], Field(min_length=1)] = Field(
        description="Which of its tools are used, each as `slug`, or as `owner/slug` where somebody else"
        " than the platform offers it. What each takes and costs is looked up at the start, and then"
        " every `refresh`."
    )
    pin: Pin = Field(
        default="first",
        description="What of its tools may be called: each as it was seen `first`, or only as somebody has"
        " `accepted` it. A lock file goes before both.",
    )
    base_url: Url | None = Field(
        default=None, description="Where it is, if not where everybody finds it."
    )
    low_balance: Amount | None = Field(
        default=None, description='Somebody is told once less than this is left, such as `"$2"`.'
    )
    timeout: Duration | None = Field(
        default=None,
        description="How long a call may take; as long as the platform lets the tool run, if left out.",
    )
    first_poll: Duration = Field(
        default=1.0, description="The wait before the first look at a job that goes on by itself."
    )
    longest_poll: Duration = Field(
        default=15.0, description="The longest wait between two looks; each is half as long again."
    )
    refresh: Duration = Field(
        default=3600.0, description="How old what is known of its tools may become."
    )
    max_result: Size = Field(
        default=MAX_RESULT_BYTES, description="The largest answer that is read."
    )
    ca_file: str | None = Field(
        default=None, description="Certificates to trust, for a server of your own."
    )
    proxy: Url | None = Field(default=None, description="An HTTP proxy to go through.")
    connect_timeout: Duration = Field(default=5.0, description="To reach it.")
    read_timeout: Duration = Field(
        default=60.0,
        description="The longest silence in an answer, and the longest wait for one that calls no tool.",
    )
