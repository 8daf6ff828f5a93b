"""Validate: hold the arguments of a call against the schema of its tool, before anything is spent."""

from __future__ import annotations

from itertools import islice
from typing import Final

import msgspec

from callgate.call import Tool
from callgate.errors import InvalidArguments, Misconfigured, Reason
from callgate.pipeline.schemas import Flaw, Schema
from callgate.pipeline.stage import ToolPassage

MOST_FLAWS: Final = 5
"""How many flaws one refusal tells: an agent puts right what it reads."""

LONGEST_FLAW: Final = 300
"""Characters of one: it repeats what was found, which may be long."""


class Validate(msgspec.Struct, frozen=True, kw_only=True):
    """Refuse arguments that a tool would not take."""

    known: dict[str, tuple[Tool, Schema]] = msgspec.field(default_factory=dict)
    """By name: the tools whose schema was read, as they were then."""

    def guard(self, passage: ToolPassage, /) -> None:
        """Look at the arguments of a call; where they are wrong, the agent is told all of it at once."""
        tool, arguments = passage.tool, passage.arguments
        assert tool is not None
        schema = self._schema(tool)
        if schema.allows(arguments):
            return
        flaws = list(islice(schema.flaws(arguments), MOST_FLAWS))
        told = "; ".join(f"{flaw.path}: {flaw.message[:LONGEST_FLAW]}" for flaw in flaws)
        fix = "correct the arguments as the tool's schema has them; nothing was done"
        msg = f"the arguments of {tool.name} are wrong: {told}; {fix}"
        raise InvalidArguments(
            msg,
            reason=Reason(
                code="invalid_arguments", rule=f"tools.{tool.name}", needed=_first(flaws), fix=fix
            ),
        )

    def _schema(self, tool: Tool) -> Schema:
        known = self.known.get(tool.name)
        if known is not None and known[0] is tool:
            return known[1]
        try:
            schema = Schema(tool.input_schema)
        except ValueError as error:
            msg = f"the schema of {tool.name} cannot be read, so no call of it can be checked: {error}"
            raise Misconfigured(msg) from error
        self.known[tool.name] = (tool, schema)
        return schema


def _first(flaws: list[Flaw]) -> str | None:
    return flaws[0].path if flaws else None
