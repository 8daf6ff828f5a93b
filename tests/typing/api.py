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
