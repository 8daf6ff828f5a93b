"""``make conformance``: the API resource tests of OpenAI's own SDK, through the gate and without it.

They come with the source of the SDK, which is fetched into a folder outside of this tree; nothing of
them is copied. They check that each request of the SDK is taken and each reply has its type. What
passes without the gate must pass through it.

    python -m bench.conformance
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

from callgate.config import load
from callgate.config.policies import Settings
from callgate.doors.app import http_app
from callgate.doors.server import Server
from callgate.gate import Gate
from callgate.testing.simulator import Simulator

FILES: Final[Mapping[str, str]] = {
    "chat": "tests/api_resources/chat/test_completions.py",
    "responses": "tests/api_resources/test_responses.py",
    "embeddings": "tests/api_resources/test_embeddings.py",
}

KEY: Final = "conformance-key"

PUT_RIGHT: Final[Mapping[str, str]] = {
    '"My API Key"': repr(KEY),
    "responses.create()": 'responses.create(model="gpt-5.5")',
    "with_raw_response.create()": 'with_raw_response.create(model="gpt-5.5")',
    "with_streaming_response.create()": 'with_streaming_response.create(model="gpt-5.5")',
    "responses.create(\n            stream=True,\n        )":
        'responses.create(stream=True, model="gpt-5.5")',
    "response.create(\n            stream=True,\n        )":
        'response.create(stream=True, model="gpt-5.5")',
    'previous_response_id="previous_response_id",': "",
    'conversation="string",': "",
    "background=True,": "",
    "max_completion_tokens=0,": "max_completion_tokens=16,",
    "max_tokens=0,": "",
}  # fmt: skip
"""What is changed in what was fetched, as no provider takes it: the tests are made for a server that
answers anything. No key of a gate has a space in it."""

ONLY: Final = "create and not parse"
"""Stored completions and responses are kept by providers; the gate makes new ones."""

SETTINGS: Final = """\
[gate]
store = "sqlite:callgate.db"
[providers.openai]
api = "openai"
base_url = "{url}"
[agents.sdk]
key = "env:SDK_KEY"
models = ["*"]
"""

OUTCOME: Final = re.compile(r"^(PASSED|FAILED|ERROR|SKIPPED) (\S+::\S+)", re.MULTILINE)
"""How pytest's ``-rA`` tells of a test."""

Outcomes = Mapping[str, bool]
"""Whether each test passed, by its name."""


async def main() -> int:
    """Run the tests both ways; return 1 if one passes without the gate only."""
    with tempfile.TemporaryDirectory() as folder:
        source = await asyncio.to_thread(_fetch, Path(folder))
        lost = 0
        print(f"openai-python {version('openai')}, tests/api_resources ({ONLY})\n")
        print(f"{'':12}{'tests':>8}{'direct':>8}{'gate':>8}")
        for name, file in FILES.items():
            async with Simulator(seed=1) as simulator:
                direct = await _run(source, file, simulator.openai_url)
            async with _gate(Path(folder)) as url:
                through = await _run(source, file, url)
            missing = [test for test, passed in direct.items() if passed and not through.get(test)]
            print(f"{name:12}{len(direct):8}{sum(direct.values()):8}{sum(through.values()):8}")
            for test in missing:
                print(f"  passes without the gate only: {test}")
            lost += len(missing)
        return 1 if lost else 0


def _fetch(folder: Path) -> Path:
    """Return the SDK's source, of the version that is installed."""
    name = f"openai=={version('openai')}"
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:",
         "--no-build-isolation", "--dest", str(folder), name],
        check=True,
    )  # fmt: skip
    with tarfile.open(next(folder.glob("openai-*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    source = next(path for path in folder.glob("openai-*") if path.is_dir())
    for file in ("tests/conftest.py", *FILES.values()):
        text = (source / file).read_text()
        for theirs, ours in PUT_RIGHT.items():
            text = text.replace(theirs, ours)
        (source / file).write_text(text)
    return source


@asynccontextmanager
async def _gate(folder: Path) -> AsyncGenerator[str]:
    """Start a gate before a simulator; return where it answers."""
    async with Simulator(seed=1) as simulator:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            environ = {"SDK_KEY": KEY}
            settings = await asyncio.to_thread(_settings, Path(place), simulator.openai_url)
            gate = await Gate.open(settings, environ=environ)
            server = Server(http_app(gate), host="127.0.0.1", port=0, drain_seconds=5)
            await server.start()
            try:
                yield f"{server.url}/v1"
            finally:
                await server.stop()
                await gate.close()


def _settings(folder: Path, url: str) -> Settings:
    config = folder / "callgate.toml"
    config.write_text(SETTINGS.format(url=url))
    return load(config, environ={"SDK_KEY": KEY})


async def _run(source: Path, file: str, url: str) -> Outcomes:
    """Run a file of tests in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", "-q", "-rA", "--tb=no", "-p", "no:cacheprovider",
        "-p", "no:randomly", "-o", "addopts=", "-k", ONLY, file,
        cwd=source,
        env={**os.environ, "TEST_API_BASE_URL": url, "PYTHONPATH": str(source)},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    printed, _ = await process.communicate()
    return {test: how == "PASSED" for how, test in OUTCOME.findall(printed.decode())}


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
