"""The simulator: every provider on one port, their bill, and what they received."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from callgate.clock import Clock, SystemClock
from callgate.testing.simulator.aws_signature import check_signature
from callgate.testing.simulator.bill import Bill, Entry, make_bill
from callgate.testing.simulator.clock import CLOCKS
from callgate.testing.simulator.connection import Connection, Incoming, listen
from callgate.testing.simulator.control import Control
from callgate.testing.simulator.journal import Journal, ReceivedRequest
from callgate.testing.simulator.limits import RateLimits
from callgate.testing.simulator.memory import Memory
from callgate.testing.simulator.performance import JSON, Scene, is_instant, play_now, refuse
from callgate.testing.simulator.platform.books import Books, Credits
from callgate.testing.simulator.platform.counter import Counter as PlatformCounter
from callgate.testing.simulator.platform.counter import Visit, find_visit
from callgate.testing.simulator.platform.words import Wanted, Words
from callgate.testing.simulator.playbook import Playbook
from callgate.testing.simulator.prices import PriceList
from callgate.testing.simulator.request import Asked, Problem, decode, shown_key
from callgate.testing.simulator.routes import Route, check_method, find_route, key_of
from callgate.testing.simulator.script import PlatformTable, Script, read_script
from callgate.testing.simulator.stream import play
from callgate.testing.simulator.verdict import Verdict, judge

Source = Script | Mapping[str, object] | Path | str | None
"""A script, its tables, or the path of its file."""


class Simulator:
    """Simulated OpenAI, Anthropic and Gemini, deterministic by seed.

    Entered with ``async with``, it listens until it is left; ``start`` and ``stop`` do the same.

    Args:
        script: What it answers; None answers every request with made-up text.
        seed: Another seed gives other ids and other made-up text.
        host: Where it listens.
        port: The port; 0 takes a free one.
        clock: What delays wait on and what dates are reckoned from; None takes what the script
            names, and the machine's own where it names none.

    Raises:
        ScriptError: The script is wrong.
    """

    def __init__(
        self,
        script: Source = None,
        *,
        seed: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._seed = str(seed).encode()[:64]
        self._given_clock = clock
        self._control = Control(self)
        self._live: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._away: asyncio.Task[None] | None = None
        self._idle: asyncio.Event | None = None
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.play(script)

    async def __aenter__(self) -> Self:
        """Start to listen."""
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, and break off what still runs."""
        await self.stop()

    async def start(self) -> None:
        """Start to listen.

        Raises:
            OSError: The address is taken or not ours.
        """
        self._server = await listen(self, self._live, host=self._host, port=self._port)
        self._port = int(self._server.sockets[0].getsockname()[1])

    def hang_up(self, seconds: float) -> None:
        """End every connection, and refuse new ones for a while, as a server that went down.

        Args:
            seconds: How long, in real time: who wants to move a virtual clock must get through.
        """
        if self._server is None or self._away is not None:
            return
        self._server.close()
        for connection in tuple(self._live):
            connection.abort()
        self._away = asyncio.get_running_loop().create_task(self._come_back(seconds))

    async def _come_back(self, seconds: float) -> None:
        await SystemClock().sleep(seconds)
        self._away = None
        await self.start()

    async def stop(self) -> None:
        """Stop to listen, and break off what still runs; the bill stays readable."""
        if self._away is not None:
            self._away.cancel()
        if self._server is None:
            return
        self._server.close()
        answering = [task for connection in tuple(self._live) if (task := connection.abort())]
        tasks = {*answering, *self._tasks}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"http://{self._host}:{self._port}"

    @property
    def openai_url(self) -> str:
        """What ``OPENAI_BASE_URL`` wants; it ends in ``/v1``."""
        return f"{self.url}/v1"

    @property
    def anthropic_url(self) -> str:
        """What ``ANTHROPIC_BASE_URL`` wants; it has no path."""
        return self.url

    @property
    def gemini_url(self) -> str:
        """What ``GOOGLE_GEMINI_BASE_URL`` wants; it has no path."""
        return self.url

    @property
    def bedrock_url(self) -> str:
        """What ``AWS_ENDPOINT_URL_BEDROCK_RUNTIME`` wants; it has no path."""
        return self.url

    @property
    def azure_url(self) -> str:
        """What a client of Azure's v1 API wants; it ends in ``/openai/v1``."""
        return f"{self.url}/openai/v1"

    @property
    def clock(self) -> Clock:
        """What delays, rate limits and dates go by."""
        return self._clock

    @property
    def requests(self) -> tuple[ReceivedRequest, ...]:
        """The latest requests, the oldest first; calls to ``/sim`` are not among them."""
        return self._journal.read()

    @property
    def open_connections(self) -> int:
        """How many connections are open."""
        return len(self._live)

    def bill(self) -> Bill:
        """Return what is charged so far, running streams included."""
        return make_bill(self._entries, self._prices)

    def verdict(self) -> Verdict:
        """Return what the clients did that they should not have done."""
        return judge(self._entries)

    def play(self, script: Source) -> None:
        """Replace the script, and forget every request and the bill.

        Raises:
            ScriptError: The script is wrong; the old one stays.
        """
        self._script = read_script(script)
        self._prices = PriceList(self._script.prices)
        self._clock = self._given_clock or CLOCKS[self._script.clock]()
        self.reset()

    def reset(self) -> None:
        """Forget every request and the bill, and begin the script again."""
        self._playbook = Playbook(self._script)
        self._journal = Journal(self._script.keep_requests)
        self._memory = Memory()
        self._limits = RateLimits(self._script.limits, self._clock)
        self._entries: list[Entry] = []
        self._attempts: Counter[bytes] = Counter()
        self._platform = PlatformCounter(
            Books(self._script.platform or PlatformTable(), clock=self._clock, seed=self._seed),
            self._start,
        )

    def credits(self) -> Credits:
        """Return what the accounts of the platform have, and how it came to that."""
        return self._platform.books.credits

    def top_up(self, key: str, credits: int) -> None:
        """Add credits to an account of the platform."""
        self._platform.books.top_up(key, credits)

    async def wait_idle(self) -> None:
        """Wait until no request is being answered, so that the bill is final."""
        while self._running:
            self._idle = asyncio.Event()
            await self._idle.wait()

    # What the connections call.

    def answer(self, incoming: Incoming, connection: Connection) -> asyncio.Task[None] | None:
        """Answer a request; see :class:`callgate.testing.simulator.connection.Handler`."""
        if incoming.path.startswith("/sim/"):
            return self._control.answer(incoming, connection)
        if self._script.platform is not None and (found := find_visit(incoming)) is not None:
            return self._visit(incoming, connection, found)
        route = find_route(incoming)
        scene = self._scene(incoming, connection, route)
        self._journal.note(scene.entry.n, incoming)
        try:
            make = self._read(incoming, scene, route)
        except Problem as problem:
            refuse(scene, problem)
            return None
        scene.step = self._playbook.next_step(scene.asked)
        if make is not None and scene.step.fault is None:
            self._send_page(scene, make)
            return None
        if is_instant(scene):
            play_now(scene)
            return None
        return self._start(play(scene), scene.entry)

    def _visit(
        self, incoming: Incoming, connection: Connection, found: tuple[Words, Wanted]
    ) -> asyncio.Task[None] | None:
        """Answer a request to the platform."""
        words, wanted = found
        key = key_of(incoming)
        digest = self._digest(incoming, key)
        self._attempts[digest] += 1
        entry = self._new_entry(words.api, incoming, key=key, digest=digest)
        entry.credit_nano_usd = words.credit_nano_usd
        self._journal.note(entry.n, incoming)
        visit = Visit(
            words=words,
            wanted=wanted,
            incoming=incoming,
            connection=connection,
            entry=entry,
            clock=self._clock,
        )
        return self._platform.answer(visit, key)

    def _start(self, playing: Coroutine[None, None, None], entry: Entry) -> asyncio.Task[None]:
        """Run an answer in a task; it counts from now, also if it is cancelled before it runs."""
        self._running += 1
        task = asyncio.get_running_loop().create_task(playing)
        self._tasks.add(task)

        def end(_: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            entry.finish("cut")
            self._running -= 1
            if not self._running and self._idle is not None:
                self._idle.set()

        task.add_done_callback(end)
        return task

    def _scene(self, incoming: Incoming, connection: Connection, route: Route) -> Scene:
        format = route.format
        asked = Asked(
            api=format.api,
            format=format.name,
            endpoint=route.endpoint,
            key=key_of(incoming),
            stream=route.streams,
            query=incoming.query,
            memory=self._memory,
            seed=self._seed,
        )
        asked.digest = self._digest(incoming, asked.key)
        self._attempts[asked.digest] += 1
        asked.attempt = self._attempts[asked.digest]
        entry = self._new_entry(format.api, incoming, key=asked.key, digest=asked.digest)
        return Scene(
            asked=asked,
            step=UNREAD,
            format=format,
            connection=connection,
            entry=entry,
            clock=self._clock,
            hang_up=self.hang_up,
        )

    def _new_entry(self, api: str, incoming: Incoming, *, key: str | None, digest: bytes) -> Entry:
        entry = Entry(len(self._entries) + 1, api, path=incoming.path)
        entry.key = shown_key(key)
        entry.digest = digest
        entry.arrived_at = self._clock.monotonic()
        entry.on = datetime.fromtimestamp(self._clock.now(), UTC).date()
        self._entries.append(entry)
        return entry

    def _digest(self, incoming: Incoming, key: str | None) -> bytes:
        digest = hashlib.blake2b(digest_size=16, key=self._seed)
        digest.update(f"{incoming.path}\0{key}\0".encode())
        digest.update(incoming.body)
        return digest.digest()

    def _read(self, incoming: Incoming, scene: Scene, route: Route) -> Callable[[], bytes] | None:
        """Read a request; return what makes the body of a page that no model generates.

        Raises:
            Problem: The provider would refuse the request.
        """
        asked = scene.asked
        if self._script.keys is not None and asked.key not in self._script.keys:
            raise scene.format.wrong_key(asked)
        if scene.format.api == "bedrock" and self._script.aws_keys is not None:
            check_signature(incoming, self._script.aws_keys)
        if incoming.too_large:
            raise Problem(413)
        check_method(route, incoming)
        if route.endpoint == "models":
            return self._model_page(scene, route.name)
        if route.endpoint == "retrieve":
            return self._kept_page(scene, route)
        asked.model = route.name
        self._read_body(incoming, scene)
        scene.entry.model = asked.model
        scene.entry.stream = asked.stream
        if self._script.models is not None and asked.model not in self._script.models:
            raise Problem(404)
        self._limit(scene)
        return (lambda: scene.format.count(asked)) if asked.endpoint == "count_tokens" else None

    def _read_body(self, incoming: Incoming, scene: Scene) -> None:
        try:
            scene.asked.body = decode(incoming.body)
            scene.format.read(scene.asked.body, scene.asked, strict=self._script.strict)
        except RecursionError:
            raise Problem(400, "The request body is nested too deeply.") from None

    def _limit(self, scene: Scene) -> None:
        """Take a request out of its bucket, where the script has one.

        Raises:
            Problem: There is not enough left.
        """
        grant = self._limits.take(scene.asked)
        if grant is None:
            return
        scene.rates = scene.format.rate_headers(grant.rates)
        if grant.problem is not None:
            raise grant.problem
        scene.settle = grant.settle

    def _model_page(self, scene: Scene, name: str) -> Callable[[], bytes]:
        known = self._prices.models(scene.asked.api)
        if self._script.models is not None:
            known = [model for model in known if model in self._script.models]
        if not name:
            return lambda: scene.format.model_list(known)
        scene.asked.model = name
        if name not in known:
            raise Problem(404)
        return lambda: scene.format.model(name)

    def _kept_page(self, scene: Scene, route: Route) -> Callable[[], bytes]:
        keep = scene.format.forget if route.method == "DELETE" else scene.format.retrieve
        body = keep(scene.asked, route.name)
        return lambda: body

    def _send_page(self, scene: Scene, make: Callable[[], bytes]) -> None:
        scene.entry.status = 200
        scene.entry.finish("complete")
        scene.connection.send(200, [JSON, *scene.headers], make())


UNREAD: Final = Playbook(Script()).next_step(Asked(api="openai"))
"""The empty step, until the request is read."""


async def serve(
    host: str,
    port: int,
    script: Source = None,
    seed: int = 0,
    *,
    clock: Clock | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Run a simulator until this coroutine is cancelled.

    Args:
        host: Where it listens.
        port: The port; 0 takes a free one.
        script: What it answers; see :class:`Simulator`.
        seed: What its ids and made-up text follow from.
        clock: What time goes by; see :class:`Simulator`.
        on_ready: Called once it listens, with its URL; see :attr:`Simulator.url`.

    Raises:
        ScriptError: The script is wrong.
        OSError: The address is taken or not ours.
    """
    async with Simulator(script, seed=seed, host=host, port=port, clock=clock) as simulator:
        if on_ready is not None:
            on_ready(simulator.url)
        await asyncio.get_running_loop().create_future()
