"""What is asked in every turn of a conversation that a provider of another family serves.

``python -m tests.doors.golden`` writes the files again; read their difference before you commit it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

from callgate.testing.simulator import ReceivedRequest
from tests.doors.conversations import FAMILIES, TURNS, Family, Heard
from tests.doors.gatehouse import ONLY, Gatehouse, open_gatehouse

FOLDER: Final = Path(__file__).parent / "golden"
EVERY: Final = (0, 1, 2, 3)
OUT: Final = {"fault": {"status": 500}}
DRAWN: Final = re.compile(
    r"\b(?P<kind>call|fc|msg|rs|toolu)_\w{20,}|(?<=\")(?!iVBOR)[\w+/-]{60,}=*(?=\")"
)
MODEL_IN_PATH: Final = re.compile(r"/models/([^:/]+):")


LOST: Final[Mapping[str, list[str]]] = {
    "chat": [],
    "messages": [],
    "responses": ["stop"],
    "gemini": ["place", "strict"],
}
"""What this conversation loses on its way into each format, and so must be allowed."""


class Scene(NamedTuple):
    """A conversation in one family, of which another serves some turns."""

    asks: str
    serves: str
    out: tuple[int, ...]
    """The turns in which the first candidate is out."""

    @property
    def name(self) -> str:
        """What its file is called."""
        turns = "" if self.out == EVERY else "-in-" + "-".join(str(n + 1) for n in self.out)
        return f"{self.asks}-to-{self.serves}{turns}"

    @property
    def script(self) -> Mapping[str, object]:
        """What the providers do; a result is known before the words that it follows."""
        rules: list[dict[str, object]] = []
        for n in (1, 0, 2, 3):
            match, answer = TURNS[n]
            if n in self.out:
                model = FAMILIES[self.asks].model
                rules.append({"match": {**match, "model": model}, "steps": [OUT]})
            rules.append({"match": match, "steps": [{"answer": answer}]})
        return {"strict": True, "rules": rules}

    @property
    def route(self) -> str:
        """The settings of its route: thoughts stay with who had them, where two take turns."""
        use = [f"{each.provider}:{each.model}" for each in (self._home, FAMILIES[self.serves])]
        allowed = [*LOST[self.serves], *([] if self.out == EVERY else ["thinking"])]
        return f"use = {json.dumps(use)}\nallow_loss = {json.dumps(allowed)}"

    @property
    def _home(self) -> Family:
        return FAMILIES[self.asks]

    def asked(self, requests: Sequence[ReceivedRequest]) -> list[Any]:
        """Return the body of every request that was answered, one for each turn."""
        left = iter(requests)
        bodies: list[Any] = []
        for n in EVERY:
            family = FAMILIES[self.serves] if n in self.out else self._home
            request = next(each for each in left if model_of(each) == family.model)
            bodies.append(json.loads(request.body))
        return bodies


SWITCHES: Final = (EVERY, (1,), (0, 2))
"""Out all the time; only once the tools have run; every other turn."""

SCENES: Final = [
    Scene(asks, serves, out)
    for asks in FAMILIES
    for serves in FAMILIES
    for out in SWITCHES
    if asks != serves
]


def model_of(request: ReceivedRequest) -> str:
    """Return the model that a request names, in its body or in its path."""
    in_path = MODEL_IN_PATH.search(request.path)
    return in_path[1] if in_path else str(request.json().get("model"))


def open_scene(scene: Scene, path: Path) -> AbstractAsyncContextManager[Gatehouse]:
    """Start a gate with the providers of a scene."""
    lines = 'api = "openai"\nbase_url = "URL/v1"\nkey = "env:OPENAI_API_KEY"\n'
    routes, more = {"voyage": scene.route}, dict.fromkeys(ONLY, lines)
    return open_gatehouse(path, scene.script, routes=routes, providers=more)


async def play(scene: Scene, house: Gatehouse, *, streams: bool) -> list[dict[str, Any]]:
    """Hold the conversation of a scene; return for each turn what was asked, and what was heard."""
    talk = FAMILIES[scene.asks].talk
    heard: list[Heard] = await asyncio.to_thread(
        lambda: list(talk(house.url, house.key, "voyage", streams=streams).turns())
    )
    await house.settled()
    asked = scene.asked(house.simulator.requests)
    return [{"asked": one, "heard": other} for one, other in zip(asked, heard, strict=True)]


def shown(turns: Sequence[Mapping[str, Any]]) -> str:
    """Return turns as a file holds them: ids and signatures, which are drawn, are numbered."""
    names: dict[str, str] = {}
    kinds: Counter[str] = Counter()

    def name(found: re.Match[str]) -> str:
        if found[0] not in names:
            kind = found["kind"] or "mark"
            kinds[kind] += 1
            names[found[0]] = f"{kind}_{kinds[kind]}"
        return names[found[0]]

    return DRAWN.sub(name, json.dumps(turns, indent=1, ensure_ascii=False)) + "\n"


async def write() -> None:
    """Write every file."""
    FOLDER.mkdir(exist_ok=True)
    for scene in SCENES:
        with TemporaryDirectory() as folder:
            async with open_scene(scene, Path(folder)) as house:
                turns = await play(scene, house, streams=True)
                (FOLDER / f"{scene.name}.json").write_text(shown(turns))


if __name__ == "__main__":
    asyncio.run(write())
