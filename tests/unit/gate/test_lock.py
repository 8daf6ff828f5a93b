"""The lock file: the same bytes for the same tools, and nothing in it that is not what it says."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from callgate.errors import Misconfigured
from callgate.gate.lock import lock_of, read_lock, written

TOOLS = {"git": {"log": '{"name":"log"}', "add": '{"name":"add"}'}, "time": {}}


def file_of(path: Path, text: str) -> Path:
    file = path / "callgate.tools.lock"
    file.write_text(text)
    return file


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    lock = lock_of(TOOLS)
    assert read_lock(file_of(tmp_path, written(lock))) == lock
    (add, log) = lock.definitions("git")[::-1]
    assert (add.tool, add.text, log.tool) == ("add", '{"name":"add"}', "log")
    assert lock.definitions("none") == ()


def test_the_same_tools_give_the_same_bytes_in_any_order() -> None:
    again = {name: dict(reversed(tools.items())) for name, tools in reversed(TOOLS.items())}
    assert written(lock_of(again)) == written(lock_of(TOOLS))


def test_a_folder_may_have_none(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "callgate.tools.lock") is None


def test_a_definition_that_was_changed_by_hand_is_found(tmp_path: Path) -> None:
    text = written(lock_of(TOOLS)).replace('"name": "log"', '"name": "rm"')
    with pytest.raises(
        Misconfigured, match=r"the digest of git\.log is not that of its definition"
    ):
        read_lock(file_of(tmp_path, text))


def test_a_tool_that_was_taken_out_by_hand_is_found(tmp_path: Path) -> None:
    page = msgspec.json.decode(written(lock_of(TOOLS)))
    del page["toolsets"]["git"]["tools"]["log"]
    with pytest.raises(Misconfigured, match="the digest of git is not that of its tools"):
        read_lock(file_of(tmp_path, msgspec.json.encode(page).decode()))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"version": 1}', '{"version": 2, "toolsets": {}}', '{"version":1,"toolsets":{"a":1}}'],
)  # fmt: skip
def test_what_is_no_lock_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(
        Misconfigured, match=r"cannot be used: .*let callgate tools lock write it anew"
    ):
        read_lock(file_of(tmp_path, text))


def test_a_lock_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "callgate.tools.lock").mkdir()
    with pytest.raises(Misconfigured, match="cannot be used"):
        read_lock(tmp_path / "callgate.tools.lock")
