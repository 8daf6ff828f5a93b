"""Parameters of a request that most formats have under another name, and what is lost of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from callgate.wire.codec import Target
from callgate.wire.codec.canonical import Params, Prompt, Reasoning, Tool
from callgate.wire.codec.losses import Losses

LOST_AS: Final = {
    "temperature": "sampling",
    "top_p": "sampling",
    "top_k": "sampling",
    "seed": "sampling",
    "presence_penalty": "sampling",
    "frequency_penalty": "sampling",
    "parallel": "parallel",
    "verbosity": "verbosity",
    "service_tier": "service_tier",
    "user": "metadata",
    "metadata": "metadata",
}
"""Plain parameters, and the loss where a target does not have one."""

_values_of: Final = attrgetter(*LOST_AS)
_NONE: Final = _values_of(Params())

USUAL: Final = {"parallel": (True,), "verbosity": ("medium",), "service_tier": ("auto",)}
"""Values that say no more than leaving the parameter out."""

BUDGETS: Final = ((0, "none"), (2_048, "low"), (8_192, "medium"), (24_576, "high"))
"""The most tokens of thought that an effort stands for, where a format has only efforts."""

TOOL_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""Source: the error texts of OpenAI and Anthropic (which takes up to 128)."""

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Every effort, as OpenAI names them."""

NO_FIELD: Final = "the target has no such parameter"


def plain_params(
    params: Params,
    fields: Mapping[str, str],
    target: Target,
    losses: Losses,
    *,
    apart: Collection[str] = (),
) -> dict[str, Any]:
    """Return the parameters that a format has under some name, and note the others.

    Args:
        params: All parameters.
        fields: The format's name for each that it has.
        target: What its model does not take is noted too.
        losses: Where the notes go.
        apart: Parameters that the format says in a way of its own.
    """
    found: dict[str, Any] = {}
    values = _values_of(params)
    if values == _NONE:
        return found
    for value, (name, lost) in zip(values, LOST_AS.items(), strict=True):
        if value is None or name in apart:
            continue
        if name in fields and name not in target.lacks:
            found[fields[name]] = value
        elif value not in USUAL.get(name, ()):
            losses.add(lost, f"$.params.{name}", what=_shown(name, value), why=NO_FIELD)
    return found


def _shown(name: str, value: object) -> str:
    """Return a parameter for a list of losses, which people read: without whom it names."""
    return f"{name}={value}" if isinstance(value, int | float) else name


def note_reasoning(reasoning: Reasoning, efforts: Sequence[str], losses: Losses) -> str | None:
    """Return the effort that comes nearest to how the model should think, and note what is lost.

    Args:
        reasoning: How it should think.
        efforts: The efforts that the format knows, rising.
        losses: Where the notes go.
    """
    effort, budget = reasoning.effort, reasoning.budget_tokens
    if budget is not None:
        effort = effort or next((name for most, name in BUDGETS if budget <= most), "high")
        if budget:
            why = f"the target knows efforts, not tokens; {effort} comes nearest"
            what = f"budget_tokens={budget}"
            losses.add("effort", "$.params.reasoning.budget_tokens", what=what, why=why)
    if effort is None or effort in efforts:
        return effort
    nearest = efforts[0] if effort in {"none", "minimal"} else efforts[-1]
    why = f"the target does not know it; {nearest} comes nearest"
    losses.add("effort", "$.params.reasoning.effort", what=effort, why=why)
    return nearest


def note_cache(prompt: Prompt, losses: Losses) -> None:
    """Note the cache markers, for a target that has none."""
    for place in _cached(prompt):
        why = "the target finds by itself what it can cache"
        losses.add("cache_hint", place, what="cache_control", why=why)


def _cached(prompt: Prompt) -> Iterator[str]:
    """Yield where the cache markers stand."""
    for n, words in enumerate(prompt.system):
        if words.cache is not None:
            yield f"$.system[{n}]"
    for n, tool in enumerate(prompt.tools):
        if tool.cache is not None:
            yield f"$.tools[{n}]"
    for n, turn in enumerate(prompt.turns):
        for at, part in enumerate(turn.parts):
            if getattr(part, "cache", None) is not None:
                yield f"$.turns[{n}].parts[{at}]"


def note_prefill(prompt: Prompt, losses: Losses) -> None:
    """Note that the answer is to go on from given words, which few models still do."""
    if prompt.turns and prompt.turns[-1].role == "assistant":
        where = f"$.turns[{len(prompt.turns) - 1}]"
        why = "the target would answer the words, or refuse them, and not go on from them"
        losses.add("prefill", where, what="a last turn of the model's own", why=why)


def note_tool_names(tools: Sequence[Tool], losses: Losses) -> None:
    """Note the names of tools that the target refuses."""
    for n, tool in enumerate(tools):
        if TOOL_NAME.fullmatch(tool.name) is None:
            why = "the target takes names of 1 to 64 letters, digits, - and _"
            losses.add("tool", f"$.tools[{n}].name", what=tool.name[:80], why=why)


def note_stops(params: Params, losses: Losses) -> None:
    """Note that the answer does not stop at given texts, for a format that cannot."""
    for n, stop in enumerate(params.stop):
        losses.add("stop", f"$.params.stop[{n}]", what=repr(stop), why=NO_FIELD)
