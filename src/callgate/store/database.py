"""The store in a database that speaks SQL, whichever it is: its statements are the same in all."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from callgate.call import Candidate
from callgate.clock import Clock
from callgate.money import Money
from callgate.store import (
    Action,
    Alert,
    Balance,
    Block,
    Booked,
    Bounded,
    BudgetRow,
    CallEnd,
    CallKind,
    CallRow,
    CallState,
    Decision,
    GateRow,
    Grant,
    Grouping,
    Hold,
    Imbalance,
    Intent,
    Job,
    Key,
    LimitRow,
    MadeReply,
    Outlived,
    Overrun,
    Performance,
    Pinned,
    Planned,
    Probe,
    Raised,
    Refusal,
    Resent,
    Settlement,
    Sight,
    Spending,
    TaskRow,
    acted,
    alerts,
    blocked,
    corrections,
    noted_jobs,
    overruns,
    pinned_tools,
    rules,
    seen_balances,
    tasks,
    writes,
)
from callgate.store.admission import Admission
from callgate.store.aside import Aside
from callgate.store.booked import booked
from callgate.store.bounded import bounded
from callgate.store.budgets import budgets, spent_by_scope
from callgate.store.calendar import Window
from callgate.store.groups import Groups
from callgate.store.heartbeat import Heartbeat
from callgate.store.imbalances import imbalances
from callgate.store.limits import Limit
from callgate.store.owners import SILENT_SECONDS
from callgate.store.performance import performance
from callgate.store.priced import NotedPrice, PastAttempt, Repricing
from callgate.store.reads import Reader
from callgate.store.repricing import note_prices, noted_prices, past_attempts, reprice
from callgate.store.spending import first_sent_at, holds, spending, spent_since
from callgate.task import Task


class DatabaseStore:
    """A :class:`callgate.store.Store` in a database; each kind has a class that opens it.

    Writes go to one writer, which commits them in groups; reads run where they are called, on a
    connection that never waits for it.

    Args:
        writer: Runs the operations.
        reader: Answers the questions.
        aside: Answers those that may take long.
        clock: Wall time for rows, monotonic time for the heartbeat.
        heartbeat: That of this gate; None for a process that is none.
        owner: This gate.
    """

    def __init__(
        self,
        writer: Groups,
        reader: Reader,
        *,
        aside: Aside,
        clock: Clock,
        heartbeat: Heartbeat | None,
        owner: str | None,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._aside = aside
        self.clock = clock
        self._heartbeat = heartbeat
        self._owner = owner
        self._admission = None if owner is None else Admission(owner)

    def admit(self, intent: Intent, /) -> Future[Grant]:
        """Hold the money and write the attempt's intent, in one transaction, or do neither."""
        if self._admission is None:
            msg = "this store was opened without a gate, so nobody would settle what it admits"
            raise RuntimeError(msg)
        return self._writer.submit(self._admission, intent)

    def settle(self, settlement: Settlement, /) -> Future[Overrun | None]:
        """Free the hold, book the cost and write the outcome; a second time does nothing."""
        return self._writer.submit(writes.settle, settlement)

    def note_job(self, attempt_id: str, job_id: str, noted_at: float, /) -> Future[None]:
        """Note that the far side goes on with an attempt by itself."""
        return self._writer.submit(noted_jobs.note, (attempt_id, job_id, noted_at))

    def adopt_jobs(self, toolsets: Collection[str], /) -> Future[Sequence[Job]]:
        """Take over the jobs of some toolsets whose gates are dead."""
        if self._owner is None:
            msg = "this store was opened without a gate, so nobody would ask for what it takes over"
            raise RuntimeError(msg)
        by = (self._owner, frozenset(toolsets), self.clock.now())
        return self._writer.submit(noted_jobs.adopt, by)

    def end_job(self, settlement: Settlement, result: bytes | None, /) -> Future[None]:
        """Settle the attempt of a job that was taken over, and keep its result."""
        return self._writer.submit(noted_jobs.end, (settlement, result))

    def find_outlived(self, task_id: str, fingerprint: bytes, /) -> Outlived | None:
        """Return the oldest job of a call whose gate died, unless its result is claimed."""
        return self._reader.ask(
            partial(noted_jobs.find_outlived, task_id=task_id, fingerprint=fingerprint)
        )

    def claim_result(self, attempt_id: str, claimed_at: float, /) -> Future[bool]:
        """Be the one who hands out the result of a job."""
        return self._writer.submit(noted_jobs.claim, (attempt_id, claimed_at))

    def note_balance(self, balance: Balance, /) -> Future[None]:
        """Keep what an account has, unless something later is known."""
        return self._writer.submit(seen_balances.note, balance)

    def balances(self) -> Sequence[Balance]:
        """Return what every account was last known to have, by name."""
        return self._reader.ask(seen_balances.read)

    def see_tools(self, sight: Sight, /) -> Future[None]:
        """Note what a toolset lists now, and accept of it what is to be accepted at first."""
        return self._writer.submit(pinned_tools.see, sight)

    def accept_tools(
        self, toolset: str, digests: Mapping[str, str | None], accepted_at: float, /
    ) -> Future[Sequence[str]]:
        """Accept tools as they were seen last; return those that were accepted."""
        return self._writer.submit(pinned_tools.accept, (toolset, digests, accepted_at))

    def pins(self, toolset: str | None = None, /) -> Sequence[Pinned]:
        """Return every tool of a toolset that was accepted or seen, by name; None for those of all."""
        return self._reader.ask(partial(pinned_tools.read, toolset=toolset))

    def end_call(self, end: CallEnd, /) -> Future[None]:
        """Write the outcome of a call whose attempts are all settled."""
        return self._writer.submit(writes.end_call, end)

    def refuse(self, refusal: Refusal, /) -> Future[None]:
        """Write the audit row of a call that never had an attempt, and its task if it is new."""
        return self._writer.submit(writes.refuse, refusal)

    def create_task(self, task: Task, /) -> Future[Task]:
        """Write a task; return the stored one if it exists."""
        return self._writer.submit(tasks.create_task, task)

    def end_task(self, task_id: str, ended_at: float, /) -> Future[None]:
        """Mark a task as ended."""
        return self._writer.submit(tasks.end_task, (task_id, ended_at))

    def note_prices(self, prices: Sequence[NotedPrice], /) -> Future[None]:
        """Write the numbers of versions; those that are there stay."""
        return self._writer.submit(note_prices, tuple(prices))

    def noted_prices(self, versions: Collection[str], /) -> Mapping[str, str]:
        """Return the numbers of versions, as far as they were noted."""
        return self._reader.ask(partial(noted_prices, versions=versions))

    def past_attempts(
        self, *, after: int, since: float, until: float, model: str | None, limit: int
    ) -> Sequence[PastAttempt]:
        """Return settled attempts of model calls in their order, as many as are wanted at once."""
        return self._reader.ask(
            partial(past_attempts, after=after, since=since, until=until, model=model, limit=limit)
        )

    def reprice(self, repricings: Sequence[Repricing], /) -> Future[int]:
        """Book other costs, in the rows and in every meter and task."""
        return self._writer.submit(reprice, (tuple(repricings), self.clock.now()))

    def create_key(self, key: Key, /) -> Future[None]:
        """Write a key."""
        return self._writer.submit(writes.create_key, key)

    def revoke_key(self, key_id: str, revoked_at: float, /) -> Future[bool]:
        """Revoke a key; return False if there is none of that id."""
        return self._writer.submit(writes.revoke_key, (key_id, revoked_at))

    def load_limits(self, limits: Sequence[Limit], revision: int, /) -> Future[bool]:
        """Let the limits of a settings file hold; False if those of a newer file do already."""
        return self._writer.submit(rules.load, (tuple(limits), revision))

    def override(self, limit: Limit, /) -> Future[None]:
        """Let an override hold."""
        return self._writer.submit(rules.override, limit)

    def lift(self, scope: str, name: str, /) -> Future[bool]:
        """Take an override back; return False if there is none."""
        return self._writer.submit(rules.lift, (scope, name))

    def raise_budget(self, task_id: str, budget: Money | None, /) -> Future[bool]:
        """Set a task's own budget; return False for an unknown task."""
        return self._writer.submit(rules.raise_budget, (task_id, budget))

    def block(self, block: Block, /) -> Future[None]:
        """Let nobody ask somebody for a while, and tell of it; a longer block that holds stays."""
        return self._writer.submit(blocked.block, block)

    def unblock(self, subject: str, /) -> Future[bool]:
        """Lift a block and resolve its alert; return False if there is none."""
        return self._writer.submit(blocked.unblock, (subject, self.clock.now()))

    def claim_probe(self, probe: Probe, /) -> Future[bool]:
        """Be the one who tries whether a block is still needed."""
        return self._writer.submit(blocked.claim_probe, probe)

    def release_probe(self, subject: str, /) -> Future[None]:
        """Let somebody else try, as who was to has found out nothing."""
        return self._writer.submit(blocked.release_probe, subject)

    def unblock_task(self, task_id: str, /) -> Future[bool]:
        """Forget what a task has to put right; return False if that is nothing."""
        return self._writer.submit(corrections.forget, task_id)

    def check_action(self, planned: Planned, now: float, /) -> None:
        """Look whether an action is done, or may be, without holding anything."""
        self._reader.ask(partial(acted.check, planned=planned, now=now))

    def actions(
        self, *, limit: int | None = 50, only_open: bool = False, task_id: str | None = None
    ) -> Sequence[Action]:
        """Return actions: those that are unknown first, the newest of each first."""
        # Of one moment: else one that is settled meanwhile is listed twice.
        return self._reader.ask(
            partial(acted.listed, limit=limit, only_open=only_open, task_id=task_id), at_once=True
        )

    def find_action(self, action_id: str, /) -> Action | None:
        """Return one action."""
        return self._reader.ask(partial(acted.find, action_id=action_id))

    def decide(self, decision: Decision, /) -> Future[Action]:
        """Write what somebody says of an action, and resolve its alert."""
        return self._writer.submit(acted.decide, decision)

    def blocks(self) -> Sequence[Block]:
        """Return who is not asked for now, by name."""
        return self._reader.ask(blocked.blocks)

    def alerts(self, *, limit: int | None = 50, only_open: bool = False) -> Sequence[Alert]:
        """Return alerts, newest first."""
        return self._reader.ask(partial(alerts.newest, limit=limit, only_open=only_open))

    def alerts_since(self, change: int, /, *, limit: int) -> Sequence[Alert]:
        """Return the alerts that were raised or resolved since a change of one, in that order."""
        return self._reader.ask(partial(alerts.since, change=change, limit=limit))

    def raise_alerts(self, raised: Sequence[Alert], /) -> Future[Sequence[Alert]]:
        """Raise alerts, and return those that are new."""
        return self._writer.submit(alerts.raise_all, tuple(raised))

    def resolve_alerts(
        self, fingerprints: Sequence[str], resolved_at: float, /
    ) -> Future[Sequence[Alert]]:
        """Mark what is open of these as over, and return it."""
        return self._writer.submit(alerts.resolve_all, (tuple(fingerprints), resolved_at))

    def open_alerts(self) -> Future[Sequence[Alert]]:
        """Return every alert that is open, newest first."""
        return self._aside.ask(partial(alerts.newest, limit=None, only_open=True))

    def budgets(
        self, windows: Sequence[Window], /, *, least_share: float
    ) -> Future[Sequence[BudgetRow]]:
        """Return every budget that holds; of users and tasks those of which a share is spent."""
        return self._aside.ask(
            partial(budgets, windows=windows, least_share=least_share, now=self.clock.now())
        )

    def spent_by_scope(
        self, kind: str, instants: Sequence[float], /
    ) -> Future[Mapping[str, Sequence[Money]]]:
        """Return what the attempts of every scope of a kind have cost since each of some instants."""
        return self._aside.ask(partial(spent_by_scope, kind=kind, instants=instants))

    def performance(self, since: float, /) -> Future[Mapping[Candidate, Performance]]:
        """Return how each candidate has done since an instant."""
        return self._aside.ask(partial(performance, since=since))

    def overruns(self) -> Sequence[Raised]:
        """Return which bounds and counts are multiplied, as a bill was above them, by model."""
        return self._reader.ask(overruns.read_all)

    def forget_overrun(self, candidate: Candidate, now: float, /) -> Future[bool]:
        """Let a model's own bound hold again; return False if it did."""
        return self._writer.submit(overruns.forget, (candidate, now))

    def limits(self, windows: Sequence[Window] = (), /) -> Sequence[LimitRow]:
        """Return every limit, and what is used of it where the windows of now are told."""
        return self._reader.limits(windows, self.clock.now())

    def spending(
        self,
        by: Grouping | None,
        /,
        *,
        since: float,
        until: float,
        days: Sequence[Window] = (),
        kind: CallKind | None = None,
    ) -> Sequence[Spending]:
        """Return what was spent, the most first; by day, the first first."""
        return self._reader.ask(
            partial(spending, by=by, since=since, until=until, days=days, kind=kind)
        )

    def booked(self, windows: Sequence[Window], /, *, providers: Sequence[str]) -> Sequence[Booked]:
        """Return what the attempts of some windows add up to, by model and by how they stand."""
        return self._reader.ask(partial(booked, windows=windows, providers=providers))

    def bounded(self, *, since: float, until: float) -> Sequence[Bounded]:
        """Return how bounds fitted by task type and model."""
        return self._reader.ask(partial(bounded, since=since, until=until))

    def spent_since(self, scope: str, instants: Sequence[float], /) -> Sequence[Money]:
        """Return what the attempts of a scope have cost since each of some instants."""
        return self._reader.ask(partial(spent_since, scope=scope, instants=instants))

    def first_sent_at(self) -> float | None:
        """Return when the first attempt of all left; None where none has."""
        return self._reader.ask(first_sent_at)

    def users(self) -> Sequence[str]:
        """Return every user that a task was for."""
        return self._reader.users()

    def holds(self) -> Sequence[Hold]:
        """Return the attempts that run, the oldest first."""
        return self._reader.ask(partial(holds, now=self.clock.now()))

    def set_url(self, url: str, /) -> Future[None]:
        """Note where this process can be reached."""
        return self._writer.submit(self._beating().set_url, url)

    def set_reload(self, reloaded_at: float, error: str | None, /) -> Future[None]:
        """Note how this process's last reload of the settings went."""
        return self._writer.submit(self._beating().set_reload, (reloaded_at, error))

    def find_key(self, digest: bytes, /) -> Key | None:
        """Return the key with this SHA-256, revoked or expired ones too."""
        return self._reader.find_key(digest)

    def keys(self) -> Sequence[Key]:
        """Return all keys, newest first."""
        return self._reader.keys()

    def find_task(self, task_id: str, /) -> Task | None:
        """Return a task."""
        return self._reader.find_task(task_id)

    def count_retries(self, task_id: str, /) -> int:
        """Return how often something was tried again for a task."""
        return self._reader.count_retries(task_id)

    def find_earlier(self, resent: Resent, /) -> str | None:
        """Return the task of an earlier call that a client sends again."""
        return self._reader.find_earlier(resent)

    def task_row(self, task_id: str, /) -> TaskRow | None:
        """Return a task with its ledger."""
        return self._reader.task_row(task_id)

    def tasks(self, *, limit: int = 50, agent: str | None = None) -> Sequence[TaskRow]:
        """Return tasks, newest first."""
        return self._reader.tasks(limit, agent)

    def calls(
        self, *, task_id: str | None = None, limit: int | None = 50, state: CallState | None = None
    ) -> Sequence[CallRow]:
        """Return calls with their attempts, newest first."""
        return self._reader.calls(task_id, limit, state)

    def find_reply(self, reply_id: str, /) -> MadeReply | None:
        """Return the newest reply of an id that begins as those do that providers keep."""
        return self._reader.find_reply(reply_id)

    def find_call(self, call_id: str, /) -> CallRow | None:
        """Return one call with its attempts."""
        return self._reader.find_call(call_id)

    def gates(self) -> Sequence[GateRow]:
        """Return the gate processes whose heartbeat is at most 20 seconds old."""
        return self._reader.gates(self.clock.now() - SILENT_SECONDS)

    def verify(self) -> Sequence[Imbalance]:
        """Return every scope whose ledger is not what its attempts add up to."""
        return self._reader.ask(imbalances, at_once=True)

    async def close(self) -> None:
        """Finish what was submitted, book what still runs as unknown, and close."""
        await self._writer.close()
        self._reader.close()
        self._aside.close()

    def _beating(self) -> Heartbeat:
        if self._heartbeat is None:
            msg = "this store was opened without a gate, which has neither a URL nor a reload"
            raise RuntimeError(msg)
        return self._heartbeat
