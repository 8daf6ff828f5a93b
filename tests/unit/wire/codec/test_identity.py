"""What a format can hold comes back from it as it was; every difference is in the list of losses."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callgate.call import Usage
from callgate.wire.codec import Home, Origin
from callgate.wire.codec.canonical import (
    Completion,
    File,
    Image,
    Minter,
    Mode,
    Params,
    Part,
    Prompt,
    Reasoning,
    Refusal,
    Shape,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)
from callgate.wire.codec.translate import CODECS
from tests.unit.wire.codec.translating import (
    AWAY,
    CHAT,
    CLIENT,
    FORMATS,
    GEMINI,
    MESSAGES,
    RESPONSES,
    TO_AWAY,
)

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda text: bool(text.strip())
)
NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
IDS = NAMES.filter(lambda name: not name.startswith("cg-"))
BASE64 = st.sampled_from(["iVBORw0KGgo=", "AAAA", "JVBERi0x"])
ARGUMENTS = st.dictionaries(WORDS, st.integers() | WORDS | st.none(), max_size=2).map(
    lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False)
)
SCHEMA = msgspec.Raw(
    b'{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],'
    b'"additionalProperties":false}'
)
TEXTS = st.builds(Text, text=WORDS)
IMAGES = st.builds(Image, media_type=st.sampled_from(["image/png", "image/jpeg"]), data=BASE64)
FILES = st.builds(File, media_type=st.just("application/pdf"), data=BASE64)
LINKS = st.builds(Image, url=NAMES.map(lambda name: f"https://x/{name}.png"))

HOLDS_LINKS = {CHAT, MESSAGES, RESPONSES}
HOLDS_TOOL_IMAGES = {MESSAGES, RESPONSES, GEMINI}
HOLDS_THOUGHTS = {MESSAGES, RESPONSES, GEMINI}


def asked(format: str) -> st.SearchStrategy[tuple[Part, ...]]:
    """Draw what a user says."""
    kinds: list[st.SearchStrategy[Part]] = [TEXTS, IMAGES, FILES]
    if format in HOLDS_LINKS:
        kinds.append(LINKS)
    some = st.lists(st.one_of(kinds), min_size=1, max_size=3)
    return some.map(_tuple)


def _tuple(parts: list[Part]) -> tuple[Part, ...]:
    return tuple(parts)


def thoughts(format: str) -> st.SearchStrategy[list[Thinking]]:
    """Draw what a model thought, signed by whoever gets the request."""
    if format not in HOLDS_THOUGHTS:
        return st.just([])
    thought = st.builds(Thinking, text=WORDS, signature=NAMES, minted_by=st.just(AWAY))
    return st.lists(thought, max_size=1)


@st.composite
def rounds(draw: st.DrawFn, format: str) -> list[Turn]:
    """Draw a question, calls of tools, their results, and an answer."""
    ids = draw(st.lists(IDS, min_size=1, max_size=3, unique=True))
    uses = [
        ToolUse(id=id, name=draw(NAMES), arguments=draw(ARGUMENTS), minted_by=AWAY) for id in ids
    ]
    shown: st.SearchStrategy[Text | Image] = TEXTS
    if format in HOLDS_TOOL_IMAGES:
        shown = TEXTS | IMAGES
    results = [
        ToolResult(
            use_id=use.id,
            name=use.name,
            parts=tuple(draw(st.lists(shown, min_size=1, max_size=2))),
            is_error=draw(st.booleans()),
        )
        for use in uses
    ]
    if format == GEMINI:
        # Words come before pictures, as they stand in different fields.
        results = [_words_first(result) for result in results]
    said: list[Part] = [*draw(thoughts(format)), *draw(st.lists(TEXTS, max_size=1)), *uses]
    return [
        Turn(role="user", parts=draw(asked(format))),
        Turn(role="assistant", parts=tuple(said)),
        Turn(role="user", parts=tuple(results)),
        Turn(role="assistant", parts=(draw(TEXTS),)),
    ]


def _words_first(result: ToolResult) -> ToolResult:
    words = [part for part in result.parts if isinstance(part, Text)]
    others = [part for part in result.parts if not isinstance(part, Text)]
    return msgspec.structs.replace(result, parts=(*words, *others))


@st.composite
def params(draw: st.DrawFn, format: str) -> Params:
    """Draw how to answer, as far as a format can say it."""
    modes: list[Mode] = ["auto", "none", "required"]
    mode = draw(st.sampled_from(modes))
    effort = draw(st.sampled_from(["low", "medium", "high", None]))
    told: dict[str, Any] = {
        "output_tokens": draw(st.integers(16, 10_000)),
        "temperature": draw(st.sampled_from([0.0, 0.5, 1.0])),
        "top_p": draw(st.sampled_from([0.25, 1.0, None])),
        "tool_choice": ToolChoice(mode=mode),
        "reasoning": None if effort is None else Reasoning(effort=effort),
        "shape": draw(st.sampled_from([None, Shape(schema=SCHEMA, strict=True)])),
    }
    if format != RESPONSES:
        told["stop"] = tuple(draw(st.lists(WORDS, max_size=3)))
    if format != GEMINI:
        told["user"] = draw(st.none() | NAMES)
    if format in {CHAT, GEMINI}:
        told["seed"] = draw(st.none() | st.integers(0, 99))
    if format in {CHAT, RESPONSES}:
        told["parallel"] = draw(st.sampled_from([True, False, None]))
        told["verbosity"] = draw(st.sampled_from(["low", None]))
    if format in {CHAT, RESPONSES} and told["shape"] is not None:
        told["shape"] = Shape(schema=SCHEMA, strict=True, name=draw(NAMES))
    return Params(**told)


@st.composite
def prompts(draw: st.DrawFn, format: str) -> Prompt:
    """Draw a prompt that a format can hold whole."""
    turns = [turn for _ in range(draw(st.integers(1, 2))) for turn in draw(rounds(format))]
    strict = draw(st.booleans()) if format == RESPONSES else None
    tool = Tool(name=draw(NAMES), description=draw(WORDS), parameters=SCHEMA, strict=strict)
    return Prompt(
        model=TO_AWAY.model,
        system=tuple(draw(st.lists(TEXTS, max_size=2))),
        turns=(*turns, Turn(role="user", parts=(draw(TEXTS),))),
        tools=(tool,),
        params=draw(params(format)),
        stream=draw(st.booleans()),
    )


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=40)
@given(data=st.data())
def test_a_request_that_a_format_can_hold_comes_back_as_it_was(
    format: str, data: st.DataObject
) -> None:
    prompt = data.draw(prompts(format))
    codec = CODECS[format]
    written = codec.write_request(prompt, TO_AWAY)
    home = Home(minter=AWAY, model=TO_AWAY.model, stream=prompt.stream)
    read = codec.read_request(written.body, home)
    assert written.losses == ()
    assert [loss.name for loss in read.losses] == []
    # Two fields are of a client alone: what a reply repeats, and the wish for usage.
    assert msgspec.structs.replace(read, echo={}, wants_usage=True) == prompt


@st.composite
def completions(draw: st.DrawFn, format: str) -> Completion:
    """Draw a reply that a format can hold whole."""
    ids = draw(st.lists(IDS, max_size=2, unique=True))
    parts: list[Part] = [*draw(thoughts(format)), draw(TEXTS)]
    parts += [
        ToolUse(id=id, name=draw(NAMES), arguments=draw(ARGUMENTS), minted_by=AWAY) for id in ids
    ]
    if format in {CHAT, RESPONSES} and not ids and draw(st.booleans()):
        parts.append(Refusal(text=draw(WORDS)))
    refused = isinstance(parts[-1], Refusal)
    finish: Any = "tool_calls" if ids else "refusal" if refused else "stop"
    counts = st.integers(0, 1000)
    usage = Usage(
        input_tokens=draw(counts),
        cache_read_tokens=draw(counts),
        cache_write_tokens=0 if format == GEMINI else draw(counts),
        output_tokens=draw(counts),
        reasoning_tokens=draw(counts),
    )
    return Completion(
        id=f"resp_{CLIENT.seed}" if format == RESPONSES else draw(NAMES),
        model=draw(NAMES),
        parts=tuple(parts),
        finish=finish,
        usage=usage,
    )


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=40)
@given(data=st.data())
def test_a_reply_that_a_format_can_hold_comes_back_as_it_was(
    format: str, data: st.DataObject
) -> None:
    completion = data.draw(completions(format))
    codec = CODECS[format]
    client = msgspec.structs.replace(CLIENT, minter=AWAY)
    written = codec.write_reply(completion, client)
    assert written.losses == ()
    assert codec.read_reply(written.body, Origin(minter=AWAY, seed="s")) == completion


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
@settings(max_examples=40)
@given(data=st.data())
def test_what_differs_in_another_format_is_in_the_list(
    source: str, target: str, data: st.DataObject
) -> None:
    prompt = data.draw(prompts(source))
    codec = CODECS[target]
    other = Minter(provider="third", account="key-3")
    to = msgspec.structs.replace(TO_AWAY, minter=other)
    written = codec.write_request(prompt, to)
    home = Home(minter=other, model=to.model, stream=prompt.stream)
    read = codec.read_request(written.body, home)
    if not written.losses:
        assert words_of(read) == words_of(prompt)
        assert settings_of(read) == settings_of(prompt)


def words_of(prompt: Prompt) -> list[Any]:
    """Return all that is said in a prompt, apart from who made it and how it is cut into turns."""
    found: list[Any] = [("system", part.text) for part in prompt.system]
    for turn in prompt.turns:
        for part in turn.parts:
            unsigned: Any = part
            if isinstance(part, ToolUse):
                unsigned = msgspec.structs.replace(part, minted_by=None)
            found.append((turn.role, unsigned))
    return found


def settings_of(prompt: Prompt) -> list[Any]:
    """Return how a prompt is to be answered."""
    shape = prompt.params.shape
    schema = None if shape is None or shape.schema is None else bytes(shape.schema)
    # What is usual need not be said, and no calls are never parallel.
    choice = prompt.params.tool_choice
    usual = prompt.params.parallel or (choice is not None and choice.mode == "none")
    parallel = None if usual else prompt.params.parallel
    plain = msgspec.structs.replace(prompt.params, shape=None, parallel=parallel)
    tools = [(tool.name, tool.description) for tool in prompt.tools]
    return [plain, schema, tools, prompt.stream]
