"""Whatever bytes come, there is an answer or a typed error: nothing crashes, hangs or is cut short."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.fuzz.fragments import feed

SHARES: Final = {
    "split": 50_000,
    "relay": 200_000,
    "translate": 250_000,
    "reply": 20_000,
    "request": 20_000,
    "refuse": 20_000,
}
"""Fragments for each check: 500,000 events of streams, and bodies besides."""

SOAKED: Final = 20
"""How many times that a soak feeds."""

GUIDED_RUNS: Final = 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize("check", SHARES)
def test_half_a_million_spoiled_fragments_crash_nothing(check: str) -> None:
    assert feed(check, 1, SHARES[check]) >= SHARES[check]


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("check", SHARES)
def test_ten_million_spoiled_fragments_crash_nothing(check: str) -> None:
    fragments = SHARES[check] * SOAKED
    assert feed(check, random.SystemRandom().randrange(2**32), fragments) >= fragments


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_what_leads_to_new_branches_crashes_nothing(
    tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("atheris", reason="atheris has no wheel for this Python or platform")
    command = [sys.executable, "-m", "tests.fuzz.guided", str(tmp_path)]
    options = [f"-atheris_runs={GUIDED_RUNS}", "-timeout=10", "-max_len=8192"]
    # What crashed it is kept beside what it has found, and not in the tree.
    options.append(f"-artifact_prefix={tmp_path}/")
    done = subprocess.run(
        [*command, *options], cwd=repository, check=False, capture_output=True, text=True
    )
    with capsys.disabled():
        sys.stdout.write(f"\n{done.stdout}")
    assert done.returncode == 0, done.stderr[-4000:]
