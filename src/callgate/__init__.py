"""Production infrastructure for AI agents: every model call and tool call goes through one gate."""
