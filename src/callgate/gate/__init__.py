"""The composition root: from settings to a store, secrets, providers and one road."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec

from callgate.call import Caller, Claims, Reply, Tool, ToolReply, new_id
from callgate.clock import Clock, SystemClock
from callgate.config.policies import ProviderPolicy, Settings
from callgate.errors import Misconfigured
from callgate.gate.callers import Callers, agent_keys
from callgate.gate.catalog import Catalog, CatalogWatch
from callgate.gate.following import Following
from callgate.gate.lock import lock_beside
from callgate.gate.look_ups import LookUps
from callgate.gate.models import ModelRoad, prices_of
from callgate.gate.models import explaining as explaining
from callgate.gate.parts import Parts
from callgate.gate.pins import Pins
from callgate.gate.providers import MakeProvider as MakeProvider
from callgate.gate.providers import http_provider as http_provider
from callgate.gate.roads import road_of
from callgate.gate.servers import ServerState, restart_server, server_states
from callgate.gate.tools import ToolRoad
from callgate.gate.toolsets import Opened, Toolsets
from callgate.keys import digest, new_key
from callgate.money import Money
from callgate.observe.credit import CreditWatch, accounts_of, paid_in
from callgate.observe.watch import Plan, Watch
from callgate.pipeline import AnyPassage, Road, ToolPassage
from callgate.pipeline.choosing import Performances
from callgate.pipeline.earlier import EarlierReplies
from callgate.pipeline.flights import Flights
from callgate.pipeline.health import Health
from callgate.pipeline.identify import Identify, new_task
from callgate.pipeline.late import LateOutcomes
from callgate.pipeline.permission import listed
from callgate.pipeline.rights import Kind, Right, allow, rights
from callgate.pricing.noted import NotedPrices
from callgate.providers import Provider
from callgate.secrets import Secrets
from callgate.store import GateIdentity, Key, Store
from callgate.store.calendar import Calendar
from callgate.store.limits import Limit
from callgate.store.opening import open_store
from callgate.task import Task
from callgate.tools import Follower, Remote
from callgate.tools import Toolset as Toolset
from callgate.wire import ClientFormat
from callgate.wire.formats import CLIENT_FORMATS

KEY_OUTLIVES_TASK_SECONDS = 3600.0
"""A task key works this long past its task's deadline, so that the end can still be told."""

TOOLS_PATIENCE_SECONDS = 1.0
"""So long the start waits for toolsets that have to ask for their tools; later ones come when they do."""

log = logging.getLogger("callgate")


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """All that one version of the settings decides; a reload replaces it whole."""

    settings: Settings
    roads: Mapping[str, Road[Any]]
    """By kind of call."""
    providers: Mapping[str, Provider]
    toolsets: Mapping[str, Opened]
    """By the part of the settings that they are of."""
    catalog: Catalog
    agent_keys: Mapping[bytes, str]
    """Agents by the SHA-256 of the key that the settings refer to."""


