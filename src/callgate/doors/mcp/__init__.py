"""MCP: one address with exactly the tools of the agent whose key it is.

Both generations of the protocol are spoken: that of 2026-07-28, where every request stands for itself,
and the ones before it, which begin with ``initialize``. No request needs another one, so that any of
several gates behind one address can answer it.

Source: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http and
https://modelcontextprotocol.io/specification/2025-11-25/basic/transports. Why it is our own is in
``docs/decisions/0017-mcp-is-served-without-its-sdk.md``.
"""

from __future__ import annotations

from callgate.doors.mcp.endpoint import PATH as PATH
from callgate.doors.mcp.endpoint import McpEndpoint as McpEndpoint
