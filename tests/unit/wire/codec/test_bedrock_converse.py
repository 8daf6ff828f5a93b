"""Requests for Bedrock, against AWS's own model of them, and what of its replies no other has."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, Final

import msgspec
import pytest
from botocore.session import Session
from botocore.validate import ParamValidator

from callgate.call import Usage
from callgate.errors import BrokenReply, CallgateError, Malformed, RateLimited, Transient
from callgate.testing.simulator.formats.event_frames import event_frame, exception_frame, frame
from callgate.wire.codec.canonical import (
    Broke,
    Delta,
    Dropped,
    File,
    Finished,
    Image,
    Params,
    PartBegan,
    Prompt,
    Reasoning,
    Shape,
    Signed,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)
from callgate.wire.codec.translate import UPSTREAMS
from tests.unit.wire.codec.golden import REQUESTS
from tests.unit.wire.codec.test_conversations import QUESTIONS, go_on
from tests.unit.wire.codec.translating import (
    AWAY,
    BEDROCK,
    FORMATS,
    FROM_AWAY,
    HOME,
    MESSAGES,
    TO_AWAY,
    Put,
    events_of,
    put,
    put_reply,
)
from tests.unit.wire.codec.upstreams import REPLIES, converse_stream

CLAUDE: Final = "eu.anthropic.claude-sonnet-5-v1:0"
NOVA: Final = "amazon.nova-pro-v1:0"
ASKED: Final = Turn(role="user", parts=(Text(text="hi"),))
SCHEMA: Final = msgspec.Raw(b'{"type":"object"}')
SUN: Final = Tool(name="sun", parameters=SCHEMA)
CALLED: Final = Turn(role="assistant", parts=(ToolUse(id="a", name="sun", arguments="{}"),))
ANSWERED: Final = Turn(
    role="user", parts=(ToolResult(use_id="a", name="sun", parts=(Text(text="7"),)),)
)
_MODEL: Any = Session().get_service_model("bedrock-runtime")
INPUT: Final = _MODEL.operation_model("ConverseStream").input_shape


def refused_by_aws(page: dict[str, Any], model: str = CLAUDE) -> str:
    """Return what AWS's own client finds wrong with a request; nothing if it finds nothing."""
    report: Any = ParamValidator().validate({"modelId": model, **page}, INPUT)
    return str(report.generate_report())


def write(prompt: Prompt, model: str = CLAUDE, **changes: Any) -> Put:
    """Write a prompt, which AWS's own client must find nothing wrong with."""
    to = msgspec.structs.replace(TO_AWAY, model=model, **changes)
    written = UPSTREAMS[BEDROCK].write_request(prompt, to)
    page = json.loads(written.body)
    assert not refused_by_aws(page, model)
    return Put(page=page, losses=written.losses)


def asked(*parts: Any, model: str = CLAUDE, **params: Any) -> Put:
    """Write one turn of the user."""
    turn = Turn(role="user", parts=parts) if parts else ASKED
    return write(Prompt(model="m", turns=(turn,), params=Params(**params)), model)


@pytest.mark.parametrize("model", [CLAUDE, NOVA])
@pytest.mark.parametrize("source", FORMATS)
def test_aws_finds_nothing_wrong_with_a_rich_request(source: str, model: str) -> None:
    got = put(REQUESTS[source], source, BEDROCK, model=model)
    assert not refused_by_aws(got.page, model)
    assert got.page["messages"][0]["role"] == "user"


@pytest.mark.parametrize("client", FORMATS)
def test_three_more_turns_lose_nothing_and_pair_every_call(client: str) -> None:
    request = QUESTIONS[client]
    for turn in range(3):
        reply = json.loads(json.dumps(REPLIES[BEDROCK]).replace('"a"', f'"a{turn}"'))
        request = go_on(request, put_reply(reply, BEDROCK, client).page, client)
        got = put(request, client, BEDROCK, model=CLAUDE)
        blocks = [block for each in got.page["messages"] for block in each["content"]]
        uses = [block["toolUse"]["toolUseId"] for block in blocks if "toolUse" in block]
        results = [block["toolResult"]["toolUseId"] for block in blocks if "toolResult" in block]
        assert (got.lost, uses) == ([], results)
        assert f"a{turn}" in uses


