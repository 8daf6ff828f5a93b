"""One platform as it is asked: every answer becomes a page or a failure, and tells what is left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from callgate.clock import Clock
from callgate.config.platform_policies import PlatformPolicy
from callgate.redact import Secret
from callgate.store.balances import Balance, BalanceSource
from callgate.tools.platform.counter import Answered, Counter
from callgate.tools.platform.failures import Complaint, failure_of
from callgate.tools.platform.profiles import Path, Profile
from callgate.tools.platform.reading import left, number_at, read_object, read_page

GOOD: Final = range(200, 300)


class Desk:
    """Asks one platform, and notes what its answers tell of the account.

    Args:
        policy: Its settings.
        profile: Its ways.
        clock: When a balance was seen.
        on_balance: Told whenever an answer says what is left.
    """

    def __init__(
        self,
        policy: PlatformPolicy,
        profile: Profile,
        *,
        clock: Clock,
        on_balance: Callable[[Balance], None],
    ) -> None:
        self._name = policy.name
        self._seconds = policy.read_timeout_seconds
        self._profile = profile
        self._clock = clock
        self._on_balance = on_balance
        self._counter = Counter(policy, policy.base_url or profile.base_url)

    async def call(
        self, path: str, body: Mapping[str, Any], credential: Secret | None, *, tool: str
    ) -> Mapping[str, Any]:
        """Let a tool do its work, and return what was answered.

        Raises:
            Failed: It was not done, or nobody knows.
        """
        answered = await self._counter.call(path, body, credential)
        return self.page(answered, credential, about=tool)

    async def ask(self, path: str, credential: Secret | None) -> Answered:
        """Ask for what costs nothing.

        Raises:
            Failed: No answer came.
            TimeoutError: None came in time.
        """
        async with asyncio.timeout(self._seconds):
            return await self._counter.ask(path, credential)

    def page(
        self, answered: Answered, credential: Secret | None, *, about: str
    ) -> Mapping[str, Any]:
        """Return the page of an answer.

        Raises:
            Failed: It has an error status, or is no page.
        """
        places = self._profile.outcomes
        if answered.status in GOOD:
            page = read_page(answered.body, credential)
            self.note(page, places.balance, "reply")
            return page
        page = read_object(answered.body, credential)
        self.note(page, places.refused_balance, "refusal")
        self.note(page, places.balance, "reply")
        complaint = Complaint(
            platform=self._name,
            tool=about,
            status=answered.status,
            headers=answered.headers,
            body=answered.body,
            page=page,
            credential=credential,
        )
        raise failure_of(complaint, self._profile)

    def note(self, page: Mapping[str, Any], path: Path | None, source: BalanceSource) -> None:
        """Tell what an answer says to be left, if it does."""
        amount = left(number_at(page, path), self._profile.credit)
        if amount is None:
            return
        balance = Balance(
            account=f"platform:{self._name}",
            left=amount,
            source=source,
            seen_at=self._clock.now(),
        )
        self._on_balance(balance)

    async def close(self) -> None:
        """Close every connection."""
        await self._counter.close()
