"""The nouns of the road: a call goes in, attempts are made of it, a reply comes out."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from hashlib import blake2b
from itertools import count
from typing import Any, Final, Literal

import msgspec

from callgate.errors import CallgateError, Refused
from callgate.money import Money

Headers = tuple[tuple[str, str], ...]
"""HTTP headers in their order, names in lower case."""

Effect = Literal["read", "write", "destructive"]
"""What a tool does to the world: nothing, something, or something that cannot be undone."""

Within = Literal["task", "user", "agent", "gate"]
"""Whose calls are looked at, where something is to be done once: those of one task, of one user, of
one agent, or all."""

Progress = Callable[[float, float | None, str | None], Awaitable[None]]
"""Takes how far a call is, of how much (None if unknown), and a word about it."""

Ask = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Takes what a tool wants to know before it goes on, and returns what somebody answers.

Both are in the words of MCP: the parameters of ``elicitation/create``, with a ``message`` and a
``requestedSchema`` or a ``url``; and its result, an ``action`` (``accept``, ``decline``, ``cancel``) and
the ``content`` that was accepted.
"""

CostReport = Literal["openrouter", "x-ai"]
"""In whose way a reply tells what it cost."""

COUNTED: Final = "bound=counted"
"""What the changes of an attempt say where it holds a count and no proven bound."""

FINGERPRINT_BYTES: Final = 16
"""Enough that two requests of one task never look alike by chance."""

_BIRTHS: Final = count(secrets.randbits(47))


def new_id(prefix: str) -> str:
    """Return a new identifier such as ``call_1f0c…``, which no other process makes either.

    Those of one process rise: what is written together then stands together in an index, and a
    commit writes a page for many rows instead of a page for each.
    """
    return f"{prefix}_{next(_BIRTHS):012x}{secrets.token_hex(6)}"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who knocks: what the key of a request proves."""

    agent: str
    key_id: str | None = None
    """The key's row in the store; None for the Python door, which needs no key."""
    task_id: str | None = None
    """The one task that a task key is bound to; None for an agent key."""


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says about its task, before anybody has judged it."""

    task_id: str | None = None
    task_type: str | None = None
    user: str | None = None
    parent: str | None = None


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One provider and model that could serve a call."""

    provider: str
    """The provider's name in the settings."""
    model: str
    """The model's name at the provider."""

    @property
    def name(self) -> str:
        """``provider:model``, as permissions and receipts write it."""
        return f"{self.provider}:{self.model}"


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one attempt in disjoint buckets: no token is in two of them."""

    input_tokens: int = 0
    """Input that was neither read from a cache nor written to one."""
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    """Written to a cache with the provider's shorter lifetime (Anthropic 5 m, OpenAI 30 m)."""
    cache_write_long_tokens: int = 0
    """Written to a cache with the provider's longer lifetime (Anthropic 1 h, OpenAI 12 h)."""
    output_tokens: int = 0
    """Output that the reader sees."""
    reasoning_tokens: int = 0

    @property
    def total_input_tokens(self) -> int:
        """All input, however it was served."""
        return (
            self.input_tokens
            + self.cache_read_tokens
            + self.cache_write_tokens
            + self.cache_write_long_tokens
        )

    @property
    def total_output_tokens(self) -> int:
        """All output, seen or not."""
        return self.output_tokens + self.reasoning_tokens

    @property
    def is_credible(self) -> bool:
        """Whether it may be all that was used: no request of a model is without input."""
        return self.total_input_tokens > 0


