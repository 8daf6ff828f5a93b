"""The settings of gates that are killed, and what holds where nobody says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from callgate.keys import new_key

SETTINGS: Final = """\
[gate]
store = "{place}"
drain = "0.1s"

[providers.openai]
api = "openai"
base_url = "{url}/v1"
key = "env:OPENAI_API_KEY"

[providers.anthropic]
api = "anthropic"
base_url = "{url}"
key = "env:ANTHROPIC_API_KEY"

[models.smart]
use = ["openai:gpt-5.5"]

[models.careful]
use = ["anthropic:claude-sonnet-5"]

[agents.worker]
key = "env:WORKER_KEY"
models = ["smart", "careful"]

[tasks.default]
budget = "$1"
retries = 1

[tasks.small]
budget = "$0.02"
retries = 0

[limits]
budget_per_day = "${day}"
budget_per_month = "${month}"

[users]
budget_per_day = "${user}"
"""

NANO: Final = 1_000_000_000


class Caps(msgspec.Struct, frozen=True, kw_only=True):
    """Money in dollars, as the settings say it."""

    day: str
    month: str
    user: str

    def nano(self) -> Mapping[str, int]:
        """Return each cap in nano-dollars, by the beginning of scope and window."""
        return {
            f"{name}": round(float(dollars) * NANO)
            for name, dollars in {
                "gate|day": self.day,
                "gate|month": self.month,
                "user:|day": self.user,
            }.items()
        }


class Settings(msgspec.Struct, frozen=True):
    """A settings file, and the environment that it asks for."""

    key: str

    @classmethod
    def write(cls, folder: Path, *, place: str, far_url: str, caps: Caps) -> Settings:
        """Write the file."""
        text = SETTINGS.format(
            place=place, url=far_url, day=caps.day, month=caps.month, user=caps.user
        )
        (folder / "callgate.toml").write_text(text)
        return cls(new_key("agent"))

    @property
    def environ(self) -> Mapping[str, str]:
        return dict.fromkeys(["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "WORKER_KEY"], self.key)