def test_ids_that_bedrock_refuses_become_others() -> None:
    parts = (ToolUse(id="functions.sun:0", name="sun"), ToolUse(id="x" * 65, name="sun"))
    turns = (ASKED, Turn(role="assistant", parts=parts))
    got = write(Prompt(model="m", turns=turns, tools=(SUN,)))
    ids = [block["toolUse"]["toolUseId"] for block in got.page["messages"][1]["content"]]
    assert all(len(id) <= 64 and id.replace("-", "").replace("_", "").isalnum() for id in ids)


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (Image(media_type="image/png", data="AA=="), {"image": {"format": "png"}}),
        (Image(media_type="image/webp", url="s3://a/b.webp"), {"image": {"format": "webp"}}),
        (File(media_type="application/pdf", data="AA=="), {"document": {"name": "document"}}),
        (File(text="words", name="notes.txt"), {"document": {"name": "notes"}}),
        (
            File(media_type="text/csv", data="AA==", name="a (1).csv"),
            {"document": {"name": "a (1)"}},
        ),
    ],
)
def test_images_and_documents_go_over_whole(part: Any, block: dict[str, Any]) -> None:
    got = asked(Text(text="See:"), part)
    told = got.page["messages"][0]["content"][1]
    ((kind, inner),) = block.items()
    assert inner.items() <= told[kind].items()
    assert (got.lost, bool(told[kind]["source"])) == ([], True)


@pytest.mark.parametrize(
    ("part", "lost"),
    [
        (Image(url="https://x/y.png", media_type="image/png"), ["image"]),
        (Image(media_type="image/bmp", data="AA=="), ["image"]),
        (Image(media_type="image/png", data="AA==", detail="low"), ["image_detail"]),
        (File(file_id="f", minted_by=AWAY), ["document"]),
        (File(media_type="application/zip", data="AA=="), ["document"]),
        (File(media_type="application/pdf", data="AA==", name="Über.pdf"), ["document"]),
        (Thinking(text="hm", signature="s", minted_by=HOME), ["thinking"]),
        (Thinking(text="hm", minted_by=AWAY), ["thinking"]),
    ],
)
def test_what_bedrock_cannot_hold_is_a_loss(part: Any, lost: list[str]) -> None:
    assert asked(Text(text="See:"), part).lost == lost


def test_two_documents_of_one_name_get_two() -> None:
    twice = [File(media_type="application/pdf", data="AA==", name="a.pdf") for _ in range(2)]
    got = asked(Text(text="See:"), *twice)
    names = [block["document"]["name"] for block in got.page["messages"][0]["content"][1:]]
    assert names == ["a", "a 2"]


def test_a_document_without_a_word_beside_it_is_a_loss() -> None:
    assert asked(File(media_type="application/pdf", data="AA==")).lost == ["document"]


def test_its_own_thoughts_go_back_signed_and_hidden_ones_as_they_were() -> None:
    thoughts = (
        Thinking(text="hm", signature="s", minted_by=AWAY),
        Thinking(text="", signature="ZW5j", is_redacted=True, minted_by=AWAY),
    )
    got = write(Prompt(model="m", turns=(ASKED, Turn(role="assistant", parts=thoughts), ASKED)))
    told = [block["reasoningContent"] for block in got.page["messages"][1]["content"]]
    signed = {"reasoningText": {"text": "hm", "signature": "s"}}
    assert (told, got.lost) == ([signed, {"redactedContent": "ZW5j"}], [])


@pytest.mark.parametrize(
    ("choice", "told", "lost"),
    [
        (None, None, []),
        (ToolChoice(mode="auto"), {"auto": {}}, []),
        (ToolChoice(mode="required"), {"any": {}}, []),
        (ToolChoice(mode="required", names=("sun",)), {"tool": {"name": "sun"}}, []),
        (ToolChoice(mode="auto", names=("sun",)), {"auto": {}}, ["tool_choice"]),
        (ToolChoice(mode="none"), {"auto": {}}, ["tool_choice"]),
    ],
)
def test_which_tool_must_be_called_goes_over(
    choice: ToolChoice | None, told: dict[str, Any] | None, lost: list[str]
) -> None:
    turns = (ASKED, CALLED, ANSWERED)
    params = Params(tool_choice=choice)
    got = write(Prompt(model="m", turns=turns, tools=(SUN,), params=params))
    assert (got.page["toolConfig"].get("toolChoice"), got.lost) == (told, lost)


