"""Who cannot do what a request asks for is passed over, and told if nobody is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from callgate.errors import BadRequest, Denied
from callgate.testing.fakes import Answer
from tests.unit.pipeline.road import open_road
from tests.unit.pipeline.test_choosing import asked, routed

WORDS: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
TOOLS: dict[str, Any] = {
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]
}
IMAGE: dict[str, Any] = {
    "messages": [
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "https://x/a.png"}}],
        }
    ]
}
SHAPE = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
SCHEMA: dict[str, Any] = {"response_format": SHAPE}
ASKS: dict[str, dict[str, Any]] = {"tools": TOOLS, "images": IMAGE, "schema": SCHEMA}


def body(**more: Any) -> bytes:
    return msgspec.json.encode({"model": "smart", "max_tokens": 9, **WORDS, **more})


def unable(path: Path, ability: str, pattern: str = "a*") -> dict[str, Any]:
    return routed(path, provider={"models_lack": (("z*", ("tools",)), (pattern, (ability,)))})


@pytest.mark.parametrize("ability", ASKS)
async def test_a_request_goes_where_it_can_be_done(tmp_path: Path, ability: str) -> None:
    changes = unable(tmp_path, ability)
    async with open_road(tmp_path, second=(Answer(),), budget=None, **changes) as road:
        await road.read(road.passage(body=body(**ASKS[ability])))
        assert asked(road) == ["second"]


@pytest.mark.parametrize("ability", ASKS)
async def test_what_asks_for_nothing_of_the_kind_goes_there_all_the_same(
    tmp_path: Path, ability: str
) -> None:
    async with open_road(tmp_path, Answer(), **unable(tmp_path, ability)) as road:
        await road.read(road.passage(body=body()))
        assert asked(road) == ["first"]


async def test_where_nobody_can_the_setting_that_says_so_is_told(tmp_path: Path) -> None:
    async with open_road(tmp_path, **unable(tmp_path, "tools")) as road:
        page = body(**TOOLS).replace(b"smart", b"plain")
        with pytest.raises(Denied, match=r"first:a has no tools, .* providers\.first\.models_lack"):
            await road.read(road.passage(body=page))
        assert road.last.code == "unable"


@pytest.mark.parametrize(
    ("format", "sent"),
    [
        ("anthropic_count_tokens", b'{"model":"other","messages":[]}'),
        ("openai_chat", b'{"model":"plain","messages":[{"role":4}]}'),
    ],
)
async def test_a_schema_that_nobody_can_look_for_is_its_providers_matter(
    tmp_path: Path, format: str, sent: bytes
) -> None:
    changes = unable(tmp_path, "schema")
    third = msgspec.structs.replace(
        changes["providers"]["third"], models_lack=(("*", ("schema",)),)
    )
    changes["providers"] = {**changes["providers"], "third": third}
    bad = BadRequest("400", billed=False)
    async with open_road(tmp_path, bad, third=(bad,), budget=None, **changes) as road:
        with pytest.raises(BadRequest):
            await road.read(road.passage(format=format, body=sent))
