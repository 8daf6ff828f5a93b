"""The file under a store: private, on a local disk, and still where it was opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from callgate.errors import Misconfigured
from callgate.store import schema
from callgate.store.file import PARTS, OpenedFile, create_file, filesystem_of


def test_a_missing_file_is_made_with_its_folders_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "callgate" / "callgate.db"
    create_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "callgate.db"
    path.write_bytes(b"mine")
    path.chmod(0o640)
    create_file(path)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"mine", 0o640)


def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="cannot be made: Not a directory") as refused:
        create_file(tmp_path / "file" / "folder" / "callgate.db")
    assert refused.value.reason.rule == "gate.store"


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "fuse.rclone"])
def test_a_network_filesystem_is_refused_before_anything_is_made(tmp_path: Path, kind: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/x {tmp_path.resolve()} {kind} rw 0 0\n")
    with pytest.raises(Misconfigured, match=f"is on {kind}, where SQLite's locks do not hold"):
        create_file(tmp_path / "folder" / "callgate.db", mounts=mounts)
    assert not (tmp_path / "folder").exists()


def test_the_innermost_and_latest_mount_counts(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/a / ext4 rw 0 0\n"
        "server:/x /my\\040data nfs rw 0 0\n"
        "server:/x /srv nfs rw 0 0\n"
        "/dev/b /srv xfs rw 0 0\n"
    )
    kinds = [
        filesystem_of(Path(path), mounts=mounts)
        for path in ("/my data/callgate.db", "/srv/callgate.db", "/srvelse/callgate.db", "/")
    ]
    assert kinds == ["nfs", "xfs", "ext4", "ext4"]


def test_where_the_system_tells_no_mounts_nothing_is_refused(tmp_path: Path) -> None:
    create_file(tmp_path / "callgate.db", mounts=tmp_path / "none")
    assert filesystem_of(tmp_path, mounts=tmp_path / "none") is None


def test_a_symbolic_link_is_followed_to_the_disk_that_it_leads_to(tmp_path: Path) -> None:
    far = tmp_path / "far"
    far.mkdir()
    (tmp_path / "near").symlink_to(far)
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/a / ext4 rw 0 0\nserver:/x {far.resolve()} nfs rw 0 0\n")
    assert filesystem_of(tmp_path / "near" / "callgate.db", mounts=mounts) == "nfs"


@pytest.mark.parametrize("part", PARTS)
def test_an_opened_file_is_missed_with_each_of_its_parts(tmp_path: Path, part: str) -> None:
    path = tmp_path / "callgate.db"
    connection = schema.connect(path)
    schema.prepare(connection, path)
    opened = OpenedFile(path)
    assert opened.is_there()
    moved = Path(f"{path}{part}").rename(tmp_path / "elsewhere")
    assert not opened.is_there()
    Path(f"{path}{part}").touch()
    assert not opened.is_there()
    moved.rename(f"{path}{part}")
    assert opened.is_there()
    connection.close()
