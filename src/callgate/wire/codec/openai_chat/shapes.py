"""What a chat request looks like.

Source: openai-python 3.57, ``CompletionCreateParams``; ``reasoning_content`` is DeepSeek's and
vLLM's, ``extra_content`` that of Gemini's compatible API.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec

from callgate.wire.codec.shapes import ABSENT, Shape, Strange

CACHE: Final = {"prompt_cache_breakpoint": ("cache_hint", ()), "cache_control": ("cache_hint", ())}


class TextPart(Shape, frozen=True, tag_field="type", tag="text"):
    """Words."""

    LOST = CACHE

    text: str


class RefusalPart(Shape, frozen=True, tag_field="type", tag="refusal"):
    """Words with which the model declined."""

    refusal: str


class ImageUrl(Shape, frozen=True):
    """Where a picture is; a ``data:`` URL holds it."""

    url: str
    detail: str | None = None


class ImagePart(Shape, frozen=True, tag_field="type", tag="image_url"):
    """A picture."""

    LOST = CACHE

    image_url: ImageUrl


class FileBody(Shape, frozen=True):
    """A document: a ``data:`` URL, or the id of one that was sent before."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class FilePart(Shape, frozen=True, tag_field="type", tag="file"):
    """A document."""

    LOST = CACHE

    file: FileBody


class AudioPart(Shape, frozen=True, tag_field="type", tag="input_audio"):
    """Sound, which no other format of ours takes."""

    LOST = CACHE

    input_audio: msgspec.Raw


class Function(Shape, frozen=True):
    """Which function is called, and with what."""

    name: str
    arguments: str = "{}"
    parsed_arguments: msgspec.Raw = ABSENT
    """The arguments again, as openai-python has parsed them for its caller."""


class Google(Shape, frozen=True):
    """What Gemini's compatible API adds to a call."""

    thought_signature: str | None = None


class Extra(Shape, frozen=True):
    """Additions by the name of who made them."""

    google: Google | None = None


class Call(Shape, frozen=True):
    """A call of a tool; one that was put together from a stream keeps its number in it."""

    KINDS = frozenset({"function"})
    LOST: ClassVar = {"index": ("label", ())}

    id: str = ""
    type: str = "function"
    function: Function | None = None
    extra_content: Extra | None = None
    index: msgspec.Raw = ABSENT
    """What openai-python leaves in a call that it has put together from a stream; it says no more
    than the order, and comes back with the message."""
    strange: Any = None


class System(Shape, frozen=True, tag_field="role", tag="system"):
    """An instruction."""

    LOST: ClassVar = {"name": ("author", ())}

    content: str | list[TextPart | Strange]


class Developer(System, frozen=True, tag_field="role", tag="developer"):
    """An instruction, by its newer name."""


class User(Shape, frozen=True, tag_field="role", tag="user"):
    """What the user says."""

    LOST: ClassVar = {"name": ("author", ())}

    content: str | list[TextPart | ImagePart | FilePart | AudioPart | Strange]


class Assistant(Shape, frozen=True, tag_field="role", tag="assistant"):
    """What the model said."""

    LOST: ClassVar = {
        "name": ("author", ()),
        "audio": ("audio", ()),
        "function_call": ("tool", ()),
        "annotations": ("citations", ([],)),
    }

    content: str | list[TextPart | RefusalPart | Strange] | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    parsed: msgspec.Raw = ABSENT
    """The content again, as openai-python has parsed it for its caller."""


class ToolMessage(Shape, frozen=True, tag_field="role", tag="tool"):
    """What a tool gave back; some servers take more than text here."""

    tool_call_id: str
    content: str | list[TextPart | ImagePart | FilePart | Strange]


Message = System | Developer | User | Assistant | ToolMessage


class FunctionTool(Shape, frozen=True):
    """A function that may be called."""

    name: str
    description: str | None = None
    parameters: msgspec.Raw = ABSENT
    strict: bool | None = None


class Tool(Shape, frozen=True):
    """A tool that may be called."""

    KINDS = frozenset({"function"})
    LOST = CACHE

    type: str = "function"
    function: FunctionTool | None = None
    strange: Any = None


class Named(Shape, frozen=True):
    """A function by its name."""

    name: str


class NamedTool(Shape, frozen=True):
    """A tool by its name."""

    KINDS = frozenset({"function"})

    type: str = "function"
    function: Named | None = None
    strange: Any = None


class Allowed(Shape, frozen=True):
    """Which tools may be called."""

    mode: str
    tools: list[NamedTool]


class Choice(Shape, frozen=True):
    """Which tool must be called."""

    KINDS = frozenset({"function", "allowed_tools"})

    type: str
    function: Named | None = None
    allowed_tools: Allowed | None = None
    strange: Any = None


class JsonSchema(Shape, frozen=True):
    """What the answer must look like."""

    name: str | None = None
    description: str | None = None
    schema: msgspec.Raw = ABSENT
    strict: bool | None = None


class ResponseFormat(Shape, frozen=True):
    """Of what kind the answer must be."""

    type: str
    json_schema: JsonSchema | None = None


class StreamOptions(Shape, frozen=True):
    """What a stream tells besides its words."""

    LOST: ClassVar = {"include_obfuscation": ("label", (False,))}

    include_usage: bool | None = None


class Request(Shape, frozen=True):
    """A whole request."""

    LOST: ClassVar = {
        "audio": ("audio", ()),
        "function_call": ("tool", ("auto", "none")),
        "functions": ("tool", ([],)),
        "logit_bias": ("sampling", ({},)),
        "logprobs": ("logprobs", (False,)),
        "modalities": ("audio", (["text"],)),
        "moderation": ("metadata", ()),
        "n": ("choices", (1,)),
        "prediction": ("cache_hint", ()),
        "prompt_cache_key": ("cache_hint", ()),
        "prompt_cache_options": ("cache_hint", ()),
        "prompt_cache_retention": ("cache_hint", ()),
        "store": ("state", (False,)),
        "top_logprobs": ("logprobs", (0,)),
        "web_search_options": ("tool", ()),
    }

    model: str
    messages: list[Message]
    frequency_penalty: float | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    metadata: msgspec.Raw = ABSENT
    parallel_tool_calls: bool | None = None
    presence_penalty: float | None = None
    reasoning_effort: str | None = None
    response_format: ResponseFormat | None = None
    safety_identifier: str | None = None
    seed: int | None = None
    service_tier: str | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    tool_choice: str | Choice | None = None
    tools: list[Tool] | None = None
    top_p: float | None = None
    user: str | None = None
    verbosity: str | None = None
