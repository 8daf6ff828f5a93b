"""``callgate route explain``: where a request would go, in which order, and why."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.markup import escape

from callgate.clock import SystemClock
from callgate.config import environment
from callgate.config.policies import Settings
from callgate.doors.cli.books import has_store, open_books
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import Column, dollars, print_json, print_table, tell
from callgate.doors.cli.settings import ConfigOption, JsonOption, settings_of
from callgate.errors import Misconfigured, Unknown
from callgate.gate import explaining
from callgate.pipeline.explaining import Asking, Explained, Stop
from callgate.pipeline.permission import look_up
from callgate.wire.formats import ADDRESSED, FORMATS

COLUMNS: Final = (
    Column("", right=True),
    Column("candidate"),
    Column("asked"),
    Column("cost at most", right=True, rank=2),
    Column("p50 first", right=True, rank=3),
    Column("good", right=True, rank=4),
    Column("keys", right=True, rank=5),
    Column("why"),
)

TYPICAL: Final = "What would you do?"
"""What is asked where no request is given."""

USUALLY_ASKING: Final[Mapping[str, object]] = {"messages": [{"role": "user", "content": TYPICAL}]}
ASKING: Final[Mapping[str, Mapping[str, object]]] = {
    "openai_responses": {"input": TYPICAL},
    "openai_embeddings": {"input": TYPICAL},
    "gemini_generate_content": {"contents": [{"role": "user", "parts": [{"text": TYPICAL}]}]},
}
"""How it is asked, by format, where that is not the usual way."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be explained."""

    model: str
    agent: str | None
    task_type: str | None
    request: Path | None
    format: str | None


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Where requests go.")
    # With a callback, one command alone is still a command.
    group.callback()(_route)
    group.command("explain")(explain)
    app.add_typer(group, name="route")


def _route() -> None:
    """Do nothing by itself."""


def explain(
    model: Annotated[str, typer.Argument(help="A model, as agents ask for it.")],
    *,
    agent: Annotated[
        str | None, typer.Option(help="Who asks; may be left out if there is one agent.")
    ] = None,
    type: Annotated[str | None, typer.Option(help="The type of the task.")] = None,
    request: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A request as an agent sends it, as JSON.")
    ] = None,
    format: Annotated[
        str | None, typer.Option(help=f"What it speaks: {', '.join(FORMATS)}.")
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show who would be asked for a model, in which order, and why; nothing is sent."""
    wanted = Wanted(model=model, agent=agent, task_type=type, request=request, format=format)
    explained = run_loop(_explain(wanted, config))
    if json:
        print_json(_page(explained))
        return
    print_table(COLUMNS, [_line(n, stop) for n, stop in enumerate(explained.stops, 1)])
    tell(f"callgate: {escape(explained.model)} is asked for by {explained.prefer}")


async def _explain(wanted: Wanted, config: Path | None) -> Explained:
    async with AsyncExitStack() as stack:
        settings, store = settings_of(config, environment()), None
        if has_store(settings):
            settings, store = await stack.enter_async_context(open_books(config))
        known = wanted.format or _format_of(settings, wanted.model)
        if known not in FORMATS:
            msg = f"there is no format {known!r}; there are: {', '.join(FORMATS)}"
            raise Unknown(msg)
        asking = Asking(
            agent=_agent(settings, wanted.agent),
            task_type=wanted.task_type,
            format=known,
            body=_body(wanted.model, wanted.request, known),
            model=wanted.model,
        )
        return await explaining(settings, store, asking, clock=SystemClock())


def _body(model: str, request: Path | None, format: str) -> bytes:
    """Return the request that is asked about, for the model that is asked for."""
    named = {} if format in ADDRESSED else {"model": model}
    if request is None:
        return msgspec.json.encode({**named, **ASKING.get(format, USUALLY_ASKING)})
    try:
        page = msgspec.json.decode(request.read_bytes(), type=dict[str, msgspec.Raw])
    except (OSError, msgspec.DecodeError) as error:
        msg = f"{request} holds no request: {error}"
        raise Misconfigured(msg) from error
    return msgspec.json.encode({**page, **named})


def _format_of(settings: Settings, model: str) -> str:
    """Return what the first candidate speaks: nothing has to be translated for it."""
    candidates = next(
        filter(None, (look_up(settings, model, api=format.api) for format in FORMATS.values())), ()
    )
    return (
        settings.providers[candidates[0].provider].takes[0] if candidates else next(iter(FORMATS))
    )


def _agent(settings: Settings, agent: str | None) -> str:
    if agent is None and len(settings.agents) == 1:
        return next(iter(settings.agents))
    if agent is not None and agent in settings.agents:
        return agent
    named = ", ".join(sorted(settings.agents)) or "none"
    msg = f"say which agent asks, by --agent; the settings name: {named}"
    raise Unknown(msg)


def _line(n: int, stop: Stop) -> tuple[str, ...]:
    known = stop.weighed.performance
    first = None if known is None else known.first_content_seconds
    return (
        str(n),
        stop.weighed.candidate.name,
        _asked(stop),
        "" if stop.weighed.cost is None else dollars(stop.weighed.cost.nano),
        "" if first is None else f"{first:.2f} s",
        "" if known is None else f"{known.attempts - known.failures} of {known.attempts}",
        str(stop.keys),
        _why(stop),
    )


def _asked(stop: Stop) -> str:
    if stop.refused is not None:
        return "no"
    if stop.blocks:
        return "not now"
    return "last" if stop.weighed.misfit is not None else "yes"


def _why(stop: Stop) -> str:
    blocked = [f"{block.subject}: {block.reason} ({block.kind})" for block in stop.blocks]
    told = [stop.refused, stop.weighed.misfit, *blocked, *stop.changes]
    return "; ".join(each for each in told if each)


def _page(explained: Explained) -> dict[str, object]:
    return {
        "model": explained.model,
        "prefer": explained.prefer,
        "candidates": [_stop_page(stop) for stop in explained.stops],
    }


def _stop_page(stop: Stop) -> dict[str, object]:
    known, cost = stop.weighed.performance, stop.weighed.cost
    return {
        "candidate": stop.weighed.candidate.name,
        "asked": _asked(stop),
        "refused": stop.refused,
        "misfit": stop.weighed.misfit,
        "blocks": [
            {"subject": each.subject, "kind": each.kind, "reason": each.reason}
            for each in stop.blocks
        ],
        "changes": list(stop.changes),
        "keys": stop.keys,
        "cost_at_most_nano_usd": None if cost is None else cost.nano,
        "attempts": 0 if known is None else known.attempts,
        "failures": 0 if known is None else known.failures,
        "first_content_seconds": None if known is None else known.first_content_seconds,
    }
