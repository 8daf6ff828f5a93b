"""A reference leads to one credential, or to a sentence that says what to do and shows no key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from callgate.errors import Misconfigured
from callgate.redact import Secret
from callgate.secrets import Secrets

KEY = "sk-proj-abcdefgh12345678"


def resolve(
    reference: str, *, base: Path = Path("/"), environ: Mapping[str, str] | None = None
) -> str:
    return Secrets(environ or {}, base).resolve(reference).reveal()


def refusal(
    reference: str, *, base: Path = Path("/"), environ: Mapping[str, str] | None = None
) -> str:
    """What is told about a reference that leads to no credential; nothing of a key is in it."""
    with pytest.raises(Misconfigured) as refused:
        resolve(reference, base=base, environ=environ)
    told = [str(refused.value), repr(refused.value.__cause__)]
    assert [text for text in told if KEY in text] == []
    return refused.value.message


def key_file(
    folder: Path, content: bytes = KEY.encode(), *, mode: int = 0o600, name: str = "key"
) -> Path:
    path = folder / name
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_variable_of_the_environment_is_a_credential() -> None:
    assert resolve("env:OPENAI_API_KEY", environ={"OPENAI_API_KEY": KEY}) == KEY


def test_it_comes_as_a_secret() -> None:
    assert Secrets({"K": KEY}, Path("/")).resolve("env:K") == Secret(KEY)


def test_a_variable_that_is_not_set_is_named_with_what_to_do() -> None:
    told = refusal("env:OPENAI_API_KEY")
    assert "OPENAI_API_KEY is not set" in told
    assert "export OPENAI_API_KEY=…" in told


@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_an_empty_variable_is_no_credential(value: str) -> None:
    assert "env:K is empty; set it" in refusal("env:K", environ={"K": value})


def test_a_file_is_found_beside_the_settings(tmp_path: Path) -> None:
    key_file(tmp_path)
    assert resolve("file:key", base=tmp_path) == KEY
    assert resolve(f"file:{tmp_path / 'key'}", base=Path("/nowhere")) == KEY


@pytest.mark.parametrize(
    "content",
    [f"{KEY}\n", f"{KEY}\r\n", f"  {KEY}\t\n\n", f"\ufeff{KEY}\n"],
)
def test_the_space_around_a_key_is_not_part_of_it(tmp_path: Path, content: str) -> None:
    key_file(tmp_path, content.encode())
    assert resolve("file:key", base=tmp_path) == KEY
    assert resolve("env:K", environ={"K": content.lstrip("\ufeff")}) == KEY


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "file:key is empty"),
        (b" \n", "file:key is empty"),
        (KEY.encode() + b"\n" + KEY.encode(), "holds U+000A as its character 25 of 49"),
        (b"sk abc", "holds U+0020 as its character 3 of 6"),
        ("sk-ключ".encode(), "holds U+043A as its character 4 of 7"),
        (b"sk-\x00abc", "holds U+0000 as its character 4 of 7"),
        (f'"{KEY}"'.encode(), "is in quotes"),
        (f"'{KEY}'".encode(), "is in quotes"),
        (KEY.encode() + b"\xff", "is not text in UTF-8"),
        (b"x" * 70_000, "is too large for a key (70,000 bytes)"),
    ],
)
def test_what_no_header_can_carry_is_refused_before_it_is_sent(
    tmp_path: Path, content: bytes, why: str
) -> None:
    key_file(tmp_path, content)
    assert why in refusal("file:key", base=tmp_path)


def test_a_variable_that_is_not_text_is_refused() -> None:
    """A byte that is no UTF-8 comes from the environment as half a character."""
    assert "holds U+DCFF" in refusal("env:K", environ={"K": "sk-\udcff"})


def test_a_file_that_is_missing_is_told_with_its_whole_path(tmp_path: Path) -> None:
    told = refusal("file:key", base=tmp_path)
    assert str(tmp_path / "key") in told
    assert "No such file or directory" in told
    assert "write the key into it" in told


@pytest.mark.parametrize("name", ["", ".", "folder"])
def test_a_folder_is_no_key(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    assert "is no regular file" in refusal(f"file:{name}", base=tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is no regular file" in refusal("file:pipe", base=tmp_path)
    assert "is no regular file" in refusal("file:/dev/zero")


def test_a_path_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refusal("file:a\0b", base=tmp_path)
    assert "cannot be read" in refusal(f"file:{'x' * 5_000}", base=tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o444])
def test_a_file_of_our_own_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path, mode=mode)
    told = refusal("file:key", base=tmp_path)
    assert "can be read by others" in told
    assert f"run: chmod 600 {path}" in told
    path.chmod(0o600)
    assert resolve("file:key", base=tmp_path) == KEY


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    key_file(tmp_path, mode=mode)
    assert "can be written by others" in refusal("file:key", base=tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize(("mode", "refused"), [(0o444, False), (0o644, False), (0o666, True)])
def test_a_file_that_the_platform_owns_may_be_readable(
    tmp_path: Path, mode: int, *, refused: bool
) -> None:
    """Container platforms mount a secret as root's, for everybody in the container to read."""
    os.chown(key_file(tmp_path, mode=mode), 12_345, 12_345)
    if refused:
        assert "can be written by others" in refusal("file:key", base=tmp_path)
    else:
        assert resolve("file:key", base=tmp_path) == KEY


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o700])
def test_a_file_of_our_own_alone_is_taken(tmp_path: Path, mode: int) -> None:
    key_file(tmp_path, mode=mode)
    assert resolve("file:key", base=tmp_path) == KEY


