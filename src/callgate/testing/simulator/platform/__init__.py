"""A platform of tools that are paid for in credits, in the words of AgentPatch and of AgentPMT."""

from __future__ import annotations