class Meter(msgspec.Struct, kw_only=True):
    """What has been read from a reply so far; filled while the reply passes through."""

    usage: Usage | None = None
    """The latest cumulative usage; None while the provider has told none."""
    finished: bool = False
    """Whether the reply's own end has been seen."""
    model: str | None = None
    """The model that says it answered."""
    reply_id: str | None = None
    finish_reason: str | None = None
    service_tier: str | None = None
    counted_tokens: int | None = None
    """What a provider says that a request would have as input, where it was asked to count."""
    unpriced: str | None = None
    """What the reply tells of that no price of tokens covers, such as web searches of the
    provider's own: what it cost is not known then."""
    has_media: bool = False
    """Whether it counts tokens of pictures or sounds, which may cost more than those of text."""
    believed: CostReport | None = None
    """Whose way of telling a cost is believed; None believes none."""
    reported: Money | None = None
    """What the reply says that it cost, where that is believed."""


class Reply(msgspec.Struct, kw_only=True):
    """What a call gives back; ``chunks`` may still be arriving."""

    status: int
    headers: Headers
    """The provider's headers that are passed on."""
    body: bytes | None = None
    """A plain reply, whole; None for a stream."""
    chunks: AsyncIterator[bytes] | None = None
    """A stream as the bytes to relay; None for a plain reply."""
    meter: Meter = msgspec.field(default_factory=Meter)
    fail: Callable[[CallgateError], bytes] | None = None
    """Returns the bytes that end a stream with an error, where that depends on what it has told
    so far; None where the format knows without."""


