"""Conversations of four turns that a provider of another family serves, in whole or in part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.doors.conversations import FAILED, FOUND, THOUGHT
from tests.doors.gatehouse import Gatehouse
from tests.doors.golden import EVERY, FOLDER, SCENES, Scene, open_scene, play, shown

# What openai-python says where a message that it has parsed is sent back.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")

STREAMING: Final = frozenset({"stream", "stream_options"})
each_scene = pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])


def written(scene: Scene) -> str:
    """Return what is written down of a scene."""
    return (FOLDER / f"{scene.name}.json").read_text()


def assert_all_went_well(house: Gatehouse) -> None:
    """Every call was answered, and is booked at what the provider charges."""
    assert [row.state for row in house.rows] == ["ok"] * len(EVERY)
    assert house.spent_nano_usd == house.simulator.bill().total_nano_usd > 0


@each_scene
async def test_each_turn_asks_what_is_written_down(tmp_path: Path, scene: Scene) -> None:
    async with open_scene(scene, tmp_path) as house:
        turns = await play(scene, house, streams=True)
        assert shown(turns) == written(scene)
        assert_all_went_well(house)


def served(scene: Scene, turns: list[dict[str, Any]]) -> str:
    """Return what was asked of the stand-in, without what only a stream has."""
    asked = [turns[n]["asked"] for n in scene.out]
    return shown([{key: body[key] for key in body if key not in STREAMING} for body in asked])


@each_scene
async def test_plain_turns_ask_for_the_same(tmp_path: Path, scene: Scene) -> None:
    async with open_scene(scene, tmp_path) as house:
        turns = await play(scene, house, streams=False)
        assert served(scene, turns) == served(scene, json.loads(written(scene)))
        assert_all_went_well(house)


@each_scene
def test_no_turn_has_lost_a_picture_an_argument_or_a_result(scene: Scene) -> None:
    asked = [json.dumps(turn["asked"], ensure_ascii=False) for turn in json.loads(written(scene))]
    for turn in asked:
        assert "iVBORw0KGgo" in turn
    for turn in asked[1:]:
        for told in ("Hamburg ⚓", "2025", FOUND, FAILED):
            assert told in turn


def test_a_thought_goes_back_only_to_who_had_it() -> None:
    turns = json.loads(written(Scene("messages", "chat", (1,))))
    _, during, after, _ = [json.dumps(turn["asked"]) for turn in turns]
    assert THOUGHT not in during
    assert "signature" not in during
    assert THOUGHT in after
