"""What Gemini refuses: unknown fields down to the schemas of tools, and broken tool loops."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from callgate.testing.simulator.proto import Content, field, parts_of, snake
from callgate.testing.simulator.request import Asked, Problem, is_array, is_object

BYPASSES: Final = frozenset(
    {"skip_thought_signature_validator", "context_engineering_is_the_way_to_go"}
)
"""Source: the guide on thought signatures: for calls that no model made."""
UNSIGNED: Final = re.compile(r"(models/)?gemini-(1|2)\b.*")
"""Models from before signatures were required."""
TOOL_NAME: Final = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}$")

REQUEST: Final = frozenset(
    {
        "model", "contents", "systemInstruction", "tools", "toolConfig", "safetySettings",
        "generationConfig", "cachedContent", "serviceTier", "store", "labels",
    }
)  # fmt: skip
CONFIG: Final = frozenset(
    {
        "stopSequences", "responseMimeType", "responseSchema", "responseJsonSchema",
        "responseModalities", "candidateCount", "maxOutputTokens", "temperature", "topP", "topK",
        "seed", "presencePenalty", "frequencyPenalty", "responseLogprobs", "logprobs",
        "enableEnhancedCivicAnswers", "speechConfig", "thinkingConfig", "imageConfig",
        "mediaResolution", "audioTranscriptionConfig", "modelSelectionConfig", "responseFormat",
        "translationConfig",
    }
)  # fmt: skip
CONTENT: Final = frozenset({"role", "parts"})
PART: Final = frozenset(
    {
        "text", "thought", "thoughtSignature", "inlineData", "fileData", "functionCall",
        "functionResponse", "executableCode", "codeExecutionResult", "videoMetadata",
        "mediaResolution", "toolCall", "toolResponse", "partMetadata", "audioTranscription",
        "mediaProcessing", "speechMetadata", "documentMetadata", "spreadsheetMetadata",
        "audioMetadata",
    }
)  # fmt: skip
CALL: Final = frozenset({"id", "name", "args"})
RESULT: Final = frozenset({"id", "name", "response", "willContinue", "scheduling", "parts"})
TOOL: Final = frozenset(
    {
        "functionDeclarations", "googleSearch", "googleSearchRetrieval", "codeExecution",
        "urlContext", "computerUse", "fileSearch", "googleMaps", "mcpServers",
    }
)  # fmt: skip
DECLARATION: Final = frozenset(
    {
        "name", "description", "parameters", "parametersJsonSchema", "response",
        "responseJsonSchema", "behavior",
    }
)  # fmt: skip
SCHEMA: Final = frozenset(
    {
        "type", "format", "title", "description", "nullable", "enum", "maxItems", "minItems",
        "properties", "required", "minProperties", "maxProperties", "minLength", "maxLength",
        "pattern", "example", "anyOf", "propertyOrdering", "default", "items", "minimum",
        "maximum",
    }
)  # fmt: skip
"""Source: the types of the google-genai package 3.6.1, and for schemas the API's reference: what
JSON Schema has besides, such as ``$schema`` or ``additionalProperties``, is an unknown name."""

Flaw = tuple[str, str]
"""Where, and what is wrong there."""


def refuse_unknown_fields(body: Mapping[str, object]) -> None:
    """Refuse every name that the API does not know, all of them at once as it does.

    Raises:
        Problem: There is one.
    """
    flaws = list(_flaws(body))
    if flaws:
        violations = [{"field": place, "description": shown} for place, shown in flaws]
        bad = {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": violations,
        }
        raise Problem(400, "\n".join(shown for _, shown in flaws), details=[bad])


def _flaws(body: Mapping[str, object]) -> Iterator[Flaw]:
    yield from _unknown(body, REQUEST, "")
    config = field(body, "generationConfig")
    yield from _unknown(config, CONFIG, "generation_config")
    yield from _schema(field(config, "responseSchema"), "generation_config.response_schema")
    for n, content in _each(field(body, "contents")):
        yield from _content(content, f"contents[{n}]")
    yield from _content(field(body, "systemInstruction"), "system_instruction")
    for n, tool in _each(field(body, "tools")):
        yield from _tool(tool, f"tools[{n}]")


def _content(content: object, place: str) -> Iterator[Flaw]:
    yield from _unknown(content, CONTENT, place)
    for n, part in _each(field(content, "parts")):
        inner = f"{place}.parts[{n}]"
        yield from _unknown(part, PART, inner)
        yield from _unknown(field(part, "functionCall"), CALL, f"{inner}.function_call")
        yield from _unknown(field(part, "functionResponse"), RESULT, f"{inner}.function_response")


def _tool(tool: object, place: str) -> Iterator[Flaw]:
    yield from _unknown(tool, TOOL, place)
    for n, declared in _each(field(tool, "functionDeclarations")):
        inner = f"{place}.function_declarations[{n}]"
        yield from _unknown(declared, DECLARATION, inner)
        yield from _schema(field(declared, "parameters"), f"{inner}.parameters")
        yield from _schema(field(declared, "response"), f"{inner}.response")


def _schema(schema: object, place: str) -> Iterator[Flaw]:
    if not is_object(schema):
        return
    yield from _unknown(schema, SCHEMA, place)
    if is_array(field(schema, "type")):
        shown = f"Invalid JSON payload received. Unknown name \"type\" at '{place}': Proto field is"
        yield place, f"{shown} not repeating, cannot start list."
    properties = field(schema, "properties")
    for n, inner in enumerate(properties.values() if is_object(properties) else ()):
        yield from _schema(inner, f"{place}.properties[{n}].value")
    yield from _schema(field(schema, "items"), f"{place}.items")
    for n, inner in _each(field(schema, "anyOf")):
        yield from _schema(inner, f"{place}.any_of[{n}]")


def _unknown(value: object, known: frozenset[str], place: str) -> Iterator[Flaw]:
    if not is_object(value):
        return
    for name in value:
        if name not in known and name not in {snake(one) for one in known}:
            at = f" at '{place}'" if place else ""
            shown = f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.'
            yield place, shown


def _each(value: object) -> Iterator[tuple[int, object]]:
    yield from enumerate(value if is_array(value) else ())


def refuse_broken_contents(
    body: Mapping[str, object], contents: Sequence[Content], asked: Asked
) -> None:
    """Refuse functions that cannot be called, results without their calls, and lost signatures.

    Raises:
        Problem: There is one; the first is told.
    """
    for n, tool in _each(field(body, "tools")):
        for index, declared in _each(field(tool, "functionDeclarations")):
            _refuse_declaration(declared, f"tools[{n}].function_declarations[{index}]")
    turns = _turns(contents)
    _refuse_unpaired(turns)
    _refuse_foreign_signatures(turns, asked)
    if not UNSIGNED.fullmatch(asked.model):
        _refuse_unsigned(turns)


def _turns(contents: Sequence[Content]) -> list[Content]:
    """Return the turns: contents of one side in a row, as the SDK's chats leave a stream, are one."""
    turns: list[Content] = []
    for content in contents:
        role = content.get("role", "user")
        parts: list[object] = list(parts_of(content))
        if turns and turns[-1]["role"] == role:
            turns[-1] = {"role": role, "parts": [*parts_of(turns[-1]), *parts]}
        else:
            turns.append({"role": role, "parts": parts})
    return turns


