"""Jobs: what a platform goes on with by itself is asked for until it is over."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote as quoted

from callgate.call import Progress, ToolResult
from callgate.clock import Clock
from callgate.config.platform_policies import PlatformPolicy
from callgate.errors import BrokenReply, Failed
from callgate.redact import Secret
from callgate.tools.platform.desk import Desk
from callgate.tools.platform.outcomes import outcome_of
from callgate.tools.platform.profiles import Profile

POLL_FACTOR: Final = 1.5

GONE: Final = frozenset({401, 403, 404})
"""Answers after which a job is not asked for again."""

log = logging.getLogger("callgate")


class Jobs:
    """Follows the jobs of one platform.

    Args:
        policy: Its settings.
        profile: Its ways.
        desk: Where it is asked.
        clock: What waits between two looks go by.
    """

    def __init__(
        self, policy: PlatformPolicy, profile: Profile, *, desk: Desk, clock: Clock
    ) -> None:
        self._policy = policy
        self._profile = profile
        self._desk = desk
        self._clock = clock

    async def follow(
        self,
        job_id: str,
        tool: str,
        credential: Secret | None,
        *,
        on_progress: Progress | None = None,
    ) -> ToolResult:
        """Look at a job until it is over; how long that may take is its caller's matter.

        Args:
            job_id: What the platform calls it.
            tool: What was called, for messages.
            credential: The key of the account that it belongs to.
            on_progress: Told with every look how long it has been.

        Raises:
            Failed: It has ended without an output, or the platform knows it no more.
        """
        began = self._clock.monotonic()
        wait = self._policy.first_poll_seconds
        while True:
            await self._clock.sleep(wait)
            wait = min(wait * POLL_FACTOR, self._policy.longest_poll_seconds)
            page = await self._look(job_id, tool, credential)
            outcome = None if page is None else outcome_of(page, self._profile, tool=tool)
            if isinstance(outcome, ToolResult):
                return outcome
            if on_progress is not None:
                seconds = self._clock.monotonic() - began
                await on_progress(seconds, None, f"{self._policy.name} works on it")

    async def _look(
        self, job_id: str, tool: str, credential: Secret | None
    ) -> Mapping[str, Any] | None:
        """Return what a job is like; None where the look itself went wrong, which changes nothing.

        Raises:
            BrokenReply: The platform knows no such job of this account.
        """
        # The address that the platform names for a job is not used: a key goes to no other place.
        path = (self._profile.job_path or "").format(job_id=quoted(job_id, ""))
        named = f"the job {quoted(job_id)} of {tool}"
        try:
            answered = await self._desk.ask(path, credential)
        except (Failed, TimeoutError) as passing:
            _pass_over(named, passing)
            return None
        if answered.status in GONE:
            msg = f"{self._policy.name} answers {answered.status} for {named}"
            raise BrokenReply(msg, billed=True)
        try:
            return self._desk.page(answered, credential, about=tool)
        except Failed as passing:
            _pass_over(named, passing)
            return None


def _pass_over(named: str, error: Exception) -> None:
    log.info("a look at %s went wrong, and is repeated: %r", named, error)
