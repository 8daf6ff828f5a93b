"""Credit: what is left at whoever is paid in advance, how long it lasts, and when somebody is told.

What an account was last known to have is counted down by what calls there have cost since. Where
every reply tells the balance, that is next to nothing; where only the settings tell what was paid
in, it is all there is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from callgate.call import new_id
from callgate.clock import Clock, rfc3339
from callgate.config.policies import Settings
from callgate.errors import CallgateError
from callgate.money import Money
from callgate.observe.forecast import DAY_SECONDS, HOUR_SECONDS, Rate
from callgate.store import Alert, Balance, Store

LOOK_SECONDS: Final = 60.0
"""A look asks what was spent since the last word about each account, which may be long ago."""

KIND: Final = "low_balance"
SOON_SECONDS: Final = HOUR_SECONDS
"""Money that lasts no longer is told of, wherever the line is."""

log = logging.getLogger("callgate")


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account that the settings name."""

    name: str
    """``platform:NAME`` or ``provider:NAME``."""
    low: Money | None
    """Somebody is told once less is left; None draws no line."""
    rule: str
    """The setting that draws it."""

    @property
    def served_by(self) -> str:
        """What the rows of attempts call who is paid."""
        return self.name.partition(":")[2]


class Credit(msgspec.Struct, frozen=True, kw_only=True):
    """How an account stands."""

    account: Account
    balance: Balance | None
    """What it was last known to have; None where nobody has told yet."""
    spent: Money = Money()
    """What calls have cost since."""
    last_day: Money = Money()
    """What they have cost in the last 24 hours."""
    now: float

    @property
    def left(self) -> Money | None:
        """What is left by now; None where nobody knows."""
        if self.balance is None:
            return None
        return max(Money(), self.balance.left - self.spent)

    @property
    def lasts_seconds(self) -> float | None:
        """How long it lasts at the rate of the last day; None where nobody knows, or it is not used."""
        if self.left is None:
            return None
        return Rate(spent=self.last_day, seconds=DAY_SECONDS).seconds_for(self.left)

    @property
    def runs_out_at(self) -> float | None:
        """When it is spent, seconds since 1970."""
        return None if self.lasts_seconds is None else self.now + self.lasts_seconds

    @property
    def is_low(self) -> bool:
        """Whether somebody should know."""
        return self.left is not None and (
            (self.account.low is not None and self.left < self.account.low) or self.is_urgent
        )

    @property
    def is_urgent(self) -> bool:
        """Whether nothing is left, or nothing will be soon."""
        lasts = self.lasts_seconds
        return self.left == Money() or (lasts is not None and lasts < SOON_SECONDS)


def accounts_of(settings: Settings) -> Sequence[Account]:
    """Return every account that is paid in advance, by name."""
    platforms = [
        Account(
            name=f"platform:{each.name}",
            low=each.low_balance,
            rule=f"platforms.{each.name}.low_balance",
        )
        for each in settings.platforms.values()
    ]
    providers = [
        Account(
            name=f"provider:{each.name}",
            low=each.low_balance,
            rule=f"providers.{each.name}.low_balance",
        )
        for each in settings.providers.values()
        if each.credit is not None
    ]
    return sorted([*platforms, *providers], key=lambda account: account.name)


def paid_in(settings: Settings, *, now: float) -> Sequence[Balance]:
    """Return what the settings say that accounts have."""
    return [
        Balance(account=f"provider:{each.name}", left=each.credit, source="settings", seen_at=now)
        for each in settings.providers.values()
        if each.credit is not None
    ]


async def credits_of(accounts: Sequence[Account], store: Store) -> Sequence[Credit]:
    """Return how accounts stand now.

    Args:
        accounts: Which.
        store: What is known of them, and what calls have cost.
    """
    now = store.clock.now()
    known = {balance.account: balance for balance in store.balances()}
    seen = {known[account.name].seen_at for account in accounts if account.name in known}
    instants = [*sorted(seen), now - DAY_SECONDS]
    costs = await store.spent_by_scope("provider", instants)
    found: list[Credit] = []
    for account in accounts:
        balance = known.get(account.name)
        spent = costs.get(f"provider:{account.served_by}", [Money()] * len(instants))
        since = Money() if balance is None else spent[instants.index(balance.seen_at)]
        found.append(
            Credit(account=account, balance=balance, spent=since, last_day=spent[-1], now=now)
        )
    return found


class CreditWatch:
    """Looks at accounts for one gate, and raises or resolves what somebody should know.

    Args:
        store: Where balances and costs are, and where alerts go.
        clock: What waits between two looks.
        accounts: Returns what to look at; asked at every look, as settings change.
    """

    def __init__(
        self, store: Store, clock: Clock, accounts: Callable[[], Sequence[Account]]
    ) -> None:
        self._store = store
        self._clock = clock
        self._accounts = accounts

    async def go_on(self) -> None:
        """Look again and again; what goes wrong stops no call, and is tried again."""
        while True:
            try:
                await self.look()
            except CallgateError as error:
                log.warning("accounts could not be looked at: %s", error)
            await self._clock.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Raise an alert for every account that is low, and resolve those that are not any more."""
        accounts = self._accounts()
        if not accounts:
            return
        credits = await credits_of(accounts, self._store)
        low = [credit for credit in credits if credit.is_low]
        well = [_fingerprint(credit) for credit in credits if not credit.is_low]
        for alert in await self._store.raise_alerts([_alert(credit) for credit in low]):
            log.warning("alert (%s): %s", alert.severity, alert.message)
        for alert in await self._store.resolve_alerts(well, self._clock.now()):
            log.info("alert is over: %s", alert.message)


def _fingerprint(credit: Credit) -> str:
    return f"{KIND} {credit.account.name}"


def _alert(credit: Credit) -> Alert:
    account, balance, left = credit.account, credit.balance, credit.left
    runs_out_at = credit.runs_out_at
    return Alert(
        id=new_id("alert"),
        fingerprint=_fingerprint(credit),
        kind=KIND,
        severity="critical" if credit.is_urgent else "warning",
        scope=account.name,
        rule=None if account.low is None else account.rule,
        message=_message(credit),
        facts={
            "left_nano_usd": None if left is None else left.nano,
            "low_nano_usd": None if account.low is None else account.low.nano,
            "seen_at": None if balance is None else rfc3339(balance.seen_at),
            "runs_out_at": None if runs_out_at is None else rfc3339(runs_out_at),
        },
        raised_at=credit.now,
    )


def _message(credit: Credit) -> str:
    lasts = credit.lasts_seconds
    told = "" if lasts is None or credit.left == Money() else f", which lasts {_length(lasts)}"
    return f"{credit.account.name} has {credit.left} left{told}; top up its account"


def _length(seconds: float) -> str:
    """Return a length of time in words that nobody has to work out."""
    if seconds < HOUR_SECONDS:
        return f"{seconds / 60:.0f} minutes at this rate"
    if seconds < 2 * DAY_SECONDS:
        return f"{seconds / HOUR_SECONDS:.0f} hours at this rate"
    return f"{seconds / DAY_SECONDS:.0f} days at this rate"
