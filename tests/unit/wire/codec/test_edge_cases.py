"""The cases in which gateways are known to have lost or mixed up what a model said."""

from __future__ import annotations

from typing import Any

import pytest

from callgate.errors import BrokenReply, Malformed
from callgate.wire.codec.canonical import ToolUse
from callgate.wire.codec.losses import KINDS, grave
from callgate.wire.codec.tool_ids import mint
from callgate.wire.codec.translate import CODECS
from callgate.wire.openai_responses import usage_of
from tests.unit.wire.codec.test_ten_cases import call, called, chat, message, result, user
from tests.unit.wire.codec.translating import (
    AWAY,
    CHAT,
    FORMATS,
    FROM_HOME,
    GEMINI,
    HOME,
    MESSAGES,
    RESPONSES,
    WAYS_OUT,
    put,
    put_reply,
    put_stream,
    read,
)
from tests.unit.wire.codec.upstreams import REPLIES, gemini_stream, response_stream


def content(*contents: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a request to generate content."""
    return {"contents": list(contents), **fields}


def gemini_reply(*parts: dict[str, Any], finish: str = "STOP") -> dict[str, Any]:
    candidate = {"content": {"parts": list(parts), "role": "model"}, "finishReason": finish}
    return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 1}}


@pytest.mark.parametrize("finish", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER"])
@pytest.mark.parametrize("target", [CHAT, MESSAGES, RESPONSES])
def test_a_model_that_failed_has_not_stopped(finish: str, target: str) -> None:
    with pytest.raises(BrokenReply, match=finish):
        put_reply(gemini_reply(finish=finish), GEMINI, target)
    streamed = put_stream([gemini_stream({"text": "a"}, finish=finish)], GEMINI, target)
    assert streamed.failure is not None


def test_a_blocked_prompt_is_a_filtered_answer() -> None:
    page: dict[str, Any] = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 4},
    }
    got = put_reply(page, GEMINI, CHAT).page["choices"][0]
    assert (got["finish_reason"], got["message"]["content"]) == ("content_filter", None)


def test_candidates_exclude_thoughts_at_gemini_and_include_them_elsewhere() -> None:
    page = gemini_reply({"text": "a"})
    page["usageMetadata"] = {
        "promptTokenCount": 20,
        "cachedContentTokenCount": 5,
        "candidatesTokenCount": 3,
        "thoughtsTokenCount": 7,
    }
    told = put_reply(page, GEMINI, CHAT).page["usage"]
    assert (told["prompt_tokens"], told["completion_tokens"]) == (20, 10)
    assert put_reply(page, GEMINI, MESSAGES).page["usage"]["input_tokens"] == 15


def test_usage_that_gemini_repeats_is_not_added_up() -> None:
    told = put_stream([gemini_stream({"text": "a"}, {"text": "b"}, {"text": "c"})], GEMINI, CHAT)
    assert b'"completion_tokens":4' in told.told


def test_calls_without_ids_get_some_that_their_results_find() -> None:
    calls = [{"functionCall": {"name": "sun", "args": {"n": n}}} for n in (1, 2)]
    answers = [
        {"functionResponse": {"name": "sun", "response": {"output": word}}} for word in ("a", "b")
    ]
    asked = content(
        {"role": "user", "parts": [{"text": "go"}]},
        {"role": "model", "parts": calls},
        {"role": "user", "parts": answers},
    )
    got = put(asked, GEMINI, CHAT).page["messages"]
    ids = [each["id"] for each in got[1]["tool_calls"]]
    assert len(set(ids)) == 2
    assert [(each["tool_call_id"], each["content"]) for each in got[2:]] == [
        (ids[0], "a"),
        (ids[1], "b"),
    ]


def test_calls_of_two_replies_without_ids_do_not_share_one() -> None:
    assert mint("call_1", 0) != mint("call_2", 0)


def test_a_signature_of_gemini_goes_back_to_gemini_alone() -> None:
    part: dict[str, Any] = {"functionCall": {"name": "sun", "args": {}}, "thoughtSignature": "sig"}
    asked = content({"role": "user", "parts": [{"text": "go"}]}, {"role": "model", "parts": [part]})
    asked["contents"].append(
        {"role": "user", "parts": [{"functionResponse": {"name": "sun", "response": {}}}]}
    )
    away = put(asked, GEMINI, GEMINI, minter=AWAY)
    assert away.page["contents"][1]["parts"][0]["thoughtSignature"] != "sig"
    assert away.lost == ["thinking"]
    home = put(asked, GEMINI, GEMINI, minter=HOME)
    assert home.page["contents"][1]["parts"][0]["thoughtSignature"] == "sig"


def test_gemini_gets_a_call_that_it_did_not_make_without_refusing_it() -> None:
    got = put(
        chat(user(), called(call("a", "sun"), call("b", "sun")), result("a", "x")), CHAT, GEMINI
    )
    signed = [part.get("thoughtSignature") for part in got.page["contents"][1]["parts"]]
    assert signed == ["skip_thought_signature_validator", None]
    assert got.lost == []


def test_a_call_told_to_a_gemini_client_can_be_sent_to_gemini_as_it_is() -> None:
    got = put_reply(REPLIES[CHAT], CHAT, GEMINI)
    parts = got.page["candidates"][0]["content"]["parts"]
    assert parts[1]["thoughtSignature"] == "skip_thought_signature_validator"


def test_encrypted_thoughts_of_one_account_do_not_go_to_another() -> None:
    item: dict[str, Any] = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "encrypted_content": "enc",
    }
    asked: dict[str, Any] = {"model": "m", "input": [user(), item, user()], "store": False}
    home = put(asked, RESPONSES, RESPONSES, minter=HOME)
    assert home.page["input"][1] == {"type": "reasoning", "summary": [], "encrypted_content": "enc"}
    away = put(asked, RESPONSES, RESPONSES, minter=AWAY)
    assert away.lost == ["thinking"]
    assert "enc" not in str(away.page)


@pytest.mark.parametrize("field", ["previous_response_id", "conversation"])
def test_what_a_provider_keeps_for_itself_is_a_loss_elsewhere(field: str) -> None:
    asked: dict[str, Any] = {"model": "m", "input": "go", "store": False, field: "x_1"}
    assert put(asked, RESPONSES, CHAT).lost == ["state"]


@pytest.mark.parametrize("target", [MESSAGES, RESPONSES, GEMINI])
def test_an_unknown_field_is_never_dropped_in_silence(target: str) -> None:
    got = put(chat(user(), brand_new={"a": 1}), CHAT, target)
    assert [(loss.name, loss.where) for loss in got.losses] == [("unknown", "$.brand_new")]


def test_an_unknown_field_deep_inside_is_named_by_its_path() -> None:
    part: dict[str, Any] = {"type": "text", "text": "hi", "glow": True}
    got = put(chat({"role": "user", "content": [part]}), CHAT, MESSAGES)
    assert [loss.where for loss in got.losses] == ["$.messages[0].content[0].glow"]
    assert got.page["messages"][0]["content"] == "hi"


def test_an_unknown_part_is_kept_for_who_made_it_and_a_loss_elsewhere() -> None:
    block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": "x"}}
    asked = message(user(), {"role": "assistant", "content": [block]}, user())
    assert put(asked, MESSAGES, MESSAGES, minter=HOME).page["messages"][1]["content"] == [block]
    assert put(asked, MESSAGES, CHAT).lost == ["opaque"]


def test_a_field_that_says_nothing_is_no_loss() -> None:
    quiet: dict[str, Any] = {
        "n": 1,
        "logprobs": False,
        "logit_bias": {},
        "store": False,
        "seed": None,
    }
    assert put(chat(user(), **quiet), CHAT, MESSAGES).lost == []


def test_cache_markers_are_kept_at_anthropic_and_a_mild_loss_elsewhere() -> None:
    cached = {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}
    asked = message({"role": "user", "content": [cached]}, system=[cached])
    assert put(asked, MESSAGES, MESSAGES).page["system"] == [cached]
    got = put(asked, MESSAGES, CHAT)
    assert got.lost == ["cache_hint", "cache_hint"]
    assert grave(got.losses, allowed=()) == []


def test_a_grave_loss_needs_leave_by_its_name() -> None:
    got = put(chat(user(), seed=4), CHAT, MESSAGES)
    assert [loss.name for loss in grave(got.losses, allowed=())] == ["sampling"]
    assert grave(got.losses, allowed={"sampling"}) == []


@pytest.mark.parametrize(("source", "target"), WAYS_OUT)
def test_every_loss_has_a_name_that_settings_can_allow(source: str, target: str) -> None:
    asked = {CHAT: chat(user()), MESSAGES: message(user()), GEMINI: content()}.get(source)
    strange = {**(asked or {"model": "m", "input": "go"}), "tools": None, "odd": 1}
    if source == GEMINI:
        strange["contents"] = [{"role": "user", "parts": [{"text": "a"}]}]
    lost = put(strange, source, target).lost
    assert "unknown" in lost
    assert set(lost) <= KINDS.keys()


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"a":', b"\xff\xfe", b'{"messages":5,"input":5}', b"[" * 9999]
)
def test_what_is_no_request_is_a_typed_error(source: str, body: bytes) -> None:
    with pytest.raises(Malformed):
        CODECS[source].read_request(body, FROM_HOME)


def test_a_wrong_type_is_named_by_its_path() -> None:
    with pytest.raises(Malformed, match=r"\$\.messages\[0\]\.content"):
        put(chat({"role": "user", "content": 5}), CHAT, MESSAGES)


def test_arguments_of_history_that_are_no_object_are_a_loss() -> None:
    got = put(chat(user(), called(call("a", "go", '{"x":')), result("a", "r")), CHAT, MESSAGES)
    assert got.lost == ["arguments"]
    assert got.page["messages"][1]["content"][0]["input"] == {"arguments": '{"x":'}


def test_a_pdf_goes_over_as_one() -> None:
    data = {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}
    asked = chat({"role": "user", "content": [{"type": "file", "file": data}]})
    block = put(asked, CHAT, MESSAGES).page["messages"][0]["content"][0]
    assert block["source"] == {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}
    assert block["title"] == "a.pdf"
    part = put(asked, CHAT, GEMINI).page["contents"][0]["parts"][0]["inlineData"]
    assert part == {"mimeType": "application/pdf", "data": "JVBE", "displayName": "a.pdf"}


def test_an_address_that_gemini_would_have_to_fetch_is_a_loss() -> None:
    part: dict[str, Any] = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    asked = chat({"role": "user", "content": [{"type": "text", "text": "see"}, part]})
    assert put(asked, CHAT, GEMINI).lost == ["image"]


def test_a_refusal_is_a_refusal_everywhere() -> None:
    choice = {"message": {"refusal": "No."}, "finish_reason": "stop"}
    page: dict[str, Any] = {"id": "c", "model": "g", "choices": [choice]}
    got = put_reply(page, CHAT, MESSAGES).page
    assert (got["stop_reason"], got["content"]) == ("refusal", [{"type": "text", "text": "No."}])
    response = put_reply(page, CHAT, RESPONSES).page
    assert response["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]
    assert put_reply(page, CHAT, GEMINI).page["candidates"][0]["finishReason"] == "SAFETY"


def test_a_pause_is_no_stop() -> None:
    page: dict[str, Any] = {**REPLIES[MESSAGES], "content": [], "stop_reason": "pause_turn"}
    with pytest.raises(BrokenReply, match="pause"):
        put_reply(page, MESSAGES, CHAT)


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ({"incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"incomplete_details": {"reason": "content_filter"}}, "content_filter"),
    ],
)
def test_a_response_that_is_incomplete_says_why(ending: dict[str, Any], reason: str) -> None:
    stream = response_stream(status="incomplete", **ending)
    told = put_stream([stream], RESPONSES, CHAT).told
    assert f'"finish_reason":"{reason}"'.encode() in told


def test_a_response_that_failed_is_an_error_with_its_words() -> None:
    stream = response_stream(status="failed", error={"code": "server_error", "message": "melted"})
    got = put_stream([stream], RESPONSES, CHAT)
    assert "melted" in str(got.failure)


def test_a_response_whose_words_come_at_once_is_read_whole() -> None:
    stream = response_stream(
        {
            "id": "fc_1",
            "type": "function_call",
            "call_id": "a",
            "name": "sun",
            "arguments": '{"x":1}',
        }
    )
    events = stream.split(b"\n\n")
    quiet = b"\n\n".join([event for event in events if b".delta" not in event])
    told = put_stream([quiet], RESPONSES, CHAT).told
    assert rb'"arguments":"{\"x\":1}"' in told


def test_words_before_and_after_a_call_keep_their_order_or_are_a_loss() -> None:
    use: dict[str, Any] = {"type": "tool_use", "id": "a", "name": "go", "input": {}}
    said: list[dict[str, Any]] = [use, {"type": "text", "text": "later"}]
    asked = message(user(), {"role": "assistant", "content": said}, user())
    assert put(asked, MESSAGES, RESPONSES).lost == []
    assert put(asked, MESSAGES, CHAT).lost == ["order"]


def test_a_last_turn_of_the_models_own_is_a_loss() -> None:
    asked = message(user(), {"role": "assistant", "content": "{"})
    assert put(asked, MESSAGES, CHAT).lost == ["prefill"]


def test_a_tool_that_the_provider_runs_is_a_loss() -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]
    assert put(message(user(), tools=tools), MESSAGES, CHAT).lost == ["tool"]
    assert put(
        content(*[{"parts": [{"text": "a"}]}], tools=[{"googleSearch": {}}]), GEMINI, CHAT
    ).lost == ["tool"]


def test_a_response_is_exact_where_it_does_not_say() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
    tool: dict[str, Any] = {"type": "function", "name": "sun", "parameters": schema}
    asked: dict[str, Any] = {"model": "m", "input": "go", "store": False, "tools": [tool]}
    got = put(asked, RESPONSES, CHAT).page["tools"][0]["function"]
    assert got["strict"] is True
    back = put(
        chat(user(), tools=[{"type": "function", "function": {"name": "sun"}}]), CHAT, RESPONSES
    )
    assert back.page["tools"][0]["strict"] is False


def test_both_spellings_of_gemini_are_read() -> None:
    config = {"max_output_tokens": 5, "thinking_config": {"thinking_budget": 0}}
    asked = content({"parts": [{"text": "a"}]}, generation_config=config)
    prompt = read(asked, GEMINI)
    assert (prompt.params.output_tokens, prompt.losses) == (5, ())


def test_a_result_keeps_the_name_of_its_tool() -> None:
    got = put(chat(user(), called(call("a", "sun")), result("a", "hot")), CHAT, GEMINI)
    assert got.page["contents"][2]["parts"][0]["functionResponse"] == {
        "id": "a",
        "name": "sun",
        "response": {"output": "hot"},
    }


def test_the_arguments_of_a_call_stay_raw_in_the_canonical_form() -> None:
    prompt = read(chat(user(), called(call("a", "go", '{"n":1.0}'))), CHAT)
    part = prompt.turns[1].parts[0]
    assert isinstance(part, ToolUse)
    assert part.arguments == '{"n":1.0}'


@pytest.mark.parametrize(
    "told", [{"input_tokens": 9}, {"output_tokens": 3}, {"input_tokens": 9, "output_tokens": "?"}]
)
def test_a_response_that_leaves_out_a_side_of_its_usage_tells_none(told: dict[str, Any]) -> None:
    assert usage_of(told) is None
