"""AWS's credentials: its own order, a profile, and what is said where there are none."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from callgate.errors import Misconfigured, Transient
from callgate.secrets.aws import AwsCredentials

HELPER = """\
import json, pathlib
count = pathlib.Path({counter!r})
n = len(count.read_text()) if count.exists() else 0
count.write_text("x" * (n + 1))
print(json.dumps({{
    "Version": 1, "AccessKeyId": f"AKID{{n}}", "SecretAccessKey": "s", "SessionToken": "t",
    "Expiration": {expires!r},
}}))
"""


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Give AWS's own chain an empty home, and return what writes its file."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def to_file(text: str) -> None:
        (tmp_path / "config").write_text(text)

    return to_file


def helper(folder: Path, *, expires: str) -> str:
    """Return a profile whose credentials a program prints, another key each time."""
    program = folder / "helper.py"
    program.write_text(HELPER.format(counter=str(folder / "count"), expires=expires))
    return f"[profile prod]\ncredential_process = {sys.executable} {program}\n"


async def test_a_profile_has_its_own_credentials(write: Callable[[str], None]) -> None:
    write(
        "[profile prod]\naws_access_key_id = AKIDPROD\naws_secret_access_key = s\n"
        "[default]\naws_access_key_id = AKIDOTHER\naws_secret_access_key = s\n"
    )
    assert (await AwsCredentials("prod").current()).access_key == "AKIDPROD"
    assert (await AwsCredentials(None).current()).access_key == "AKIDOTHER"


async def test_credentials_that_hold_are_asked_for_once(
    write: Callable[[str], None], tmp_path: Path
) -> None:
    write(helper(tmp_path, expires="2099-01-01T00:00:00Z"))
    credentials = AwsCredentials("prod")
    held = [(await credentials.current()).access_key for _ in range(3)]
    assert held == ["AKID0"] * 3


async def test_credentials_that_run_out_are_asked_for_again(
    write: Callable[[str], None], tmp_path: Path
) -> None:
    write(helper(tmp_path, expires="2099-01-01T00:00:00Z"))
    credentials = AwsCredentials("prod")
    await credentials.current()
    found: Any = vars(credentials)["_found"]
    found._expiry_time = found._expiry_time.replace(year=2001)
    assert (await credentials.current()).access_key == "AKID1"


@pytest.mark.parametrize("profile", [None, "nosuch"])
async def test_where_there_are_none_nothing_was_sent_and_a_command_tells_more(
    write: Callable[[str], None], profile: str | None
) -> None:
    write("")
    with pytest.raises(Transient, match="run: aws sts get-caller-identity") as caught:
        await AwsCredentials(profile).current()
    assert (caught.value.billed, caught.value.reason.code) == (False, "no_credentials")


async def test_a_program_that_prints_no_credentials_is_told(
    write: Callable[[str], None], tmp_path: Path
) -> None:
    program = tmp_path / "broken.py"
    program.write_text(f"print({json.dumps({'Version': 9})!r})")
    write(f"[profile prod]\ncredential_process = {sys.executable} {program}\n")
    with pytest.raises(Transient, match="the AWS profile prod"):
        await AwsCredentials("prod").current()


def test_without_botocore_the_line_that_installs_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "botocore", None)
    with pytest.raises(Misconfigured, match=r"pip install 'callgate\[bedrock\]'"):
        AwsCredentials(None)
