"""Tools of MCP servers: the gate is their client, over a pipe or over HTTP.

``toolset`` is what the gate holds, one for each server of the settings; ``supervisor`` keeps one
connection to it alive, ``connection`` speaks over it, ``stdio`` and ``http`` carry what is said.
The SDK of MCP is an extra, and is imported only where a server is configured.
"""
