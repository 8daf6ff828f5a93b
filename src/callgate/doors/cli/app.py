"""The commands and their groups."""

from __future__ import annotations

import typer

from callgate.doors.cli import demo, keys, listings, reload, run, serve, sim, start

app = typer.Typer(
    name="callgate",
    help="Every model call and tool call of an agent goes through one gate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

for group in (start, serve, run, demo, sim, listings, reload):
    group.add_to(app)
app.add_typer(keys.app, name="keys")
app.add_typer(start.config_app, name="config")
