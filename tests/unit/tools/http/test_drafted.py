"""Tools that were drafted from an OpenAPI document, called as they stand."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from copy import deepcopy
from typing import Any

import pytest

from callgate.call import Tool, ToolResult
from callgate.tools.http import HttpTools
from tests.unit.config.openapi.pets import PETS, settings
from tests.unit.tools.calling import CANARY, invocation
from tests.unit.tools.http.server import Server


class Shop:
    """The tools of the shop for pets, and its server."""

    def __init__(self, server: Server) -> None:
        page = deepcopy(PETS)
        page["servers"] = [{"url": f"{server.url}/v1"}]
        self.server = server
        self.tools = HttpTools(settings(page).tools.values())

    async def call(self, name: str, /, **arguments: Any) -> ToolResult:
        """Call one of them."""
        found: Mapping[str, Tool] = {tool.name: tool for tool in self.tools.tools()}
        return await self.tools.call(invocation(found[name], arguments, credential=CANARY))

    @property
    def asked(self) -> tuple[str, str, str]:
        """The newest request: its method, its target and its body."""
        last = self.server.last
        return last.method, last.target, last.body


@pytest.fixture
async def shop(server: Server) -> AsyncGenerator[Shop]:
    """The shop."""
    made = Shop(server)
    yield made
    await made.tools.close()


async def test_a_drafted_read_is_asked_with_its_key(shop: Shop) -> None:
    assert not (await shop.call("list_pets", limit=3, filter_tag=["a", "b"])).is_error
    assert shop.asked == ("GET", "/v1/pets?limit=3&filter%5Btag%5D=a&filter%5Btag%5D=b", "")
    assert shop.server.last.headers["X-Key"] == CANARY


async def test_a_drafted_write_is_sent_with_its_body(shop: Shop) -> None:
    await shop.call("create_pet", name="Rex", owner={"name": "Ann"})
    assert shop.asked == ("POST", "/v1/pets", '{"name":"Rex","owner":{"name":"Ann"}}')


async def test_a_drafted_body_is_sent_whole(shop: Shop) -> None:
    await shop.call("put_pets_pet_id", petId="p/1", body=[1])
    assert shop.asked == ("PUT", "/v1/pets/p%2F1", "[1]")


async def test_what_a_document_says_is_a_picture_arrives_as_one(shop: Shop) -> None:
    shop.server.answers(b"\x89PNG", type="image/png")
    (block,) = (await shop.call("get_pet", petId="1")).content
    assert block["type"] == "image"


async def test_a_drafted_removal_has_no_content(shop: Shop) -> None:
    shop.server.answers(b"", status=204)
    assert (await shop.call("delete_pets_pet_id", petId="1")).text == "(no content)"