class Witness(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that knows whether another has done its work; how it is asked is JMESPath."""

    tool: str
    """Who is asked: a tool that only reads."""
    arguments: str
    """What it is asked with, of the arguments of what is to be done."""
    done: str
    """What of its answer is true if it has been done."""
    certain_after_seconds: float = 300.0
    """How long after it was sent the far side may still be at it, so that a no proves nothing."""


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that an agent can call, as a toolset offers it."""

    name: str
    """What agents call it; no other tool of a gate has the same."""
    description: str
    input_schema: Mapping[str, Any]
    """JSON schema of the arguments: an object."""
    output_schema: Mapping[str, Any] | None = None
    """JSON schema of the structured result, where the source promises one."""
    title: str | None = None
    effect: Effect = "destructive"
    """What nobody has declared counts as the worst."""
    is_idempotent: bool = False
    """Whether the same call again changes nothing more; a ``read`` always is."""
    toolset: str
    """Where it comes from: the name of its toolset."""
    remote_name: str
    """What it is called there."""
    cost: Money | None = Money()
    """The most that one call of it can cost; None where nobody says."""
    key: str | None = None
    """The reference of the secret that a call of it needs; it is resolved just before the call."""
    takes_key: bool = False
    """Whether it can be given an idempotency key, so that it does one thing once."""
    timeout_seconds: float = 60.0
    """How long one attempt may take."""
    once: str | None = None
    """What of its arguments names the action, in JMESPath; all of them where nobody says."""
    once_in: Within | None = None
    """Where an action happens once; None: in its task, if it is one that must not happen twice."""
    repeats: bool = False
    """Whether the same call again means that it is to be done again."""
    error_is_unknown: bool = False
    """Whether nobody knows what was done where it says that it failed."""
    check: Witness | None = None
    """How to find out whether an action of it has been done."""
    hints: Mapping[str, Any] | None = None
    """What its source says about it (``annotations`` of MCP); believed only where it makes matters
    stricter."""

    @property
    def is_repeatable(self) -> bool:
        """Whether a call may be made again though it is not known if it has happened."""
        return self.effect == "read" or self.is_idempotent

    @property
    def acts(self) -> bool:
        """Whether a call of it is an action, which is done once."""
        return not self.is_repeatable or self.once is not None or self.once_in is not None


class Earlier(msgspec.Struct, frozen=True, kw_only=True):
    """The time that an action was done, where a call only asks for it again."""

    call_id: str | None
    """The call that did it; None where it was for somebody else."""
    done_at: float
    """Seconds since 1970."""
    is_same: bool = True
    """Whether every argument was the same, and not only those that name the action."""


class ToolResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a tool said."""

    content: tuple[Mapping[str, Any], ...] = ()
    """Its blocks in the words of MCP: ``{"type": "text", "text": …}``, images, resources."""
    structured: Any = None
    """The same as data, where the tool has it so."""
    is_error: bool = False
    """Whether the tool itself says that it failed: the agent is told, and it counts against nobody."""
    cost: Money | None = None
    """What it says that this call cost; None where it says nothing."""
    already_done: Earlier | None = None
    """Set where nothing was done now, as it had been done before: this is what came of it then."""

    @property
    def text(self) -> str:
        """Its text, without what is no text."""
        return "\n".join(
            str(block["text"]) for block in self.content if block.get("type") == "text"
        )


class ToolReply(Reply, kw_only=True):
    """What a tool gave back; it never streams."""

    result: ToolResult

    @classmethod
    def of(cls, result: ToolResult) -> ToolReply:
        """Return a result as a reply, whole."""
        meter = Meter(finished=True, reported=result.cost)
        body = msgspec.json.encode(result)
        return cls(status=200, headers=(), body=body, meter=meter, result=result)


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One physical try of a call at one candidate, admitted and with its intent on disk."""

    id: str
    n: int
    """1 for the call's first attempt."""
    reserved: Money | None
    """What is held for it; None where the cost has no known bound and no budget holds."""
    output_tokens: int | None = None
    """The output limit to send, where the gate chose it; None leaves the request's own."""
    idempotency_key: str | None = None
    """By which a tool knows an action that it is asked for again; None where it need not."""
    meter: Meter = msgspec.field(default_factory=Meter)
    """What its reply has told so far, also one that was no answer."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request of an agent to a model or a tool; a door makes it and hands it to the road."""

    id: str
    door: str
    """The way it came in: ``openai``, ``anthropic``, ``python``."""
    kind: Literal["model", "tool"] = "model"
    caller: Caller
    claims: Claims = Claims()
    started_at: float
    """Seconds since 1970."""
    client_retry: int = 0
    """How often the library of the client says that it has sent this very request before."""
    patience_seconds: float | None = None
    """How long the client waits for its reply to begin, where it says so."""
    flaw: Refused | None = None
    """Why the door could not take the request whole (too large, no such path); the road refuses
    with it, so that this too leaves a row."""
    body: bytes
    """What is asked, as it came: of a tool, its arguments as a JSON object."""

    @property
    def fingerprint(self) -> bytes:
        """A digest of what is asked, the same for the same request."""
        digest = blake2b(self.body, digest_size=FINGERPRINT_BYTES)
        digest.update(self.beside.encode())
        return digest.digest()

    @property
    def beside(self) -> str:
        """What of it stands outside of the body."""
        return ""


class ModelCall(Call, frozen=True, kw_only=True):
    """A request to a model, in the bytes that the agent sent."""

    format: str
    """What the bytes speak, a key of :data:`callgate.wire.FORMATS`, such as ``openai_chat``."""
    model: str = ""
    """The model, where the format has it outside of the body (Gemini)."""
    stream: bool = False
    """Whether a stream is asked for, where the format has that outside of the body (Gemini)."""
    headers: Headers = ()
    """The client's headers that a provider may see; never its key or cookies."""

    @property
    def beside(self) -> str:
        """Model and stream, of a format that has them outside."""
        return f"{self.model} {self.stream}"


class ToolCall(Call, frozen=True, kw_only=True):
    """A request to a tool."""

    kind: Literal["model", "tool"] = "tool"
    name: str
    """What the agent calls it."""
    repeat: int | None = None
    """Which time this very action is meant, from 1; None: the first, or with a tool that is called
    again on purpose the next."""
    on_progress: Progress | None = None
    """Where the client wants to hear how far the call is."""
    on_question: Ask | None = None
    """Where somebody can be asked what the tool wants to know; None where nobody can."""

    @property
    def beside(self) -> str:
        """The tool's name."""
        return self.name
