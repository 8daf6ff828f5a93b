"""Reading Gemini's requests, whose fields may be written in either of two ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from callgate.testing.simulator.proto import Content, field, parts_of, snake
from callgate.testing.simulator.request import (
    Asked,
    Problem,
    is_array,
    is_integer,
    is_object,
    json_bytes,
    read_stops,
    texts,
)

MOST_CANDIDATES: Final = 8
ROLES: Final = frozenset({"user", "model", "function"})


def read_contents(body: Mapping[str, object], asked: Asked) -> list[Content]:
    """Read a request into ``asked``, and return its contents.

    Raises:
        Problem: It has none, or they are of the wrong kind.
    """
    contents = _contents(field(body, "contents"))
    config = field(body, "generationConfig")
    asked.output_limit = _count(config, "maxOutputTokens")
    asked.choices = _choices(config)
    asked.schema = _schema(config)
    asked.stops = read_stops(field(config, "stopSequences"))
    users = [_text(content) for content in contents if content.get("role", "user") == "user"]
    asked.text = next((text for text in reversed(users) if text), "")
    last = contents[-1]
    if any(field(part, "functionResponse") is not None for part in parts_of(last)):
        asked.last = "tool"
    else:
        asked.last = "user" if last.get("role", "user") == "user" else "other"
    system = field(body, "systemInstruction")
    asked.input_bytes = (
        sum(map(_content_bytes, contents))
        + (_content_bytes(system) if is_object(system) else 0)
        + json_bytes(field(body, "tools"))
    )
    return contents


def thinks_aloud(body: Mapping[str, object]) -> bool:
    """Say whether a request wants to read the thoughts."""
    config = field(field(body, "generationConfig"), "thinkingConfig")
    return field(config, "includeThoughts") is True


def _contents(given: object) -> list[Content]:
    if not is_array(given) or not given:
        raise Problem(400, "* GenerateContentRequest.contents: contents is not specified\n")
    contents: list[Content] = []
    for n, content in enumerate(given):
        if not is_object(content) or content.get("role", "user") not in ROLES:
            raise Problem(400, "Please use a valid role: user, model.")
        if not parts_of(content):
            shown = f"* GenerateContentRequest.contents[{n}].parts: contents.parts must not be"
            raise Problem(400, f"{shown} empty.\n")
        _refuse_texts_for_objects(content, n)
        contents.append(content)
    return contents


def _refuse_texts_for_objects(content: Content, n: int) -> None:
    """Refuse arguments or a result that is not an object: JSON in a text is none."""
    for index, part in enumerate(parts_of(content)):
        for name, inner in (("functionCall", "args"), ("functionResponse", "response")):
            value = field(field(part, name), inner)
            if value is not None and not is_object(value):
                place = f"contents[{n}].parts[{index}].{snake(name)}.{inner}"
                shown = f"Invalid value at '{place}' (type.googleapis.com/google.protobuf.Struct)"
                raise Problem(400, shown)


def _schema(config: object) -> dict[str, object] | None:
    for name in ("responseJsonSchema", "responseSchema"):
        schema = field(config, name)
        if is_object(schema):
            return schema
    return {} if field(config, "responseMimeType") == "application/json" else None


def _count(config: object, name: str) -> int | None:
    value = field(config, name)
    if value is None:
        return None
    if not is_integer(value) or value < 1:
        shown = f"* GenerateContentRequest.generation_config.{snake(name)}: {snake(name)} must be "
        raise Problem(400, f"{shown}positive.\n")
    return value


def _choices(config: object) -> int:
    count = _count(config, "candidateCount") or 1
    if count > MOST_CANDIDATES:
        shown = "* GenerateContentRequest.generation_config.candidate_count: must be in the range "
        raise Problem(400, f"{shown}[1, {MOST_CANDIDATES}].\n")
    return count


def _text(content: Content) -> str:
    return texts(parts_of(content))


def _content_bytes(content: Content) -> int:
    return sum(map(_part_bytes, parts_of(content)))


def _part_bytes(part: dict[str, object]) -> int:
    """Count a part that a model reads as text; an image or a file is 0."""
    call, result = field(part, "functionCall"), field(part, "functionResponse")
    text = part.get("text")
    return (
        (len(text.encode("utf-8", "surrogatepass")) if isinstance(text, str) else 0)
        + len(str(field(call, "name") or "").encode())
        + json_bytes(field(call, "args"))
        + json_bytes(field(result, "response"))
    )
