"""Platforms that offer tools for credits: one connector, and what is different at each as data.

A tool of a platform is a tool of this gate under its own name, ``NAME.slug``, so that each has
permissions, limits and a price of its own. Credits are money: a call holds the tool's price, and
costs what the platform says that it has charged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote as quoted

from callgate.call import Tool, ToolResult
from callgate.clock import Clock
from callgate.config.platform_policies import PlatformPolicy
from callgate.redact import Secret
from callgate.store.balances import Balance
from callgate.tools import Invocation, Pinning
from callgate.tools.platform.definitions import Slug
from callgate.tools.platform.desk import Desk
from callgate.tools.platform.jobs import Jobs
from callgate.tools.platform.look_ups import Found, LookUps
from callgate.tools.platform.outcomes import outcome_of
from callgate.tools.platform.profiles import PROFILES, Profile

TRIED_AGAIN_SECONDS: Final = 30.0
"""How long until a platform that could not be asked for its tools is asked once more."""

FAREWELL_SHARE: Final = 0.1
LONGEST_FAREWELL_SECONDS: Final = 2.0
"""So much earlier than this gate a platform is to end a tool: it then tells, and gives back, what
would else be unknown."""

log = logging.getLogger("callgate")


class CreditPlatform:
    """A toolset: what the settings name of one platform.

    Args:
        policy: Its settings.
        credential: Returns the key for questions that are no attempt; None where there is none.
        clock: What looks at jobs and refreshes wait on.
        on_balance: Told whenever an answer says what is left.
    """

    def __init__(
        self,
        policy: PlatformPolicy,
        *,
        credential: Callable[[], Secret | None],
        clock: Clock,
        on_balance: Callable[[Balance], None],
    ) -> None:
        profile = PROFILES[policy.profile]
        desk = Desk(policy, profile, clock=clock, on_balance=on_balance)
        self._policy = policy
        self._profile = profile
        self._desk = desk
        self._credential = credential
        self._clock = clock
        self._jobs = Jobs(policy, profile, desk=desk, clock=clock)
        self._look_ups = LookUps(policy, profile, desk=desk, credential=credential)
        self._slugs = [Slug.of(written, profile) for written in policy.tools]
        self._known: dict[str, Tool] = {}
        self._tools: tuple[Tool, ...] = ()
        self._unavailable: Mapping[str, str] = {}
        self._refreshing: asyncio.Task[None] | None = None
        self._looked_up = asyncio.Event()

    @property
    def name(self) -> str:
        """What the settings call it."""
        return self._policy.name

    @property
    def pinning(self) -> Pinning:
        """The settings name each of its tools, so each is taken as it is seen first."""
        is_first = self._policy.pin == "first"
        return Pinning(accepting="each tool at first" if is_first else "nothing")

    def tools(self) -> Sequence[Tool]:
        """Return those of its tools whose definition is known."""
        return self._tools

    @property
    def unavailable(self) -> Mapping[str, str]:
        """Why tools that the settings name cannot be used now, by name."""
        return self._unavailable

    def start(self) -> None:
        """Begin to look the tools up, and go on as long as the gate runs."""
        self._refreshing = asyncio.create_task(self._go_on())

    async def ready(self) -> None:
        """Wait until its tools are known, or it is known that they are not to be had now."""
        await self._looked_up.wait()

    async def refresh(self) -> None:
        """Look every tool up; what is known stays where its platform does not answer."""
        self._take(await self._look_ups.tools(self._slugs))
        self._looked_up.set()
        await self._look_ups.balance()

    async def call(self, invocation: Invocation, /) -> ToolResult:
        """Call a tool, and wait for its output."""
        tool, credential = invocation.tool.name, invocation.credential
        path, body = _request(invocation, self._profile)
        page = await self._desk.call(path, body, credential, tool=tool)
        outcome = outcome_of(page, self._profile, tool=tool)
        if isinstance(outcome, ToolResult):
            return outcome
        if invocation.note_job is not None:
            await invocation.note_job(outcome.id)
        return await self._jobs.follow(
            outcome.id, tool, credential, on_progress=invocation.on_progress
        )

    async def follow(self, job_id: str, tool: str, /) -> ToolResult:
        """Wait for the output of a job that is under way, as another process has left it.

        Args:
            job_id: What the platform calls it.
            tool: What was called, for messages.

        Raises:
            Failed: It has ended without an output, or the platform knows it no more.
            Misconfigured: There is no key to ask with.
        """
        return await self._jobs.follow(job_id, tool, self._credential())

    async def close(self) -> None:
        """Close every connection; what is under way at the platform goes on there."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])
        await self._desk.close()

    async def _go_on(self) -> None:
        while True:
            await self.refresh()
            seconds = TRIED_AGAIN_SECONDS if self._unavailable else self._policy.refresh_seconds
            await self._clock.sleep(seconds)

    def _take(self, found: Found) -> None:
        """Let what was found hold, and note what is missing."""
        missing: dict[str, str] = {}
        for written, what in found.items():
            if isinstance(what, Tool):
                self._known[written] = what
            elif written not in self._known:
                missing[f"{self.name}.{Slug.of(written, self._profile).slug}"] = what
        for name in missing.keys() - self._unavailable.keys():
            log.warning("the tool %s cannot be used: %s", name, missing[name])
        tools = tuple(self._known[each] for each in self._policy.tools if each in self._known)
        if tools != self._tools:
            self._tools = tools
        self._unavailable = missing


def _request(invocation: Invocation, profile: Profile) -> tuple[str, Mapping[str, Any]]:
    """Return where a call goes, and its body."""
    slug = Slug.of(invocation.tool.remote_name, profile)
    path = profile.call_path.format(owner=quoted(slug.owner, ""), slug=quoted(slug.slug, ""))
    if profile.timeout_parameter is not None:
        seconds = _seconds_there(invocation.timeout_seconds, profile.longest_timeout_seconds)
        path = f"{path}?{profile.timeout_parameter}={seconds}"
    body: Mapping[str, Any] = invocation.arguments
    if profile.arguments_member is not None:
        body = {profile.arguments_member: body}
    return path, body if profile.slug_member is None else {profile.slug_member: slug.slug, **body}


def _seconds_there(seconds: float, longest: int) -> int:
    """Return after how many whole seconds a platform is to end a tool."""
    farewell = min(LONGEST_FAREWELL_SECONDS, seconds * FAREWELL_SHARE)
    return max(1, min(longest, int(seconds - farewell)))
