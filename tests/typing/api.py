"""What a user's type checker sees of the public API; mypy and basedpyright read it, nobody runs it."""

from __future__ import annotations

from typing import assert_type

import callgate


async def the_python_door() -> None:
    async with callgate.open_gate("callgate.toml", agent="researcher") as gate:
        assert_type(gate, callgate.GateDoor)
        async with gate.task("research", user="u1", budget="$0.20", timeout_seconds=60) as task:
            assert_type(task, callgate.TaskDoor)
            assert_type(task.receipt, callgate.Receipt)
            reply = await task.model("smart", messages=[{"role": "user", "content": "hello"}])
            assert_type(reply, callgate.ModelReply)
            assert_type(reply.text, str)
            assert_type(reply.usage, callgate.Usage | None)


@callgate.tool
def search(query: str, limit: int = 10) -> list[str]:
    """Search the web."""
    return [query] * limit


@callgate.tool(effect="write", idempotent=True, cost="$0.01", timeout="20s", name="refund")
async def create_refund(
    charge: str, *, key: callgate.IdempotencyKey, context: callgate.ToolContext
) -> str:
    """Refund a paid charge."""
    context.report(1, 2)
    if not charge:
        msg = "name a charge"
        raise callgate.ToolError(msg)
    return key


async def tools_are_still_functions(context: callgate.ToolContext) -> None:
    assert_type(search("x"), list[str])
    assert_type(await create_refund("x", key=callgate.IdempotencyKey("k"), context=context), str)


def what_went_wrong(error: callgate.CallgateError) -> str | None:
    match error:
        case callgate.OverBudget():
            return error.reason.fix
        case callgate.Failed():
            assert_type(error.billed, bool)
            return None
        case _:
            return error.message


def money() -> None:
    assert_type(callgate.Money.dollars("0.50") + callgate.Money(1), callgate.Money)
