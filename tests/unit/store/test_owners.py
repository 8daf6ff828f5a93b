"""How a process is told from one that is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from callgate.store.owners import GateIdentity, find_place, is_alive, process_started

NOW = 1_767_225_600.0

on_linux = pytest.mark.skipif(find_place() is None, reason="pids tell nothing on this system")


def here(**changes: object) -> GateIdentity:
    return msgspec.structs.replace(GateIdentity.of_this_process(started_at=NOW), **changes)


@on_linux
def test_a_process_that_runs_is_alive_however_silent_it_is() -> None:
    gate = here(pid=os.getppid(), pid_started=process_started(os.getppid()))
    assert is_alive(gate, beat_at=NOW - 3_600, seen_from=gate.place, now=NOW)


@pytest.mark.parametrize(("seconds", "alive"), [(20, True), (21, False)])
def test_a_gate_of_this_process_lives_while_it_beats(seconds: int, *, alive: bool) -> None:
    gate = here()
    assert is_alive(gate, beat_at=NOW - seconds, seen_from=gate.place, now=NOW) == alive


@on_linux
def test_a_process_that_is_dead_and_not_yet_waited_for_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert process_started(process.pid) is None
        gate = here(pid=process.pid)
        assert not is_alive(gate, beat_at=NOW, seen_from=gate.place, now=NOW)


@pytest.mark.parametrize(("seconds", "alive"), [(0, True), (20, True), (21, False), (-21, False)])
def test_a_process_that_cannot_be_seen_lives_while_it_beats(seconds: int, *, alive: bool) -> None:
    gate = here(place="another machine")
    assert is_alive(gate, beat_at=NOW - seconds, seen_from=find_place(), now=NOW) == alive


@pytest.mark.parametrize("seconds", [0, 21])
def test_where_no_place_is_known_only_the_heartbeat_counts(seconds: int) -> None:
    gate = here(place=None)
    assert is_alive(gate, beat_at=NOW - seconds, seen_from=None, now=NOW) == (seconds == 0)


def test_a_system_without_proc_has_no_place_and_no_start(tmp_path: Path) -> None:
    assert find_place(tmp_path) is None
    assert process_started(os.getpid(), proc=tmp_path) is None


def test_a_name_with_brackets_and_spaces_does_not_shift_the_fields(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    fields = " ".join(["S", *map(str, range(1, 50))])
    (tmp_path / "7" / "stat").write_text(f"7 (a) b) c) {fields}")
    assert process_started(7, proc=tmp_path) == "19"