def test_tools_that_must_not_be_called_are_not_told_while_none_was() -> None:
    params = Params(tool_choice=ToolChoice(mode="none"))
    got = write(Prompt(model="m", turns=(ASKED,), tools=(SUN,), params=params))
    assert ("toolConfig" in got.page, got.lost) == (False, [])


def test_a_marker_of_a_cache_stands_after_its_part_where_claude_serves() -> None:
    mark = msgspec.Raw(b'{"type":"ephemeral","ttl":"1h"}')
    system, tool = (Text(text="Be brief.", cache=mark),), Tool(name="sun", cache=mark)
    prompt = Prompt(model="m", system=system, turns=(ASKED,), tools=(tool,))
    point = {"cachePoint": {"type": "default", "ttl": "1h"}}
    claude, nova = write(prompt), write(prompt, NOVA)
    assert claude.page["system"] == [{"text": "Be brief."}, point]
    assert claude.page["toolConfig"]["tools"][1] == point
    assert (nova.page["system"], nova.lost) == ([{"text": "Be brief."}], ["cache_hint"] * 2)


def test_instructions_in_between_stand_there_or_are_a_loss_where_a_model_takes_none() -> None:
    turns = (ASKED, Turn(role="developer", parts=(Text(text="In French."),)))
    prompt = Prompt(model="m", turns=turns)
    assert [each["role"] for each in write(prompt).page["messages"]] == ["user", "system"]
    hoisted = write(prompt, lacks=frozenset({"system_turns"}))
    assert (hoisted.page["system"], hoisted.lost) == ([{"text": "In French."}], ["place"])


@pytest.mark.parametrize(
    ("params", "field", "value"),
    [
        ({"output_tokens": 5}, "inferenceConfig", {"maxTokens": 5}),
        ({"temperature": 0.5, "top_p": 0.9}, "inferenceConfig", {"temperature": 0.5, "topP": 0.9}),
        ({"stop": ("END",)}, "inferenceConfig", {"stopSequences": ["END"]}),
        ({"top_k": 5}, "additionalModelRequestFields", {"top_k": 5}),
        ({"service_tier": "flex"}, "serviceTier", {"type": "flex"}),
        ({"user": "u-1"}, "requestMetadata", {"user": "u-1"}),
        ({"metadata": msgspec.Raw(b'{"team":"blue"}')}, "requestMetadata", {"team": "blue"}),
        ({"reasoning": Reasoning(effort="high")}, "outputConfig", {"effort": "high"}),
        (
            {"reasoning": Reasoning(budget_tokens=2_000), "output_tokens": 4_000},
            "additionalModelRequestFields",
            {"thinking": {"type": "enabled", "budget_tokens": 2_000}},
        ),
        (
            {"reasoning": Reasoning(effort="none")},
            "additionalModelRequestFields",
            {"thinking": {"type": "disabled"}},
        ),
        (
            {"reasoning": Reasoning(is_adaptive=True)},
            "additionalModelRequestFields",
            {"thinking": {"type": "adaptive"}},
        ),
    ],
)
def test_how_to_answer_goes_over(params: dict[str, Any], field: str, value: Any) -> None:
    got = asked(**params)
    assert value.items() <= got.page[field].items()
    assert got.lost == []


def test_a_schema_goes_over_as_a_text() -> None:
    shape = Shape(schema=SCHEMA, name="place", description="A place.", strict=True)
    format = asked(shape=shape).page["outputConfig"]["textFormat"]
    told = {"schema": '{"type":"object"}', "name": "place", "description": "A place."}
    assert format == {"type": "json_schema", "structure": {"jsonSchema": told}}


