"""The gate is killed at random moments under load: nothing it sent is unrecorded or unpaid.

``SEED=… make soak`` chooses the moments and the calls of an earlier run.
"""

from __future__ import annotations

import os
import random
import secrets
import sys
from pathlib import Path

import pytest

from tests.soak.accounts import compare_to_the_nano_dollar
from tests.soak.drill import Drill
from tests.soak.load import SCRIPT
from tests.soak.programs import Program

FEW, MANY = 5, 50


@pytest.mark.parametrize(
    "kills", [pytest.param(FEW, marks=pytest.mark.slow), pytest.param(MANY, marks=pytest.mark.soak)]
)
async def test_what_a_killed_gate_sent_is_recorded_and_its_money_is_spent_or_held(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kills: int
) -> None:
    seed = int(os.environ.get("SEED") or secrets.randbits(32))
    (tmp_path / "script.toml").write_text(SCRIPT)
    simulator = await Program.start(
        "sim", "script.toml", "--port", "0", folder=tmp_path, environ={}
    )
    drill = Drill(tmp_path, await simulator.url(), random.Random(seed))
    for number in range(1, kills + 1):
        await drill.kill_one()
        far, near = await drill.accounts()
        show(
            capsys,
            f"seed {seed}: kill {number}/{kills}, {far.requests.total()} requests received, "
            f"{near.attempts.total()} attempts recorded, {near.states['unknown']} given up for dead",
        )
    await drill.stop_one()
    far, near = await drill.accounts()
    exact = compare_to_the_nano_dollar(far, near)
    show(
        capsys,
        f"seed {seed}: {exact} attempts agree with the bill to the nano-dollar; "
        f"${far.total_nano / 1e9:.4f} billed, ${near.spent.total() / 1e9:.4f} spent; "
        f"holds recovered within {drill.slowest_recovery_seconds:.2f} s; calls: {drill.ended}",
    )
    assert near.held.total() == 0
    assert exact > kills
    expected = {"ok", "failed", "left", "unknown"} if kills == MANY else {"ok", "unknown"}
    assert expected <= set(near.states)
    await simulator.stop()


def show(capsys: pytest.CaptureFixture[str], line: str) -> None:
    """Tell how far it is, also where output is captured."""
    with capsys.disabled():
        sys.stdout.write(f"\n  {line}")
        sys.stdout.flush()
