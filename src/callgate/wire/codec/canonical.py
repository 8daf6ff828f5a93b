"""The canonical form: what every format is read into, and written from.

A prompt is what an agent asks; a completion is what a model answers; the events of a stream are a
completion in pieces. They hold what the formats mean, in none of their words. What a provider has
signed, encrypted or keeps for itself carries who made it, as nobody else can read it.

Nothing here but :class:`Broke` can hold itself, so the garbage collector need not look
(``gc=False``): a long conversation is thousands of records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from callgate.call import Usage
from callgate.errors import Failed
from callgate.wire.codec.losses import Loss

Role: TypeAlias = Literal["user", "assistant", "system", "developer"]

Finish: TypeAlias = Literal[
    "stop", "stop_sequence", "length", "context", "tool_calls", "refusal", "content_filter", "pause"
]
"""Why a completion ended. There is none for a failure: what failed is no completion."""

Mode: TypeAlias = Literal["auto", "none", "required"]
"""Whether tools may, must not or must be called."""


class Minter(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who made a signed or encrypted part, and alone can read it."""

    provider: str
    account: str
    """The credential, or the account behind it, by any name that tells it from others."""


class Text(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Words."""

    text: str
    cache: msgspec.Raw | None = None
    """A cache marker after it, as it was written."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Words with which a model declines."""

    text: str


class Image(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A picture: its bytes, or where they are."""

    media_type: str | None = None
    data: str | None = None
    """Base64."""
    url: str | None = None
    file_id: str | None = None
    minted_by: Minter | None = None
    """Whose ``file_id`` it is."""
    detail: str | None = None
    cache: msgspec.Raw | None = None


class File(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A document: its bytes, its words, or where it is."""

    media_type: str | None = None
    data: str | None = None
    """Base64."""
    text: str | None = None
    """The words of a plain text."""
    url: str | None = None
    file_id: str | None = None
    minted_by: Minter | None = None
    """Whose ``file_id`` it is."""
    name: str | None = None
    cache: msgspec.Raw | None = None


class ToolUse(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A model calls a tool."""

    id: str
    name: str
    arguments: str = ""
    """A JSON object as it was written; nothing stands for no arguments."""
    signature: str | None = None
    minted_by: Minter | None = None
    """Who signed it."""
    cache: msgspec.Raw | None = None


class ToolResult(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a tool gave back."""

    use_id: str
    name: str
    """The tool's name, found by its use where the format does not repeat it."""
    parts: tuple[Text | Image | File | Opaque, ...]
    is_error: bool = False
    cache: msgspec.Raw | None = None


class Thinking(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a model thought."""

    text: str
    signature: str | None = None
    """What proves, or holds in encrypted form, that the model thought it."""
    is_redacted: bool = False
    """Whether the signature is all there is."""
    minted_by: Minter | None = None


class Opaque(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A part that means something to its maker alone."""

    format: str
    """The format that it is written in."""
    kind: str
    raw: msgspec.Raw
    minted_by: Minter | None = None


RESULT_PARTS: Final = (Text, Image, File, Opaque)
"""What the result of a tool holds."""

Part: TypeAlias = Text | Refusal | Image | File | ToolUse | ToolResult | Thinking | Opaque


class Turn(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one side says before the other does."""

    role: Role
    parts: tuple[Part, ...]


class Tool(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A tool that the agent runs itself."""

    name: str
    description: str | None = None
    parameters: msgspec.Raw | None = None
    """A JSON schema; None takes no arguments."""
    strict: bool | None = None
    cache: msgspec.Raw | None = None


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Whether a tool must be called."""

    mode: Mode
    names: tuple[str, ...] = ()
    """The only tools that may be called; none stands for all."""


class Shape(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the answer must look like: JSON, after a schema where there is one."""

    schema: msgspec.Raw | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class Reasoning(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a model should think."""

    effort: str | None = None
    """``none``, ``minimal``, ``low``, ``medium``, ``high``, ``xhigh`` or ``max``."""
    budget_tokens: int | None = None
    is_adaptive: bool = False
    """Whether the model decides by itself."""


class Params(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything about how to answer."""

    output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel: bool | None = None
    shape: Shape | None = None
    reasoning: Reasoning | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    user: str | None = None
    """Who the agent works for, as the provider may know it."""
    metadata: msgspec.Raw | None = None


class Prompt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request in canonical form."""

    model: str
    system: tuple[Text, ...] = ()
    turns: tuple[Turn, ...] = ()
    tools: tuple[Tool, ...] = ()
    params: Params = Params()
    stream: bool = False
    wants_usage: bool = True
    """Whether a stream should tell its usage."""
    echo: Mapping[str, msgspec.Raw] = {}
    """Fields that the reply repeats, where its format does that."""
    losses: tuple[Loss, ...] = ()
    """What the canonical form itself does not hold."""


class Completion(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A reply in canonical form."""

    id: str
    model: str
    parts: tuple[Part, ...]
    finish: Finish
    stop_sequence: str | None = None
    usage: Usage | None = None
    service_tier: str | None = None
    losses: tuple[Loss, ...] = ()


class Began(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A stream has begun."""

    id: str
    model: str
    usage: Usage | None = None
    """What is known of the input so far."""


class PartBegan(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A part begins; several may be open at once."""

    n: int
    """Numbers the parts of a stream in the order in which they begin, from 0."""
    part: Text | Refusal | Thinking | ToolUse
    """The part without its words."""


class Delta(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """More words of a part, or more of a tool's arguments."""

    n: int
    text: str


class Signed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The signature of a part."""

    n: int
    signature: str


class PartEnded(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A part is whole."""

    n: int


class Finished(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The stream has come to its own end; nothing follows."""

    finish: Finish
    stop_sequence: str | None = None
    usage: Usage | None = None
    service_tier: str | None = None


class Dropped(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The stream told something that no other format holds."""

    loss: Loss


class Broke(msgspec.Struct, frozen=True, kw_only=True):
    """The stream failed; nothing follows.

    The garbage collector must look at this one: a failure that was raised holds the frames that
    it went through, and those hold the events.
    """

    failure: Failed


PartEvent: TypeAlias = PartBegan | Delta | Signed | PartEnded
Event: TypeAlias = Began | PartBegan | Delta | Signed | PartEnded | Finished | Dropped | Broke
