"""``callgate run``: any program, unedited, behind the gate."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from callgate.config import environment
from callgate.doors.cli.amounts import duration, money
from callgate.doors.cli.child import child_environment, run_child
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.named_gate import work_at_named_gate
from callgate.doors.cli.own_gate import work_at_own_gate
from callgate.doors.cli.receipt import write_json, write_text
from callgate.doors.cli.running import Ended, Entry, Wanted
from callgate.doors.cli.screen import complain
from callgate.doors.cli.settings import ConfigOption
from callgate.errors import CallgateError, Misconfigured
from callgate.money import Money
from callgate.observe.receipt import Receipt

NO_GATE: Final = 125
"""Exit status when nothing was run, as ``env`` and ``timeout`` have it."""


class ReceiptForm(StrEnum):
    """How the receipt is written."""

    text = "text"
    json = "json"


class RunCommand(TyperCommand):
    """A command whose exit status is a program's, so that its own mistakes need another."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options; what cannot be read ends with the status of a run without a gate."""
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            error.exit_code = NO_GATE
            raise


TaskOption = Annotated[
    str | None, typer.Option(help="A task id of yours; goes on with what it has spent.")
]
BudgetOption = Annotated[
    Money | None,
    typer.Option(parser=money, metavar="USD", help="May only lower the task type's budget."),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(parser=duration, metavar="TIME", help="Such as 10m; may only lower the type's."),
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option(help="Only models of these names or globs; may only narrow the agent's."),
]
ToolsOption = Annotated[
    list[str] | None,
    typer.Option(help="Only tools of these names or globs; may only narrow the agent's."),
]
ReceiptOption = Annotated[ReceiptForm, typer.Option(help="How the receipt is written.")]
ReceiptFileOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Where it goes; standard error if left out."),
]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    # What follows the program's name is the program's.
    app.command(cls=RunCommand, context_settings={"allow_interspersed_args": False})(run)


def run(
    command: Annotated[list[str], typer.Argument(help="The program and its arguments.")],
    *,
    agent: Annotated[str | None, typer.Option(help="Whose permissions hold.")] = None,
    type: Annotated[str | None, typer.Option(help="The task type.")] = None,
    user: Annotated[str | None, typer.Option(help="The end user that it is for.")] = None,
    task: TaskOption = None,
    budget: BudgetOption = None,
    timeout: TimeoutOption = None,
    models: ModelsOption = None,
    tools: ToolsOption = None,
    receipt: ReceiptOption = ReceiptForm.text,
    receipt_file: ReceiptFileOption = None,
    config: ConfigOption = None,
) -> None:
    """Run a program behind the gate, and end with a receipt.

    callgate run --budget 0.50 -- python your_agent.py

    The exit status is the program's, 128 + N if signal N ended it, or 125 if nothing was run. With
    CALLGATE_URL set, the gate there is used, with the agent's key in CALLGATE_KEY.
    """
    wanted = Wanted(
        agent=agent,
        type=type,
        user=user,
        task_id=task,
        budget=budget,
        timeout_seconds=timeout,
        models=models,
        tools=tools,
        config=config,
    )
    try:
        _require_place(receipt_file)
        ended = run_loop(_run(command, wanted, environment()))
    except CallgateError as error:
        complain(error.message)
        raise typer.Exit(NO_GATE) from error
    if ended.receipt is not None:
        _write(ended.receipt, receipt, receipt_file)
    raise typer.Exit(ended.exit_status)


async def _run(command: list[str], wanted: Wanted, environ: Mapping[str, str]) -> Ended:
    async def work(entry: Entry) -> int:
        return await run_child(command, child_environment(environ, entry))

    url = environ.get("CALLGATE_URL")
    if url:
        return await work_at_named_gate(url, wanted, environ, work=work)
    return await work_at_own_gate(wanted, environ, work)


def _require_place(receipt_file: Path | None) -> None:
    """Refuse a file that cannot be written while nothing has been spent yet."""
    if receipt_file is None:
        return
    try:
        with receipt_file.open("ab"):
            pass
    except OSError as error:
        msg = f"the receipt cannot be written to {receipt_file}: {error.strerror}"
        raise Misconfigured(msg) from error


def _write(receipt: Receipt, form: ReceiptForm, path: Path | None) -> None:
    write = write_json if form is ReceiptForm.json else write_text
    try:
        write(receipt, path)
    except OSError as error:
        complain(f"the receipt cannot be written to {path}: {error.strerror}")