@pytest.mark.parametrize(
    ("model", "params", "lost"),
    [
        (CLAUDE, {"temperature": 1.5}, ["sampling"]),
        (CLAUDE, {"seed": 7}, ["sampling"]),
        (NOVA, {"top_k": 5}, ["sampling"]),
        (CLAUDE, {"stop": (" ",)}, ["stop"]),
        (CLAUDE, {"service_tier": "batch"}, ["service_tier"]),
        (CLAUDE, {"user": "Zoë"}, ["metadata"]),
        (CLAUDE, {"metadata": msgspec.Raw(b"[1]")}, ["metadata"]),
        (
            CLAUDE,
            {"metadata": msgspec.Raw(json.dumps({f"k{n}": "v" for n in range(17)}).encode())},
            ["metadata"],
        ),
        (CLAUDE, {"parallel": False}, ["parallel"]),
        (CLAUDE, {"shape": Shape()}, ["json_mode"]),
        (NOVA, {"reasoning": Reasoning(budget_tokens=2_000)}, ["effort"]),
        (NOVA, {"reasoning": Reasoning(effort="none")}, ["effort"]),
        (NOVA, {"reasoning": Reasoning(is_adaptive=True)}, ["effort"]),
        (CLAUDE, {"reasoning": Reasoning(budget_tokens=100), "output_tokens": 9_000}, ["effort"]),
        (CLAUDE, {"reasoning": Reasoning(budget_tokens=2_000), "output_tokens": 50}, ["effort"]),
        (
            CLAUDE,
            {"reasoning": Reasoning(is_adaptive=True), "temperature": 0.5, "top_k": 3},
            ["sampling"],
        ),
    ],
)
def test_a_wish_that_does_not_go_over_is_a_loss(
    model: str, params: dict[str, Any], lost: list[str]
) -> None:
    assert asked(model=model, **params).lost == lost


def test_a_request_of_instructions_alone_cannot_be_asked() -> None:
    prompt = Prompt(model="m", system=(Text(text="Be brief."),))
    with pytest.raises(Malformed, match="needs a message"):
        UPSTREAMS[BEDROCK].write_request(prompt, TO_AWAY)


def read(**changes: Any) -> Any:
    """Read a plain reply that differs in some fields."""
    body = json.dumps({**REPLIES[BEDROCK], **changes}).encode()
    return UPSTREAMS[BEDROCK].read_reply(body, FROM_AWAY)


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("stop_sequence", "stop_sequence"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("model_context_window_exceeded", "context"),
    ],
)
def test_every_end_of_an_answer_has_its_word(word: str, finish: str) -> None:
    said = {"message": {"role": "assistant", "content": [{"text": "a"}]}}
    assert read(output=said, stopReason=word).finish == finish


@pytest.mark.parametrize("word", ["malformed_tool_use", "malformed_model_output", "odd", None])
def test_what_is_no_answer_is_an_error_and_no_empty_one(word: str | None) -> None:
    with pytest.raises(BrokenReply, match="no end of an answer"):
        read(stopReason=word)
    assert isinstance(events_of([converse_stream(stop=str(word))], BEDROCK)[-1], Broke)


def test_a_reply_is_named_after_the_call_and_the_model_that_was_asked() -> None:
    told = read()
    assert (told.id, told.model) == ("call_1", "served")
    assert put_reply(REPLIES[BEDROCK], BEDROCK, MESSAGES).page["model"] == "served"


def test_usage_is_in_buckets_that_share_no_token() -> None:
    usage = {
        "inputTokens": 10,
        "outputTokens": 4,
        "totalTokens": 26,
        "cacheReadInputTokens": 3,
        "cacheWriteInputTokens": 9,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 5}, {"ttl": "5m", "inputTokens": 4}],
    }
    wanted = Usage(
        input_tokens=10,
        cache_read_tokens=3,
        cache_write_tokens=4,
        cache_write_long_tokens=5,
        output_tokens=4,
    )
    last = events_of([converse_stream({"text": "a"}, usage=usage)], BEDROCK)[-1]
    assert isinstance(last, Finished)
    assert read(usage=usage).usage == last.usage == wanted


def test_the_text_that_stopped_claude_is_told() -> None:
    stopped = {"additionalModelResponseFields": {"stop_sequence": "END"}}
    assert read(stopReason="stop_sequence", **stopped).stop_sequence == "END"
    asking = asked(stop=("END",)).page["additionalModelResponseFieldPaths"]
    assert asking == ["/stop_sequence"]


