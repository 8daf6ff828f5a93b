"""A group of commands whose first word may be the name of a thing instead."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class NamedGroup(TyperGroup):
    """Takes a word that is none of its commands for what its command ``show`` shows."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that a word stands for, and the words after it."""
        if args and self.get_command(ctx, args[0]) is None:
            return "show", self.get_command(ctx, "show"), args
        return super().resolve_command(ctx, args)
