"""What a request to generate content looks like.

Source: google-genai 3.6, ``types.py``, and Gemini's API reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import msgspec

from callgate.wire.codec.shapes import ABSENT, Shape

MEDIA: Final[Mapping[str, tuple[str, tuple[object, ...]]]] = {
    "mediaProcessing": ("image_detail", ()),
    "mediaResolution": ("image_detail", ()),
    "partMetadata": ("label", ({},)),
    "videoMetadata": ("audio", ()),
    "executableCode": ("opaque", ()),
    "codeExecutionResult": ("opaque", ()),
    "toolCall": ("opaque", ()),
    "toolResponse": ("opaque", ()),
}


class Blob(Shape, frozen=True, rename="camel"):
    """Bytes of a picture or document."""

    mime_type: str
    data: str
    display_name: str | None = None


class FileData(Shape, frozen=True, rename="camel"):
    """A picture or document that was sent before."""

    file_uri: str
    mime_type: str | None = None
    display_name: str | None = None


class FunctionCall(Shape, frozen=True, rename="camel"):
    """A call of a tool."""

    LOST: ClassVar = {"willContinue": ("arguments", (False,)), "partialArgs": ("arguments", ([],))}

    name: str
    id: str | None = None
    args: msgspec.Raw = ABSENT


class ResponsePart(Shape, frozen=True, rename="camel"):
    """A picture or document that a tool gave back."""

    LOST = MEDIA

    inline_data: Blob | None = None
    file_data: FileData | None = None


class FunctionResponse(Shape, frozen=True, rename="camel"):
    """What a tool gave back."""

    LOST: ClassVar = {"willContinue": ("arguments", (False,)), "scheduling": ("state", ())}

    name: str
    id: str | None = None
    response: msgspec.Raw = ABSENT
    parts: list[ResponsePart] | None = None


class Part(Shape, frozen=True, rename="camel"):
    """A part of a content, whose kind is that of the field that it has."""

    LOST = MEDIA

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None


class Content(Shape, frozen=True, rename="camel"):
    """What one side says."""

    parts: list[Part] | None = None
    role: str | None = None


class Declaration(Shape, frozen=True, rename="camel"):
    """A function that may be called."""

    LOST: ClassVar = {
        "behavior": ("tool", ("BLOCKING", "UNSPECIFIED")),
        "response": ("label", ()),
        "responseJsonSchema": ("label", ()),
    }

    name: str
    description: str | None = None
    parameters: msgspec.Raw = ABSENT
    parameters_json_schema: msgspec.Raw = ABSENT


SERVER_TOOLS: Final = (
    "codeExecution",
    "computerUse",
    "enterpriseWebSearch",
    "exaAiSearch",
    "fileSearch",
    "googleMaps",
    "googleSearch",
    "googleSearchRetrieval",
    "mcpServers",
    "parallelAiSearch",
    "retrieval",
    "urlContext",
)


class Tool(Shape, frozen=True, rename="camel"):
    """Tools that may be called."""

    LOST: ClassVar = dict.fromkeys(SERVER_TOOLS, ("tool", ()))

    function_declarations: list[Declaration] | None = None


class CallingConfig(Shape, frozen=True, rename="camel"):
    """Which tool must be called."""

    LOST: ClassVar = {"streamFunctionCallArguments": ("label", ())}

    mode: str | None = None
    allowed_function_names: list[str] | None = None


class ToolConfig(Shape, frozen=True, rename="camel"):
    """How tools are called."""

    LOST: ClassVar = {
        "retrievalConfig": ("tool", ()),
        "includeServerSideToolInvocations": ("tool", (False,)),
    }

    function_calling_config: CallingConfig | None = None


class ThinkingConfig(Shape, frozen=True, rename="camel"):
    """How the model should think."""

    LOST: ClassVar = {"includeThoughts": ("thinking_view", (False,))}

    thinking_budget: int | None = None
    thinking_level: str | None = None


class GenerationConfig(Shape, frozen=True, rename="camel"):
    """How to answer."""

    LOST: ClassVar = {
        "audioTimestamp": ("audio", (False,)),
        "candidateCount": ("choices", (1,)),
        "enableAffectiveDialog": ("audio", (False,)),
        "logprobs": ("logprobs", (0,)),
        "mediaResolution": ("image_detail", ()),
        "responseLogprobs": ("logprobs", (False,)),
        "responseModalities": ("audio", (["TEXT"], ["text"])),
        "speechConfig": ("audio", ()),
    }

    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    max_output_tokens: int | None = None
    stop_sequences: list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_mime_type: str | None = None
    response_schema: msgspec.Raw = ABSENT
    response_json_schema: msgspec.Raw = ABSENT
    thinking_config: ThinkingConfig | None = None


class Request(Shape, frozen=True, rename="camel"):
    """A whole request."""

    LOST: ClassVar = {
        "cachedContent": ("state", ()),
        "labels": ("metadata", ({},)),
        "safetySettings": ("safety", ([],)),
        "store": ("state", (False,)),
    }

    contents: list[Content]
    system_instruction: Content | None = None
    tools: list[Tool] | None = None
    tool_config: ToolConfig | None = None
    generation_config: GenerationConfig | None = None
    service_tier: str | None = None
