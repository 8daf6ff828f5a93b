"""Functions as tools: what the agent is told of what they return and raise."""

from __future__ import annotations

import asyncio
import base64
import contextvars
import dataclasses
import datetime as dt
import logging
import sys
import threading
from typing import Any, cast

import pytest
from pydantic import BaseModel, field_validator

import callgate
from callgate import IdempotencyKey, ToolContext, ToolError, tool
from callgate.call import ToolResult
from callgate.config.tool_policies import ToolPolicy
from callgate.errors import BadRequest, Misconfigured, ToolBug, Transient
from callgate.money import Money
from callgate.tools.functions import Function, Functions
from callgate.tools.results import said
from tests.unit.tools.calling import CANARY, call, invocation, toolset_of

PNG = b"\x89PNG\r\n\x1a\n and more"


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@dataclasses.dataclass
class Page:
    url: str
    seen: dt.date


class Even(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def check(cls, n: int) -> int:
        if n % 2:
            msg = "must be even"
            raise ValueError(msg)
        return n


def giving(value: object) -> Functions:
    """A tool that returns what it is given."""

    def give() -> Any:
        """Give it."""
        return value

    return toolset_of(give)


def raising(error: BaseException) -> Functions:
    """A tool that raises."""

    def fail() -> None:
        """Fail."""
        raise error

    return toolset_of(fail)


def test_the_decorator_is_a_name_of_the_package_also_after_its_modules_are_imported() -> None:
    assert "callgate.tools.functions" in sys.modules
    assert callgate.tool is tool


def test_a_declared_function_is_still_the_function() -> None:
    @tool(effect="read", idempotent=True, cost="$0.01", timeout="20s", name="seek")
    def search(query: str) -> str:
        """Search."""
        return query.upper()

    declared = Function(search).tool
    assert search("x") == "X"
    assert (declared.name, declared.effect, declared.is_idempotent) == ("seek", "read", True)
    assert (declared.cost, declared.timeout_seconds) == (Money.dollars("0.01"), 20)
    assert declared.remote_name.endswith("search")


def test_what_nobody_declares_is_destructive() -> None:
    @tool
    def drop(table: str) -> None:
        """Drop a table."""

    declared = Function(drop).tool
    assert (declared.effect, declared.is_repeatable, declared.takes_key) == (
        "destructive",
        False,
        False,
    )


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"effect": "reed"}, "'reed' is none of read, write, destructive"),
        ({"cost": "5 EUR"}, "amount of US dollars"),
        ({"timeout": "ten"}, "length of time"),
    ],
)
def test_a_wrong_declaration_is_told_at_once(wrong: Any, why: str) -> None:
    with pytest.raises(Misconfigured, match=why):
        tool(**wrong)


def test_the_settings_have_the_last_word() -> None:
    def search(query: str) -> str:
        """Search."""
        return query

    policy = ToolPolicy(name="seek", effect="read", description="Look for pages.")
    named = Function(search, policy=policy).tool
    assert (named.name, named.effect, named.description) == ("seek", "read", "Look for pages.")


def test_a_function_that_does_not_say_what_it_is_for_is_refused() -> None:
    def search(query: str) -> str:
        return query

    with pytest.raises(Misconfigured, match="say in its docstring what it is for"):
        Function(search)


@pytest.mark.parametrize(
    ("value", "text", "structured"),
    [
        ("hello", "hello", None),
        (None, "", None),
        (3, "3", 3),
        ([1, "a"], '[1,"a"]', [1, "a"]),
        ({"day": dt.date(2026, 11, 25)}, '{"day":"2026-11-25"}', {"day": "2026-11-25"}),
        (Page("u", dt.date(2026, 1, 2)), '{"url":"u","seen":"2026-01-02"}', {"url": "u", "seen": "2026-01-02"}),
        (Even(n=2), '{"n":2}', {"n": 2}),
    ],
)  # fmt: skip
async def test_what_a_function_returns_is_text_and_data(
    value: object, text: str, structured: object
) -> None:
    result = await call(giving(value))
    assert (result.text, result.structured, result.is_error) == (text, structured, False)


