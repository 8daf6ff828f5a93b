"""``callgate tools import openapi``: a draft of settings from a document, as a process of its own."""

from __future__ import annotations

import json
import tomllib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from callgate.config.loading import read_settings
from tests.cli.shell import Shell
from tests.unit.config.openapi.pets import PETS

pytestmark = pytest.mark.slow

IMPORT = ("tools", "import", "openapi")

YAML = """
openapi: 3.1.0
info: {title: Pets, version: 2026-11-25}
servers: [{url: https://pets.example}]
paths:
  /pets:
    get: {operationId: listPets, summary: List pets., responses: {200: {content: {}}}}
"""


async def test_a_draft_is_written_beside_and_loads(shell: Shell) -> None:
    shell.write("pets.json", json.dumps(PETS))
    done = await shell.run(
        *IMPORT, "pets.json", "--only", "list*", "--only", "GET *", "--out", "pets.toml"
    )
    assert (done.status, done.out) == (0, "")
    assert "wrote 2 tools to pets.toml" in done.err
    path = shell.folder / "pets.toml"
    settings = read_settings(path.read_text(encoding="utf-8"), path)
    assert list(settings.tools) == ["list_pets", "get_pet"]


async def test_a_file_that_is_there_is_not_overwritten(shell: Shell) -> None:
    shell.write("pets.json", json.dumps(PETS))
    path = shell.write("pets.toml", "mine")
    done = await shell.run(*IMPORT, "pets.json", "--out", "pets.toml")
    assert (done.status, path.read_text(encoding="utf-8")) == (2, "mine")
    assert "exists already" in done.err


async def test_a_document_in_yaml_is_read_too(shell: Shell) -> None:
    shell.write("pets.yaml", YAML)
    done = await shell.run(*IMPORT, "pets.yaml")
    assert tomllib.loads(done.out)["tools"]["list_pets"]["description"] == "List pets."
    assert "Drafted from Pets 2026-11-25." in done.out


async def test_without_a_parser_of_yaml_the_remedy_is_told(shell: Shell) -> None:
    shell.write("pets.yaml", YAML)
    shell.write("yaml.py", "raise ImportError")
    done = await shell.run(*IMPORT, "pets.yaml", environ={"PYTHONPATH": str(shell.folder)})
    assert done.status == 2
    assert "pip install 'callgate[yaml]'" in " ".join(done.err.split())


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("none.json", None, "cannot be read"),
        ("old.json", '{"swagger": "2.0"}', "has version 2.0"),
        ("odd.yaml", "a: [", "neither JSON nor YAML"),
        ("text.json", "only text", "no version"),
        ("empty.json", '{"openapi": "3.0.0"}', "no tool can be made of empty.json"),
    ],
)
async def test_what_no_draft_can_be_made_of_is_told(
    shell: Shell, name: str, text: str | None, why: str
) -> None:
    if text is not None:
        shell.write(name, text)
    done = await shell.run(*IMPORT, name)
    assert (done.status, done.out) == (2, "")
    assert why in " ".join(done.err.split())
    assert "Traceback" not in done.err


@asynccontextmanager
async def publishing() -> AsyncGenerator[str]:
    """Publish the document, and an address that leads to it."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/moved":
            return web.Response(status=302, headers={"location": "/openapi.json"})
        return web.json_response(PETS)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def test_a_document_may_be_fetched(shell: Shell) -> None:
    async with publishing() as url:
        done = await shell.run(*IMPORT, f"{url}/openapi.json", "--only", "list_pets")
    assert list(tomllib.loads(done.out)["tools"]) == ["list_pets"]


async def test_an_address_that_leads_elsewhere_is_told_and_not_followed(shell: Shell) -> None:
    async with publishing() as url:
        done = await shell.run(*IMPORT, f"{url}/moved")
    assert "answered with 302, which leads to /openapi.json" in " ".join(done.err.split())


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://pets.example/openapi.json"])
async def test_an_address_that_cannot_be_asked_is_told(shell: Shell, url: str) -> None:
    done = await shell.run(*IMPORT, url)
    assert done.status == 2
    assert url in " ".join(done.err.split())
    assert "Traceback" not in done.err
