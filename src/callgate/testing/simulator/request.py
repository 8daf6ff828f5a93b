"""What a request asks of a simulated provider, read on the simulator's own terms."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeGuard, cast

import msgspec

from callgate.testing.simulator.memory import Conversation, Memory
from callgate.testing.simulator.script import Api, Endpoint, FormatName, Kind
from callgate.testing.simulator.seals import Seals

BYTES_A_TOKEN: Final = 4
"""How much text counts as one token where a script does not say; the usual rule of thumb."""

SHORTEST_SHOWN_KEY: Final = 12
"""A shorter key is starred whole; four characters of it would be too many."""

Last = Literal["user", "tool", "other"]


class Problem(Exception):
    """A provider would answer this request with an error.

    Attributes:
        status: The HTTP status.
        kind: Which of the errors with this status; None for the usual one.
        param: The field that is wrong, for OpenAI's error body.
        code: OpenAI's error code.
        retry_after_seconds: How long the client should wait, where it should.
        details: What Gemini's error body tells besides.
    """

    def __init__(
        self,
        status: int,
        message: str | None = None,
        *,
        kind: Kind | None = None,
        param: str | None = None,
        code: str | None = None,
        retry_after_seconds: float | None = None,
        details: Sequence[object] = (),
    ) -> None:
        super().__init__(message or str(status))
        self.status = status
        self.message = message
        self.kind: Kind | None = kind
        self.param = param
        self.code = code
        self.retry_after_seconds = retry_after_seconds
        self.details = details


class Asked(msgspec.Struct, kw_only=True):
    """A request to a model, as far as an answer depends on it."""

    api: Api
    format: FormatName | None = None
    endpoint: Endpoint = "generate"
    model: str = ""
    key: str | None = None
    stream: bool = False
    wants_usage: bool = False
    """Whether an OpenAI stream ends with a chunk of usage."""
    query: str = ""
    body: dict[str, object] = {}
    """The request as it came, for replies that repeat parts of it."""
    memory: Memory = msgspec.field(default_factory=Memory)
    """What earlier replies left behind."""
    conversation: Conversation = Conversation()
    """What had been said before the answer, where the provider keeps it."""
    output_limit: int | None = None
    schema: dict[str, object] | None = None
    """What a made-up answer must fit; an empty one wants any JSON object."""
    stops: tuple[str, ...] = ()
    """Texts before which an answer ends."""
    choices: int = 1
    text: str = ""
    """The last text of the user."""
    last: Last = "other"
    """Who spoke last."""
    input_bytes: int = 0
    """UTF-8 bytes of all message text, tool calls, tool results and tool definitions."""
    seed: bytes = b""
    """At most 64 bytes that everything made up follows from."""
    digest: bytes = b""
    """Identifies the seed, path, key and body."""
    attempt: int = 1
    """How many times this digest came, this request included."""

    @property
    def input_tokens(self) -> int:
        """Input tokens where the script does not say."""
        return max(1, -(-self.input_bytes // BYTES_A_TOKEN))

    def draw(self, purpose: str, size: int = 16) -> bytes:
        """Return bytes for an id: they follow from the seed, the whole request and its attempt.

        Args:
            purpose: What they are for; another purpose gives other bytes.
            size: How many, at most 64.
        """
        salted = self.digest + self.attempt.to_bytes(8, "big") + purpose.encode()
        return hashlib.blake2b(salted, digest_size=size).digest()

    @property
    def seals(self) -> Seals:
        """What only this key can read again."""
        return Seals(self.seed, self.key)

    def draw_text(self) -> bytes:
        """Return 32 bytes for a made-up answer.

        They follow from the seed and what the user said alone, so that a request says the same
        with another key or limit, the second time, and behind a gateway.
        """
        said = f"{self.input_bytes} {self.text}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(said, digest_size=32, key=self.seed).digest()


def shown_key(key: str | None) -> str | None:
    """Return a key as a bill may show it: its last four characters."""
    if key is None:
        return None
    return f"***{key[-4:]}" if len(key) >= SHORTEST_SHOWN_KEY else "***"


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Say whether ``value`` is a JSON object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[object]]:
    """Say whether ``value`` is a JSON array."""
    return isinstance(value, list)


def is_integer(value: object) -> TypeGuard[int]:
    """Say whether ``value`` is a JSON integer."""
    return isinstance(value, int) and not isinstance(value, bool)


def decode(body: bytes) -> dict[str, object]:
    """Return the JSON object in ``body``.

    Raises:
        Problem: It is not JSON, or not an object.
    """
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = "We could not parse the JSON body of your request."
        raise Problem(400, message) from None
    if not is_object(value):
        raise Problem(400, "The request body must be a JSON object.")
    return value


def read_schema(format: object) -> dict[str, object] | None:
    """Return the schema of a response format as OpenAI and Anthropic write it, if it has one."""
    if not is_object(format):
        return None
    inner = format.get("json_schema", format)
    schema = inner.get("schema") if is_object(inner) else None
    if is_object(schema):
        return schema
    return {} if format.get("type") == "json_object" else None


def read_stops(value: object) -> tuple[str, ...]:
    """Return the stop sequences of a request: a text, or a list of them."""
    if isinstance(value, str):
        return (value,)
    return tuple(stop for stop in value if isinstance(stop, str)) if is_array(value) else ()


def texts(content: object) -> str:
    """Return the text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if not is_array(content):
        return ""
    parts = (part.get("text") for part in content if is_object(part))
    return "".join(part for part in parts if isinstance(part, str))


def text_bytes(message: Mapping[str, object]) -> int:
    """Count the bytes of a message that a model reads as text."""
    return _content_bytes(message.get("content")) + _calls_bytes(message.get("tool_calls"))


def json_bytes(value: object) -> int:
    """Count the bytes of ``value`` as compact JSON; 0 for nothing."""
    return len(msgspec.json.encode(value)) if value else 0


def _content_bytes(content: object) -> int:
    if isinstance(content, str):
        return len(content.encode())
    if is_array(content):
        return sum(_part_bytes(part) for part in content if is_object(part))
    return 0


def _part_bytes(part: dict[str, object]) -> int:
    """Count a content part: its text, thinking, tool call or nested result; an image is 0."""
    if part.get("type") == "tool_use":
        return _content_bytes(part.get("name")) + json_bytes(part.get("input"))
    fields = ("text", "thinking", "refusal", "content")
    return sum(_content_bytes(part.get(field)) for field in fields)


def _calls_bytes(calls: object) -> int:
    if not is_array(calls):
        return 0
    functions = [call.get("function") for call in calls if is_object(call)]
    return sum(
        _content_bytes(function.get("name")) + _content_bytes(function.get("arguments"))
        for function in functions
        if is_object(function)
    )


def messages_of(body: dict[str, object]) -> Sequence[dict[str, object]]:
    """Return the messages of a request.

    Raises:
        Problem: There are none, or one is not an object.
    """
    messages = body.get("messages")
    if messages is None:
        raise Problem(400, param="messages", code="missing_required_parameter")
    if not is_array(messages) or not messages:
        raise Problem(400, param="messages", code="invalid_type")
    if not all(is_object(message) for message in messages):
        raise Problem(400, param="messages[0]", code="invalid_type")
    return cast("Sequence[dict[str, object]]", messages)
