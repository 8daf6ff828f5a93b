"""What a translation cannot carry over, as data: nothing is dropped without an entry."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of loss, which settings allow by its name."""

    means: str
    """What a reader loses, as a sentence says it."""
    is_mild: bool = False
    """Whether the model sees and does the same without it, so that nobody has to allow it."""


KINDS: Final[Mapping[str, Kind]] = {
    "arguments": Kind(means="arguments of a tool call that are no JSON object"),
    "audio": Kind(means="sound in the input or the output"),
    "author": Kind(means="who speaks in a turn, by name"),
    "cache_hint": Kind(means="where a prompt cache should break", is_mild=True),
    "choices": Kind(means="more than one answer to a request"),
    "citations": Kind(means="which source a text rests on"),
    "document": Kind(means="a document, or what it is called"),
    "effort": Kind(means="how hard the model should think"),
    "image": Kind(means="an image"),
    "image_detail": Kind(means="how finely an image is looked at", is_mild=True),
    "instruction_order": Kind(
        means="whether an instruction stands before or after the user's words beside it",
        is_mild=True,
    ),
    "json_mode": Kind(means="that the answer must be JSON of any shape"),
    "label": Kind(means="a name that only people and records see", is_mild=True),
    "logprobs": Kind(means="how likely each token was"),
    "metadata": Kind(means="labels and user names kept by the provider"),
    "opaque": Kind(means="a part that only the provider that made it can read"),
    "order": Kind(means="the order of texts and tool calls within a turn"),
    "output_limit": Kind(means="how many tokens the answer may have"),
    "parallel": Kind(means="whether several tools may be called at once"),
    "place": Kind(means="where in a conversation an instruction stands"),
    "safety": Kind(means="which content the provider blocks"),
    "sampling": Kind(means="temperature, seed, penalties and the like"),
    "prefill": Kind(means="that the answer goes on from words that are given"),
    "region": Kind(means="where in the world a request is served"),
    "schema": Kind(means="a keyword of a JSON schema"),
    "service_tier": Kind(means="how fast, and at what price, a request is served"),
    "state": Kind(means="what the provider keeps between requests"),
    "stop": Kind(means="texts at which the answer stops"),
    "strict": Kind(means="that arguments or answer follow their schema exactly"),
    "system": Kind(means="an instruction"),
    "thinking": Kind(means="what a model thought, or the signature that proves it"),
    "storage": Kind(
        means="that the provider keeps the answer, to be named by its id later", is_mild=True
    ),
    "thinking_view": Kind(means="that the client sees what the model thought", is_mild=True),
    "tool": Kind(means="a tool that the provider runs or describes itself"),
    "tool_choice": Kind(means="which tool must be called"),
    "tool_image": Kind(means="that an image or document is the result of a tool"),
    "truncation": Kind(means="that too long a conversation is cut, not refused"),
    "unknown": Kind(means="a field that this version does not know"),
    "verbosity": Kind(means="how long-winded the answer should be"),
}
"""Every loss by its name; the names are those of the setting ``allow_loss``."""


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """One meaning that the target cannot hold."""

    name: str
    """A key of :data:`KINDS`."""
    where: str
    """A JSON path: into the request where its own format says more than the canonical form, such
    as ``$.messages[2].name``; else into the canonical form, such as ``$.turns[2].parts[0]``."""
    what: str
    """What stands there, short."""
    why: str
    """Why it cannot go over."""

    @property
    def is_mild(self) -> bool:
        """Whether it needs nobody's leave."""
        return KINDS[self.name].is_mild


class Losses(list[Loss]):
    """The losses of one translation, as they are found."""

    def add(self, name: str, where: str, *, what: str, why: str) -> None:
        """Note a loss; see :class:`Loss`."""
        self.append(Loss(name=name, where=where, what=what, why=why))


def lost(losses: Sequence[Loss]) -> tuple[str, ...]:
    """Return what an audit row says of losses: each kind once."""
    return tuple(f"lost={name}" for name in sorted({loss.name for loss in losses}))


def grave(losses: Sequence[Loss], *, allowed: Collection[str]) -> list[Loss]:
    """Return the losses that forbid a translation.

    Args:
        losses: What a translation would lose.
        allowed: The names that settings allow.
    """
    return [loss for loss in losses if not loss.is_mild and loss.name not in allowed]
