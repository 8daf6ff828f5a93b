"""Terms of tools: what the tool says that a call of it costs at the most, then what it did cost."""

from __future__ import annotations

import msgspec

from callgate.call import Tool, ToolReply
from callgate.errors import Failed, OverBudget, Reason, Refused, Unpriced
from callgate.money import FEMTO_PER_NANO, Money
from callgate.pipeline.planning import new_idempotency_key
from callgate.pipeline.stage import ToolPassage
from callgate.pipeline.terms import Ending, Known, Quote
from callgate.store import ActionEnd, Bill, Grant


class ToolTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Knows what calls to tools cost."""

    async def quote(self, passage: ToolPassage, /) -> Quote:
        """Return the most that a call of the tool costs."""
        assert passage.tool is not None
        cost = passage.tool.cost
        return Quote(bill=None if cost is None else _bill(cost))

    def stand(self, _passage: ToolPassage, _quote: Quote, /) -> bool:
        """Return that it is: a call goes by the tool as it was when it was permitted."""
        return True

    async def second(
        self, passage: ToolPassage, quote: Quote, refused: OverBudget | Unpriced, /
    ) -> Quote:
        """Refuse: a call of a tool costs what it costs."""
        if isinstance(refused, OverBudget):
            raise self.told(passage, quote, refused) from None
        raise _unpriced(passage, refused) from None

    def told(self, _passage: ToolPassage, _quote: Quote, refused: OverBudget, /) -> Refused:
        """Return the refusal as it is: nothing about a call of a tool could be made cheaper."""
        return refused

    def output_tokens(self, _passage: ToolPassage, _grant: Grant, /) -> None:
        """Return nothing: a tool takes no output limit."""

    def known(self, passage: ToolPassage, ending: Ending, /) -> Known:
        """Return what the tool says that a call cost, or else what one of its calls costs."""
        assert passage.tool is not None
        known = self._cost(passage, ending)
        if passage.action is None:
            return known
        return msgspec.structs.replace(known, action=_action_end(passage.tool, ending))

    def _cost(self, passage: ToolPassage, ending: Ending) -> Known:
        assert passage.tool is not None
        toolset, error = passage.tool.toolset, ending.error
        if isinstance(error, Failed) and error.cost is not None:
            return Known(cost=error.cost, price_version=f"reported by {toolset}")
        if ending.is_surely_unbilled:
            return Known(cost=Money())
        if ending.reply is None:
            # It may have happened, or a part of it: what was held is booked, as an estimate.
            return Known()
        reported = ending.reply.meter.reported
        if reported is not None:
            return Known(cost=reported, price_version=f"reported by {toolset}")
        return Known(cost=passage.tool.cost)


def _action_end(tool: Tool, ending: Ending) -> ActionEnd:
    """Return what became of an action, as far as the end of an attempt tells it."""
    reply = ending.reply
    if reply is None:
        return ActionEnd(state="not_done" if ending.is_surely_unbilled else "unknown")
    assert isinstance(reply, ToolReply)
    if not reply.result.is_error:
        return ActionEnd.of(reply.result)
    if tool.error_is_unknown:
        return ActionEnd(state="unknown")
    return ActionEnd(state="not_done", next_key=new_idempotency_key())


def _bill(cost: Money) -> Bill:
    return Bill(
        input_femto=cost.nano * FEMTO_PER_NANO,
        output_femto=0,
        output_tokens=0,
        least_output_tokens=0,
    )


def _unpriced(passage: ToolPassage, refused: Unpriced) -> Unpriced:
    tool = passage.tool
    assert tool is not None
    fix = f'set cost under [tools."{tool.name}"] in callgate.toml'
    msg = f"nobody says what a call of {tool.name} costs, so a budget could not hold it; {fix}"
    rule, scope = refused.reason.rule, refused.reason.scope
    return Unpriced(msg, reason=Reason(code="unpriced", rule=rule, scope=scope, fix=fix))