class Gate:
    """What every door opens onto: who is calling, which task, and the road."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        environ: Mapping[str, str],
        clock: Clock,
        rng: random.Random,
        make_provider: MakeProvider,
        toolsets: Sequence[Toolset] = (),
        functions: Sequence[Callable[..., Any]] = (),
    ) -> None:
        self.store = store
        self.clock = clock
        self.formats: Mapping[str, ClientFormat] = CLIENT_FORMATS
        self._make_provider = make_provider
        self._toolsets = toolsets
        self._functions = functions
        self._parts = Parts(
            store=store,
            clock=clock,
            rng=rng,
            environ=environ,
            late=LateOutcomes(store=store, clock=clock),
            health=Health(store, clock),
            earlier=EarlierReplies(store),
            noted=NotedPrices(store, clock),
            performances=Performances(store, clock),
            flights=Flights(),
        )
        self._setup = self._set_up(settings, old=None)
        self._leaving: dict[asyncio.Task[None], Toolset] = {}
        """Toolsets that go, with what closes each once its last call has ended."""
        self._callers = Callers(store, clock)

    @classmethod
    async def open(
        cls,
        settings: Settings,
        *,
        environ: Mapping[str, str],
        clock: Clock | None = None,
        rng: random.Random | None = None,
        make_provider: MakeProvider | None = None,
        toolsets: Sequence[Toolset] = (),
        functions: Sequence[Callable[..., Any]] = (),
    ) -> Gate:
        """Open the store and build the road.

        Args:
            settings: What :func:`callgate.config.load` returned.
            environ: Where ``env:`` references are looked up.
            clock: The machine's, unless a test moves time.
            rng: Where the jitter of retries comes from.
            make_provider: Who answers for a provider of the settings; over HTTP, unless a test
                plays it.
            toolsets: Where tools come from besides those that the settings name.
            functions: What the program itself brings along as tools.

        Raises:
            Misconfigured: The settings, or the store's file, cannot be used.
        """
        clock = clock or SystemClock()
        identity = GateIdentity.of_this_process(started_at=clock.now())
        store = await open_store(settings.gate.store, clock=clock, gate=identity)
        clock = store.clock
        # Jitter needs no secrecy, only that a test can seed it.
        rng = rng or random.Random()  # noqa: S311
        try:
            gate = cls(
                settings,
                store,
                environ=environ,
                clock=clock,
                rng=rng,
                make_provider=make_provider or http_provider,
                toolsets=toolsets,
                functions=functions,
            )
        except BaseException:
            await store.close()
            raise
        try:
            await gate._load_limits()
            await gate._start_toolsets(old=None)
        except BaseException:
            await gate.close()
            raise
        return gate

    @property
    def settings(self) -> Settings:
        """The settings that hold now."""
        return self._setup.settings

    @property
    def toolsets(self) -> Sequence[Toolset]:
        """The toolsets that are open now."""
        return self._setup.catalog.opened

    @property
    def strangers(self) -> int:
        """How many callers were turned away because nobody knows them."""
        return self._callers.strangers

    @property
    def late(self) -> int:
        """How many attempts have ended and are not booked yet, as the store is down."""
        return len(self._parts.late)

    def road(self, passage: AnyPassage, /) -> AbstractAsyncContextManager[Reply]:
        """Open a call; closing the result ends it, settled and recorded."""
        return self._setup.roads[passage.call.kind](passage)

    def tool_road(self, passage: ToolPassage, /) -> AbstractAsyncContextManager[ToolReply]:
        """Open a call to a tool, as :meth:`road` does."""
        # The end of that road gives no other reply.
        return cast("AbstractAsyncContextManager[ToolReply]", self.road(passage))

    def authenticate(self, key: str | None, /) -> Caller:
        """Return who holds ``key``.

        Raises:
            Unauthenticated: No key, or one that is unknown, expired or revoked.
        """
        return self._callers.known(key, self._setup.agent_keys)

    def models(self, caller: Caller, /) -> Sequence[str]:
        """Return the names of models that a caller may ask for now."""
        given = self._rights("models", caller)
        return () if given is None else listed(self.settings, given)

    def tools(self, caller: Caller, /) -> Sequence[Tool]:
        """Return the tools that a caller may call now, by name."""
        given = self._rights("tools", caller)
        if given is None:
            return ()
        usable = (tool for tool in self._setup.catalog if allow(given, tool.name))
        return sorted(usable, key=lambda tool: tool.name)

    @property
    def every_tool(self) -> Mapping[str, Tool]:
        """All tools by name: the same mapping as long as no list of tools can have changed."""
        return self._setup.catalog.now

    def _rights(self, kind: Kind, caller: Caller) -> Sequence[Right] | None:
        """Return what a caller needs a name to be covered by; None of an agent that nobody knows."""
        if caller.agent not in self.settings.agents:
            return None
        task = None if caller.task_id is None else self.store.find_task(caller.task_id)
        if task is None:
            return rights(self.settings, kind, agent=caller.agent, task_type=None)
        tasks = Identify(settings=self.settings, store=self.store).narrowing(task)
        return rights(self.settings, kind, agent=task.agent, task_type=task.type, tasks=tasks)

    def servers(self, caller: Caller, /) -> Sequence[ServerState]:
        """Return how the MCP servers are whose tools a caller may call."""
        return [
            state
            for state in server_states(self._setup.catalog.opened)
            if self._may_use(caller, state.name)
        ]

    async def restart_server(self, caller: Caller, name: str, /) -> ServerState | None:
        """End an MCP server and start it anew; None where it has no tool that the caller may call."""
        if not self._may_use(caller, name):
            return None
        return await restart_server(self._setup.catalog.toolsets, name)

    def _may_use(self, caller: Caller, toolset: str) -> bool:
        """Tell whether a caller may call a tool of a toolset, one that has told none yet included."""
        given = self._rights("tools", caller)
        if given is None:
            return False
        names = (tool.name for tool in self._setup.catalog if tool.toolset == toolset)
        return any(allow(given, name) for name in (f"{toolset}.*", *names))

    async def create_task(
        self,
        caller: Caller,
        claims: Claims,
        /,
        *,
        budget: Money | None = None,
        timeout_seconds: float | None = None,
        models: Sequence[str] | None = None,
        tools: Sequence[str] | None = None,
    ) -> Task:
        """Write a task, or return the stored one of that id.

        What may only be lower than its type's, or narrower, is as for :func:`new_task`.

        Raises:
            Refused: The claims contradict the settings, or a stored task of that id.
        """
        task = new_task(
            self.settings,
            caller,
            claims,
            started_at=self.clock.now(),
            budget=budget,
            timeout_seconds=timeout_seconds,
            models=models,
            tools=tools,
        )
        return await self.store.create_task(task)

    async def create_task_key(self, task: Task, /) -> str:
        """Make a key that is good for one task only, until its deadline."""
        key = new_key("task")
        expires_at = (
            None if task.deadline_at is None else task.deadline_at + KEY_OUTLIVES_TASK_SECONDS
        )
        row = Key(
            id=new_id("key"),
            digest=digest(key),
            agent=task.agent,
            task_id=task.id,
            label=f"task {task.id}",
            created_at=self.clock.now(),
            expires_at=expires_at,
        )
        await self.store.create_key(row)
        return key

    async def end_task(self, task_id: str, /) -> None:
        """Mark a task as ended; a later call opens it again, with what it has spent."""
        await self.store.end_task(task_id, self.clock.now())

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[None]:
        """Look at budgets and accounts now and then as long as this is open, and raise alerts.

        What dead gates have left to be asked for is followed to its end meanwhile, and what nobody
        knows of tools is looked up.

        It is closed when all calls are settled, so that the last look sees what they cost.
        """
        watch = Watch(self.store, self.clock, self._plan)
        going = (
            watch,
            CreditWatch(self.store, self.clock, lambda: accounts_of(self.settings)),
            Following(self.store, self.clock, self._followers),
            CatalogWatch(self.clock, lambda: self._setup.catalog),
            self.look_ups,
        )
        beside = [asyncio.create_task(each.go_on()) for each in going]
        try:
            yield
        finally:
            for each in beside:
                each.cancel()
            await asyncio.wait(beside)
            await watch.end()

    @property
    def look_ups(self) -> LookUps:
        """Who finds out what tools have done where nobody knows."""
        return LookUps(self.store, self.clock, self.tool_road, self._find_tool)

    def _find_tool(self, name: str) -> Tool | None:
        return self._setup.catalog.find(name)

    def _followers(self) -> Mapping[str, Follower]:
        """Return the toolsets that can go on with what another gate has begun."""
        toolsets = self._setup.catalog.toolsets
        return {name: each for name, each in toolsets.items() if isinstance(each, Follower)}

    def _plan(self) -> Plan:
        return Plan(Calendar(self.settings.gate.zone), self.settings.alert_at)

    async def announce(self, url: str, /) -> None:
        """Tell other processes where this gate can be reached."""
        await self.store.set_url(url)

    async def reload(
        self, settings: Settings, /, *, toolsets: Sequence[Toolset] | None = None
    ) -> None:
        """Let new settings hold for every call from now on; calls under way end by the old.

        Args:
            settings: The new ones.
            toolsets: Where tools come from besides those that the settings name; None leaves those
                that the gate was opened with.

        Raises:
            Misconfigured: The new settings name another store; the old ones stay.
        """
        old = self._setup
        if settings.gate.store != old.settings.gate.store:
            msg = "a reload cannot change [gate] store; restart the gate to use another store"
            raise Misconfigured(msg)
        before = self._toolsets
        self._toolsets = before if toolsets is None else toolsets
        try:
            self._setup = self._set_up(settings, old=old)
        except Misconfigured:
            self._toolsets = before
            raise
        try:
            await self._load_limits()
        finally:
            # Whether or not the store takes the limits, calls go by the new roads from here on.
            await self._follow(old)

    async def _follow(self, old: Setup) -> None:
        """Begin what is new after other settings, and end what is no longer named."""
        await self._start_toolsets(old)
        kept = {*map(id, self._setup.providers.values()), *map(id, self._setup.catalog.opened)}
        for toolset in old.catalog.opened:
            if id(toolset) not in kept:
                leaving = asyncio.create_task(self._retire(toolset))
                self._leaving[leaving] = toolset
                leaving.add_done_callback(self._leaving.pop)
        gone = (each for each in old.providers.values() if id(each) not in kept)
        await asyncio.gather(*(each.close() for each in gone))

    async def _retire(self, toolset: Toolset) -> None:
        """Close a toolset that the settings no longer name, once no call is on its way to it."""
        await self._parts.flights.landed(id(toolset))
        await toolset.close()

    async def close(self) -> None:
        """Close providers and store; what was submitted is written first."""
        leaving = dict(self._leaving)
        late = [toolset for each, toolset in leaving.items() if each.cancel()]
        await asyncio.gather(*leaving, return_exceptions=True)
        ends = await asyncio.gather(
            *(toolset.close() for toolset in late),
            *(provider.close() for provider in self._setup.providers.values()),
            *(toolset.close() for toolset in self._setup.catalog.opened),
            return_exceptions=True,
        )
        # Whatever does not close well, what was submitted is written.
        await self._parts.late.close()
        await self.store.close()
        for error in ends:
            if isinstance(error, BaseException):
                raise error

    async def _start_toolsets(self, old: Setup | None) -> None:
        """Let the toolsets begin that were not there before; wait a little for what they have."""
        before: set[int] = set() if old is None else set(map(id, old.catalog.opened))
        new = [each for each in self._setup.catalog.opened if id(each) not in before]
        for toolset in new:
            toolset.start()
        asking = [asyncio.ensure_future(each.ready()) for each in new if isinstance(each, Remote)]
        if asking:
            _, late = await asyncio.wait(asking, timeout=TOOLS_PATIENCE_SECONDS)
            for each in late:
                each.cancel()

    async def _load_limits(self) -> None:
        """Let the limits of the settings hold in every process, unless a newer file's do."""
        settings = self.settings
        if settings.path is None:
            return
        limits = [
            Limit(scope=each.scope, name=each.name, value=each.value, waits=each.waits)
            for each in settings.limits
        ]
        # The later a file was written, the newer is what it says.
        if not await self.store.load_limits(limits, settings.path.stat().st_mtime_ns):
            log.warning("the limits of a newer settings file hold; those of this one do not")
        for balance in paid_in(settings, now=self.clock.now()):
            await self.store.note_balance(balance)

    def _set_up(self, settings: Settings, *, old: Setup | None) -> Setup:
        parts = self._parts
        secrets = Secrets(parts.environ, settings.path.parent if settings.path else Path.cwd())
        opened = self._providers(settings, old)
        models = ModelRoad(
            settings=settings,
            parts=parts,
            secrets=secrets,
            providers=opened,
            prices=prices_of(settings),
        )
        toolsets = Toolsets(
            settings=settings, secrets=secrets, parts=parts, functions=self._functions
        ).open({} if old is None else old.toolsets)
        named = (each for opened in toolsets.values() for each in opened.toolsets)
        pins = Pins(store=parts.store, clock=parts.clock, lock=lock_beside(settings))
        catalog = Catalog([*self._toolsets, *named], settings.tools, pins)
        tools = ToolRoad(settings=settings, parts=parts, catalog=catalog)
        return Setup(
            settings=settings,
            roads={
                "model": road_of(models, settings=settings, secrets=secrets, parts=parts),
                "tool": road_of(tools, settings=settings, secrets=secrets, parts=parts),
            },
            providers=opened,
            toolsets=toolsets,
            catalog=catalog,
            agent_keys=agent_keys(settings, secrets),
        )

    def _providers(self, settings: Settings, old: Setup | None) -> Mapping[str, Provider]:
        """Return a provider for each policy: the one that is open, where nothing changed."""
        kept: Mapping[str, ProviderPolicy] = {} if old is None else old.settings.providers
        return {
            name: old.providers[name]
            if old is not None and kept.get(name) == policy
            else self._make_provider(policy)
            for name, policy in settings.providers.items()
        }