@pytest.mark.parametrize("value", [object(), {"f": len}, CIRCLE, ToolResult(structured=object())])
async def test_what_json_cannot_hold_is_a_mistake_of_the_tool(value: object) -> None:
    with pytest.raises(ToolBug):
        await call(giving(value))


async def test_half_of_a_character_is_marked_and_the_rest_is_there() -> None:
    assert (await call(giving("\ud800 ok"))).text == "\ufffd ok"
    assert (await call(giving(["\ud800 ok"]))).structured == ["\ufffd ok"]
    own = ToolResult(content=({"type": "text", "text": "\ud800 ok"},))
    assert (await call(giving(own))).text == "\ufffd ok"


async def test_a_result_of_its_own_stays_as_it_is() -> None:
    result = ToolResult(content=({"type": "text", "text": "x"},), cost=Money.dollars("1"))
    assert await call(giving(result)) == result


async def test_bytes_of_a_picture_are_a_picture() -> None:
    (block,) = (await call(giving(PNG))).content
    assert (block["type"], block["mimeType"]) == ("image", "image/png")
    assert base64.b64decode(block["data"]) == PNG


async def test_a_result_that_is_too_large_is_told_and_not_given() -> None:
    result = await call(giving("x" * 64_001))
    assert result.is_error
    assert "64,001 bytes, more than the 64,000" in result.text
    assert result.structured["error"]["kind"] == "result_too_large"


async def test_an_error_that_is_too_large_is_not_given_either() -> None:
    result = await call(raising(ToolError("x" * 64_001)))
    assert (result.is_error, result.structured["error"]["kind"]) == (True, "result_too_large")


async def test_a_coroutine_runs_on_the_loop_and_a_function_beside_it() -> None:
    async def here() -> str:
        """Tell the thread."""
        await asyncio.sleep(0)
        return threading.current_thread().name

    def there() -> str:
        """Tell the thread."""
        return threading.current_thread().name

    own = threading.current_thread().name
    assert (await call(toolset_of(here))).text == own
    assert (await call(toolset_of(there))).text == "callgate-tool-there"


async def test_a_function_that_hangs_takes_no_thread_from_another() -> None:
    held = threading.Event()

    def hang() -> None:
        """Hang."""
        held.wait()

    hanging = [asyncio.create_task(call(toolset_of(hang))) for _ in range(50)]
    try:
        assert (await call(giving("well"))).text == "well"
    finally:
        held.set()
        await asyncio.gather(*hanging)


async def test_a_function_sees_the_context_variables_of_its_caller() -> None:
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("mine")

    def look() -> str:
        """Look."""
        return variable.get()

    assert (await call(toolset_of(look))).text == "mine"


async def test_a_tool_error_is_told_to_the_model() -> None:
    result = await call(raising(ToolError("the date must be in the future")))
    assert (result.is_error, result.text) == (True, "the date must be in the future")


async def test_an_error_with_half_of_a_character_is_told() -> None:
    assert (await call(raising(ToolError("\ud800 ok")))).text == "\ufffd ok"


@pytest.mark.parametrize(
    "error",
    [ValueError(CANARY), KeyError(CANARY), SystemExit(CANARY), TimeoutError(CANARY), asyncio.CancelledError(CANARY), StopIteration(CANARY)],
)  # fmt: skip
async def test_any_other_error_is_a_mistake_of_the_tool_and_tells_the_model_nothing(
    error: BaseException,
) -> None:
    with pytest.raises(ToolBug) as bug:
        await call(raising(error))
    assert bug.value.message == (
        "the tool fail failed by a mistake of its own, and may have done a part of its work"
    )
    assert CANARY not in repr(bug.value.reason)