def test_a_key_that_is_rotated_is_read_again(tmp_path: Path) -> None:
    secrets = Secrets({}, tmp_path)
    key_file(tmp_path, b"first-1")
    assert secrets.resolve("file:key").reveal() == "first-1"
    key_file(tmp_path, b"second2", name="new").rename(tmp_path / "key")
    assert secrets.resolve("file:key").reveal() == "second2"


def test_a_mount_whose_link_is_swapped_is_read_again(tmp_path: Path) -> None:
    """How Kubernetes changes a secret: a link to a folder is replaced by another."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        key_file(tmp_path / version, f"key-{version}".encode())
    (tmp_path / "data").symlink_to("one")
    secrets = Secrets({}, tmp_path)
    assert secrets.resolve("file:data/key").reveal() == "key-one"
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(tmp_path / "data")
    assert secrets.resolve("file:data/key").reveal() == "key-two"


def test_a_file_that_has_not_changed_is_not_opened_again(tmp_path: Path) -> None:
    secrets = Secrets({}, tmp_path)
    path = key_file(tmp_path)
    assert secrets.resolve("file:key").reveal() == KEY
    was = path.stat()
    path.write_bytes(b"x" * len(KEY))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert secrets.resolve("file:key").reveal() == KEY


def test_a_key_that_is_taken_away_is_no_longer_given(tmp_path: Path) -> None:
    secrets = Secrets({}, tmp_path)
    path = key_file(tmp_path)
    assert secrets.resolve("file:key").reveal() == KEY
    path.unlink()
    with pytest.raises(Misconfigured, match="No such file"):
        secrets.resolve("file:key")


@pytest.mark.parametrize("scheme", ["vault", "aws", "keyring"])
def test_a_place_that_is_not_supported_yet_is_named_with_those_that_are(scheme: str) -> None:
    told = refusal(f"{scheme}:openai")
    assert told == (
        f"{scheme}: is no place for secrets that this version knows; write env:NAME or file:PATH"
    )


@pytest.mark.parametrize("written", [KEY, f"{KEY}:x", "", "ENV:K", "openai key"])
def test_what_may_be_a_key_itself_is_not_shown(written: str) -> None:
    told = refusal(written, environ={"K": KEY})
    assert told.startswith("what stands there is no place for secrets that this version knows")
