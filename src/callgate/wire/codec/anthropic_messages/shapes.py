"""What a request for a message looks like.

Source: anthropic-python 2.13, ``MessageCreateParams``, stable and beta.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec

from callgate.wire.codec.shapes import ABSENT, Shape, Strange

CALLER: Final = {
    "caller": ("tool", ({"type": "direct"},)),
    "toolset_name": ("tool", ()),
}


class TextBlock(Shape, frozen=True, tag_field="type", tag="text"):
    """Words."""

    LOST: ClassVar = {"citations": ("citations", ([],))}

    text: str
    cache_control: msgspec.Raw = ABSENT


class Source(Shape, frozen=True):
    """Where a picture or document is."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: msgspec.Raw = ABSENT


class ImageBlock(Shape, frozen=True, tag_field="type", tag="image"):
    """A picture."""

    LOST: ClassVar = {"transformations": ("image_detail", ({},))}

    source: Source
    cache_control: msgspec.Raw = ABSENT


class DocumentBlock(Shape, frozen=True, tag_field="type", tag="document"):
    """A document."""

    LOST: ClassVar = {
        "citations": ("citations", ({"enabled": False},)),
        "context": ("document", ("",)),
    }

    source: Source
    title: str | None = None
    cache_control: msgspec.Raw = ABSENT


class ToolUseBlock(Shape, frozen=True, tag_field="type", tag="tool_use"):
    """A call of a tool."""

    LOST = CALLER

    id: str
    name: str
    input: msgspec.Raw
    cache_control: msgspec.Raw = ABSENT


class ToolResultBlock(Shape, frozen=True, tag_field="type", tag="tool_result"):
    """What a tool gave back."""

    LOST = CALLER

    tool_use_id: str
    content: str | list[TextBlock | ImageBlock | DocumentBlock | Strange] | None = None
    is_error: bool | None = None
    cache_control: msgspec.Raw = ABSENT


class ThinkingBlock(Shape, frozen=True, tag_field="type", tag="thinking"):
    """What the model thought, signed."""

    thinking: str
    signature: str | None = None


class RedactedBlock(Shape, frozen=True, tag_field="type", tag="redacted_thinking"):
    """What the model thought, encrypted."""

    data: str


Block = (
    TextBlock
    | ImageBlock
    | DocumentBlock
    | ToolUseBlock
    | ToolResultBlock
    | ThinkingBlock
    | RedactedBlock
    | Strange
)


class User(Shape, frozen=True, tag_field="role", tag="user"):
    """What the user says, and what tools gave back."""

    content: str | list[Block]


class Assistant(Shape, frozen=True, tag_field="role", tag="assistant"):
    """What the model said."""

    content: str | list[Block]


class System(Shape, frozen=True, tag_field="role", tag="system"):
    """An instruction in the midst of a conversation."""

    content: str | list[Block]


class Tool(Shape, frozen=True):
    """A tool that may be called."""

    KINDS = frozenset({"custom"})
    LOST: ClassVar = {
        "allowed_callers": ("tool", (["direct"],)),
        "defer_loading": ("tool", (False,)),
        "eager_input_streaming": ("label", ()),
        "input_examples": ("tool", ([],)),
    }

    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: msgspec.Raw = ABSENT
    strict: bool | None = None
    cache_control: msgspec.Raw = ABSENT
    strange: Any = None


class Choice(Shape, frozen=True):
    """Which tool must be called."""

    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Metadata(Shape, frozen=True):
    """Who the agent works for."""

    user_id: str | None = None


class Thinking(Shape, frozen=True):
    """Whether the model thinks first."""

    LOST: ClassVar = {"display": ("thinking_view", ("omitted",))}

    type: str
    budget_tokens: int | None = None


class OutputFormat(Shape, frozen=True):
    """What the answer must look like."""

    type: str
    schema: msgspec.Raw = ABSENT


class OutputConfig(Shape, frozen=True):
    """How to answer."""

    effort: str | None = None
    format: OutputFormat | None = None


class Request(Shape, frozen=True):
    """A whole request."""

    LOST: ClassVar = {
        "cache_control": ("cache_hint", ()),
        "compaction": ("state", ()),
        "container": ("state", ()),
        "context_management": ("state", ()),
        "diagnostics": ("label", ()),
        "fallbacks": ("state", ([],)),
        "inference_geo": ("region", ()),
        "mcp_servers": ("tool", ([],)),
        "thread": ("state", ()),
        "user_profile_id": ("metadata", ()),
        "workspace_id": ("metadata", ()),
    }

    model: str
    messages: list[User | Assistant | System]
    max_tokens: int | None = None
    """Where it is left out, the gate says how much."""
    metadata: Metadata | None = None
    output_config: OutputConfig | None = None
    service_tier: str | None = None
    speed: str | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    system: str | list[TextBlock | Strange] | None = None
    temperature: float | None = None
    thinking: Thinking | None = None
    tool_choice: Choice | None = None
    tools: list[Tool] | None = None
    top_k: int | None = None
    top_p: float | None = None