async def test_the_log_has_what_a_tool_raised_without_its_credential(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refund(context: ToolContext) -> None:
        """Refund."""
        assert context.key is not None
        msg = f"no route with {context.key.reveal()} and sk-proj-0123456789abcdef"
        raise ValueError(msg)

    toolset = toolset_of(refund)
    attempt = invocation(toolset.tools()[0], {}, credential=CANARY)
    with caplog.at_level(logging.ERROR, logger="callgate"), pytest.raises(ToolBug):
        await toolset.call(attempt)
    assert "raised an error of its own in call_1" in caplog.text
    assert "ValueError: no route with ***" in caplog.text
    assert CANARY not in caplog.text
    assert "0123456789abcdef" not in caplog.text


async def test_no_text_of_a_tool_holds_its_credential() -> None:
    def echo(context: ToolContext, how: str) -> Any:
        """Tell."""
        assert context.key is not None
        key = context.key.reveal()
        if how == "error":
            raise ToolError(key)
        if how == "failed":
            raise Transient(key, billed=False)
        return {"data": {"key": key}, "list": [key]}

    toolset = toolset_of(echo)
    (echoing,) = toolset.tools()
    for how in ("error", "return"):
        result = await toolset.call(invocation(echoing, {"how": how}, credential=CANARY))
        assert "***" in repr(result)
        assert CANARY not in result.text + repr(result.structured)
    with pytest.raises(Transient, match=r"^\*\*\*$"):
        await toolset.call(invocation(echoing, {"how": "failed"}, credential=CANARY))


async def test_a_tool_may_say_of_what_kind_its_failure_is() -> None:
    with pytest.raises(Transient, match="come back later"):
        await call(raising(Transient("come back later", billed=False)))


async def test_a_function_is_told_of_its_call() -> None:
    def look(context: ToolContext, key: IdempotencyKey) -> dict[str, str]:
        """Look."""
        return {"call": context.call_id, "task": context.task_id, "key": key}

    toolset = toolset_of(look)
    assert toolset.tools()[0].takes_key
    assert (await call(toolset)).structured == {"call": "call_1", "task": "t1", "key": "key_1"}


async def test_a_function_may_report_how_far_it_is() -> None:
    heard: asyncio.Queue[tuple[float, float | None, str | None]] = asyncio.Queue()

    async def listen(done: float, total: float | None, note: str | None) -> None:
        await heard.put((done, total, note))

    def work(context: ToolContext) -> None:
        """Work."""
        context.report(1, 3, "read")

    toolset = toolset_of(work)
    await toolset.call(invocation(toolset.tools()[0], {}, on_progress=listen))
    assert await heard.get() == (1, 3, "read")


async def test_arguments_that_only_the_types_refuse_are_told_with_their_place() -> None:
    def take(even: Even) -> None:
        """Take an even number."""

    with pytest.raises(BadRequest, match=r"\$\.even\.n: Value error, must be even") as wrong:
        await call(toolset_of(take), even={"n": 3})
    assert not wrong.value.billed
    assert "pydantic" not in wrong.value.message


async def test_an_argument_that_a_function_does_not_name_is_an_error() -> None:
    def take(even: Even) -> None:
        """Take an even number."""

    with pytest.raises(BadRequest, match=r"\$\.more: Extra inputs are not permitted"):
        await call(toolset_of(take), even={"n": 2}, more=1)


async def test_a_result_that_a_function_did_not_promise_is_a_mistake_of_the_tool() -> None:
    def give() -> Page:
        """Give a page."""
        return cast("Page", "no page")

    with pytest.raises(ToolBug):
        await call(toolset_of(give))


async def test_a_caller_that_gives_up_is_not_taken_for_a_mistake() -> None:
    begun = asyncio.Event()

    async def wait() -> None:
        """Wait."""
        begun.set()
        await asyncio.Event().wait()

    calling = asyncio.create_task(call(toolset_of(wait)))
    await begun.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling


def test_a_key_that_a_function_would_not_take_is_told() -> None:
    def search(query: str) -> str:
        """Search."""
        return query

    policy = ToolPolicy(name="seek", key="env:KEY")
    with pytest.raises(Misconfigured, match="give it a parameter of the type ToolContext"):
        Function(search, policy=policy)


def test_text_is_said_as_it_is() -> None:
    assert said("x").text == "x"
