"""What a stage returns: one reply in the middle, and an end however it goes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from callgate.call import Reply
from callgate.pipeline.stage import Held, staged

REPLY = Reply(status=200, headers=())


class Told(Exception):
    """What goes wrong outside of a stage."""


class Other(Exception):
    """What a stage makes of it."""


@staged
async def plain(seen: list[str]) -> AsyncGenerator[Reply]:
    try:
        yield REPLY
    except Told:
        seen.append("told")
        raise
    finally:
        seen.append("ended")


@staged
async def forgiving() -> AsyncGenerator[Reply]:
    try:
        yield REPLY
    except Told:
        return


@staged
async def changing() -> AsyncGenerator[Reply]:
    try:
        yield REPLY
    except Told as told:
        raise Other from told


async def test_a_stage_gives_its_reply_and_runs_to_its_end() -> None:
    seen: list[str] = []
    async with plain(seen) as reply:
        assert (reply, seen) == (REPLY, [])
    assert seen == ["ended"]


async def test_what_goes_wrong_outside_is_raised_in_the_stage_and_goes_on_outwards() -> None:
    seen: list[str] = []
    with pytest.raises(Told) as raised:
        async with plain(seen):
            raise Told
    assert seen == ["told", "ended"]
    assert Path(str(raised.traceback[-1].path)).name == "test_stage.py"


async def test_a_stage_may_end_an_error_and_may_raise_another() -> None:
    async with forgiving():
        raise Told
    with pytest.raises(Other) as raised:
        async with changing():
            raise Told
    assert isinstance(raised.value.__cause__, Told)


async def test_what_was_opened_by_hand_is_closed_with_what_went_wrong() -> None:
    seen: list[str] = []
    opening = plain(seen)
    assert await opening.__aenter__() is REPLY
    with pytest.raises(Told):
        async with Held(opening):
            raise Told
    assert seen == ["told", "ended"]