def test_cited_words_stay_words_and_their_sources_are_a_loss() -> None:
    cited = {
        "citationsContent": {"content": [{"text": "So "}, {"text": "it is."}], "citations": []}
    }
    told = read(output={"message": {"content": [cited]}}, stopReason="end_turn")
    assert told.parts == (Text(text="So it is."),)
    assert [loss.name for loss in told.losses] == ["citations"]


def event(kind: str, **page: Any) -> bytes:
    return event_frame(kind, json.dumps(page).encode())


def delta(index: int, **inner: Any) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=index, delta=inner)


BEGUN: Final = event("messageStart", role="assistant")
STOPPED: Final = event("messageStop", stopReason="end_turn")


def test_a_hidden_thought_in_pieces_is_one() -> None:
    pieces = [b64encode(part).decode() for part in (b"ab", b"c")]
    deltas = [delta(0, reasoningContent={"redactedContent": piece}) for piece in pieces]
    stop = event("contentBlockStop", contentBlockIndex=0)
    events = events_of([BEGUN, *deltas, stop, STOPPED], BEDROCK)
    thoughts = [each.part for each in events if isinstance(each, PartBegan)]
    hidden = b64encode(b"abc").decode()
    assert thoughts == [Thinking(text="", signature=hidden, is_redacted=True, minted_by=AWAY)]


def test_a_thought_is_told_with_its_signature_at_the_end() -> None:
    events = events_of(
        [
            BEGUN,
            delta(0, reasoningContent={"text": "hm"}),
            delta(0, reasoningContent={"signature": "s"}),
            STOPPED,
        ],
        BEDROCK,
    )
    assert [each for each in events if isinstance(each, Delta | Signed)] == [
        Delta(n=0, text="hm"),
        Signed(n=0, signature="s"),
    ]


def test_a_stream_that_closes_before_its_usage_is_whole_with_an_unknown_usage() -> None:
    last = events_of([BEGUN, delta(0, text="a"), STOPPED], BEDROCK)[-1]
    assert isinstance(last, Finished)
    assert last.usage is None


@pytest.mark.parametrize(
    ("kind", "failure"),
    [("throttlingException", RateLimited), ("internalServerException", Transient)],
)
def test_an_exception_in_a_stream_breaks_it_by_its_meaning(
    kind: str, failure: type[CallgateError]
) -> None:
    last = events_of([BEGUN, exception_frame(kind, b'{"message":"no"}')], BEDROCK)[-1]
    assert isinstance(last, Broke)
    assert type(last.failure) is failure


@pytest.mark.parametrize(
    "odd",
    [
        delta(3, toolUse={"input": "{}"}),
        event("contentBlockStart", contentBlockIndex=0, start={"toolUse": {"toolUseId": "a"}}),
        event("contentBlockDelta", delta={"text": "a"}),
        delta(0, reasoningContent={"redactedContent": "!"}) + STOPPED,
        frame({":message-type": "error", ":error-code": "Odd"}, b""),
        event_frame("messageStop", b"[]"),
    ],
)
def test_what_makes_no_sense_breaks_a_stream(odd: bytes) -> None:
    assert isinstance(events_of([BEGUN + odd], BEDROCK)[-1], Broke)


def test_the_same_block_twice_is_an_error_and_never_one_call() -> None:
    start = {"toolUse": {"toolUseId": "a", "name": "sun"}}
    begun = event("contentBlockStart", contentBlockIndex=0, start=start)
    last = events_of([BEGUN, begun, begun, STOPPED], BEDROCK)[-1]
    assert isinstance(last, Broke)
    assert "twice" in last.failure.message


def test_blocks_that_no_other_format_has_are_losses_and_their_words_are_not_told() -> None:
    start = {"image": {"format": "png"}}
    events = events_of(
        [
            BEGUN,
            event("contentBlockStart", contentBlockIndex=0, start=start),
            delta(0, image={}),
            delta(1, text="a"),
            delta(1, citation={"title": "t"}),
            delta(2, odd={}),
            STOPPED,
        ],
        BEDROCK,
    )
    names = [each.loss.name for each in events if isinstance(each, Dropped)]
    assert names == ["opaque", "citations", "opaque"]
    assert [each.text for each in events if isinstance(each, Delta)] == ["a"]
