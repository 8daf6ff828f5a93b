"""What a request for a response looks like.

Source: openai-python 3.57, ``ResponseCreateParams`` and ``ResponseInputItemParam``.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec

from callgate.wire.codec.shapes import ABSENT, Shape, Strange

CACHE: Final = {"prompt_cache_breakpoint": ("cache_hint", ())}


class InputText(Shape, frozen=True, tag_field="type", tag="input_text"):
    """Words to the model."""

    LOST = CACHE

    text: str


class OutputText(Shape, frozen=True, tag_field="type", tag="output_text"):
    """Words of the model."""

    LOST: ClassVar = {"annotations": ("citations", ([],)), "logprobs": ("logprobs", ([],))}

    text: str


class RefusalPart(Shape, frozen=True, tag_field="type", tag="refusal"):
    """Words with which the model declined."""

    refusal: str


class InputImage(Shape, frozen=True, tag_field="type", tag="input_image"):
    """A picture."""

    LOST = CACHE

    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None


class InputFile(Shape, frozen=True, tag_field="type", tag="input_file"):
    """A document."""

    LOST: ClassVar = {**CACHE, "detail": ("image_detail", ("auto",))}

    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None


class SummaryText(Shape, frozen=True, tag_field="type", tag="summary_text"):
    """What the model thought, in short."""

    text: str


class ReasoningText(Shape, frozen=True, tag_field="type", tag="reasoning_text"):
    """What the model thought."""

    text: str


Content = (
    InputText
    | OutputText
    | RefusalPart
    | InputImage
    | InputFile
    | SummaryText
    | ReasoningText
    | Strange
)


class Item(Shape, frozen=True):
    """One item of a conversation; a message where it says nothing else.

    The ids and states of items are the provider's own bookkeeping.
    """

    KINDS = frozenset({"message", "function_call", "function_call_output", "reasoning"})
    LOST: ClassVar = {
        "phase": ("label", ()),
        "caller": ("tool", ({"type": "direct"},)),
        "namespace": ("tool", ()),
        "async": ("tool", (False,)),
    }

    type: str = "message"
    id: str | None = None
    status: str | None = None
    role: str | None = None
    content: str | list[Content] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[Content] | None = None
    summary: list[SummaryText] | None = None
    encrypted_content: str | None = None
    strange: Any = None


class Tool(Shape, frozen=True):
    """A tool that may be called."""

    KINDS = frozenset({"function"})
    LOST: ClassVar = {
        "allowed_callers": ("tool", (["direct"],)),
        "defer_loading": ("tool", (False,)),
        "output_schema": ("schema", ()),
    }

    type: str
    name: str | None = None
    description: str | None = None
    parameters: msgspec.Raw = ABSENT
    strict: bool | None = None
    strange: Any = None


class NamedTool(Shape, frozen=True):
    """A tool by its name."""

    KINDS = frozenset({"function"})

    type: str
    name: str | None = None
    strange: Any = None


class Choice(Shape, frozen=True):
    """Which tool must be called."""

    KINDS = frozenset({"function", "allowed_tools"})

    type: str
    name: str | None = None
    mode: str | None = None
    tools: list[NamedTool] | None = None
    strange: Any = None


class Format(Shape, frozen=True):
    """What the answer must look like."""

    type: str
    name: str | None = None
    description: str | None = None
    schema: msgspec.Raw = ABSENT
    strict: bool | None = None


class TextConfig(Shape, frozen=True):
    """How to word the answer."""

    format: Format | None = None
    verbosity: str | None = None


class Reasoning(Shape, frozen=True):
    """How the model should think."""

    LOST: ClassVar = {
        "summary": ("thinking_view", ()),
        "generate_summary": ("thinking_view", ()),
    }

    effort: str | None = None


class Request(Shape, frozen=True):
    """A whole request."""

    LOST: ClassVar = {
        "access_programs": ("metadata", ()),
        "background": ("state", (False,)),
        "background_options": ("state", ()),
        "context_management": ("state", ([],)),
        "conversation": ("state", ()),
        "image": ("image_detail", ()),
        "include": ("state", ([], ["reasoning.encrypted_content"])),
        "max_tool_calls": ("tool", ()),
        "moderation": ("metadata", ()),
        "previous_response_id": ("state", ()),
        "prompt": ("state", ()),
        "prompt_cache_key": ("cache_hint", ()),
        "prompt_cache_options": ("cache_hint", ()),
        "prompt_cache_retention": ("cache_hint", ()),
        "stream_options": ("label", ({},)),
        "top_logprobs": ("logprobs", (0,)),
        "truncation": ("truncation", ("disabled",)),
    }

    model: str = ""
    input: str | list[Item] | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    metadata: msgspec.Raw = ABSENT
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    stream: bool | None = None
    temperature: float | None = None
    text: TextConfig | None = None
    tool_choice: str | Choice | None = None
    tools: list[Tool] | None = None
    top_p: float | None = None
    user: str | None = None


ECHO: Final = frozenset(
    {
        "instructions",
        "max_output_tokens",
        "metadata",
        "parallel_tool_calls",
        "reasoning",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_p",
        "truncation",
        "user",
    }
)
"""What a response repeats of its request, as it was written."""
