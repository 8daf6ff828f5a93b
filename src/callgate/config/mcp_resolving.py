"""From the table of an MCP server to its policy."""

from __future__ import annotations

from pathlib import Path

from callgate.config.mcp import McpTable, OAuthTable
from callgate.config.mcp_policies import McpPolicy, OAuthPolicy
from callgate.money import Money


def mcp_policy(name: str, table: McpTable, path: Path) -> McpPolicy:
    """Return what the settings say of a server.

    Args:
        name: What they call it.
        table: What stands there.
        path: The settings file.
    """
    return McpPolicy(
        name=name,
        command=table.command,
        args=tuple(table.args),
        env=table.env,
        cwd=None if table.cwd is None else path.parent / table.cwd,
        url=table.url,
        key=table.key,
        headers=table.headers,
        oauth=None if table.oauth is None else _oauth(table.oauth),
        ca_file=None if table.ca_file is None else path.parent / table.ca_file,
        pin=table.pin,
        trust=table.trust,
        effect=table.effect,
        is_idempotent=table.idempotent,
        cost=table.cost or Money(),
        timeout_seconds=table.timeout,
        start_timeout_seconds=table.start_timeout,
        max_result_bytes=table.max_result_bytes,
    )


def _oauth(table: OAuthTable) -> OAuthPolicy:
    return OAuthPolicy(
        grant=table.grant,
        client_id=table.client_id,
        client_secret=table.client_secret,
        issuer=table.issuer,
        scope=table.scope,
    )