def _refuse_declaration(declared: object, place: str) -> None:
    if not TOOL_NAME.match(str(field(declared, "name"))):
        shown = (
            f"* GenerateContentRequest.{place}.name: Invalid function name. Must start with a "
            "letter or an underscore. Must be alphanumeric (a-z, A-Z, 0-9), underscores (_), dots "
            "(.), colons (:), or dashes (-), with a maximum length of 128.\n"
        )
        raise Problem(400, shown)
    parameters = field(declared, "parameters")
    if str(field(parameters, "type")).upper() == "OBJECT" and not field(parameters, "properties"):
        shown = f"* GenerateContentRequest.{place}.parameters.properties: should be non-empty for"
        raise Problem(400, f"{shown} OBJECT type\n")


def _refuse_unpaired(contents: Sequence[Content]) -> None:
    waiting = 0
    for content in contents:
        results = _count(content, "functionResponse")
        if results != waiting and (results or waiting):
            shown = (
                "Please ensure that the number of function response parts is equal to the number "
                "of function call parts of the function call turn."
            )
            raise Problem(400, shown)
        waiting = _count(content, "functionCall") if content.get("role") == "model" else 0
    if waiting:
        shown = "Please ensure that function call turn is followed by a function response turn."
        raise Problem(400, shown)


def _count(content: Content, name: str) -> int:
    return sum(field(part, name) is not None for part in parts_of(content))


def _refuse_foreign_signatures(contents: Sequence[Content], asked: Asked) -> None:
    for content in contents:
        for part in parts_of(content):
            signature = field(part, "thoughtSignature")
            if signature is None or signature in BYPASSES:
                continue
            if not asked.seals.knows(signature, "thought"):
                raise Problem(400, "Corrupted thought signature.")


def _refuse_unsigned(contents: Sequence[Content]) -> None:
    """Refuse a function call of the current turn whose first call comes back unsigned."""
    begins = [n for n, content in enumerate(contents) if _begins_turn(content)]
    start = begins[-1] if begins else 0
    for n, content in enumerate(contents[start:], start):
        calls = [part for part in parts_of(content) if field(part, "functionCall") is not None]
        if content.get("role") == "model" and calls and not field(calls[0], "thoughtSignature"):
            name = field(field(calls[0], "functionCall"), "name")
            shown = (
                "Function call is missing a thought_signature in functionCall parts. This is "
                "required for tools to work correctly, and missing thought_signature may lead to "
                f"degraded model performance. Additional data, function call `default_api:{name}` "
                f", position {n + 1}. Please refer to "
                "https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
            )
            raise Problem(400, shown)


def _begins_turn(content: Content) -> bool:
    return content.get("role", "user") == "user" and not _count(content, "functionResponse")
