"""From the table of a platform to its policy."""

from __future__ import annotations

from pathlib import Path

from callgate.config.platform_policies import PlatformPolicy
from callgate.config.platforms import PlatformTable


def platform_policy(name: str, table: PlatformTable, path: Path) -> PlatformPolicy:
    """Return what the settings say of a platform.

    Args:
        name: What they call it.
        table: What stands there.
        path: The settings file.
    """
    return PlatformPolicy(
        name=name,
        profile=table.profile,
        base_url=table.base_url,
        key=table.key,
        pin=table.pin,
        tools=tuple(table.tools),
        low_balance=table.low_balance,
        timeout_seconds=table.timeout,
        first_poll_seconds=table.first_poll,
        longest_poll_seconds=table.longest_poll,
        refresh_seconds=table.refresh,
        max_result_bytes=table.max_result,
        ca_file=None if table.ca_file is None else path.parent / table.ca_file,
        proxy=table.proxy,
        connect_timeout_seconds=table.connect_timeout,
        read_timeout_seconds=table.read_timeout,
    )
