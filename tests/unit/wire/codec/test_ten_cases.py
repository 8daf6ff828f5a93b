"""Ten requests on which the libraries that translate them differ, and what they lose.

The cases were measured on six of them: none got all right.
"""

from __future__ import annotations

from typing import Any

from callgate.wire.codec.canonical import ToolUse
from callgate.wire.codec.translate import CODECS
from tests.unit.wire.codec.translating import (
    AWAY,
    CHAT,
    FROM_HOME,
    HOME,
    MESSAGES,
    put,
    put_reply,
    read,
)

PNG = "iVBORw0KGgo="
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}}


def chat(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a chat request."""
    return {"model": "gpt", "messages": list(messages), **fields}


def message(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a request for a message."""
    return {"model": "claude", "max_tokens": 50, "messages": list(messages), **fields}


def user(content: Any = "hi") -> dict[str, Any]:
    return {"role": "user", "content": content}


def call(id: str, name: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def called(*calls: dict[str, Any], content: str | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def result(id: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content}


def test_1_parallel_calls_and_their_results_stay_in_one_turn_each() -> None:
    calls = called(call("a", "sun", '{"in":"Köln"}'), call("b", "rain"))
    answers = (result("a", "yes"), result("b", "no"))
    got = put(chat(user(), calls, *answers, parallel_tool_calls=False), CHAT, MESSAGES)
    assert got.page["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "a", "name": "sun", "input": {"in": "Köln"}},
                {"type": "tool_use", "id": "b", "name": "rain", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "yes"},
                {"type": "tool_result", "tool_use_id": "b", "content": "no"},
            ],
        },
    ]


def test_1b_one_call_at_a_time_stays_a_wish() -> None:
    tool = {"type": "function", "function": {"name": "sun", "parameters": SCHEMA}}
    got = put(chat(user(), tools=[tool], parallel_tool_calls=False), CHAT, MESSAGES)
    assert got.page["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    back = put(got.page, MESSAGES, CHAT)
    assert back.page["parallel_tool_calls"] is False


def test_2_an_image_as_the_result_of_a_tool_stays_one() -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    got = put(chat(user(), called(call("a", "see")), result("a", [image])), CHAT, MESSAGES)
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    assert got.page["messages"][2]["content"][0]["content"] == [{"type": "image", "source": source}]
    assert got.lost == []


def test_3_empty_words_and_empty_arguments_become_nothing_and_an_empty_object() -> None:
    got = put(chat(user(), called(call("a", "go", ""), content="")), CHAT, MESSAGES)
    block: dict[str, Any] = {"type": "tool_use", "id": "a", "name": "go", "input": {}}
    assert got.page["messages"][1] == {"role": "assistant", "content": [block]}


def test_4_an_instruction_in_the_midst_of_a_conversation_stays_where_it_is() -> None:
    later = {"role": "system", "content": "in French"}
    said = (user("a"), later, {"role": "assistant", "content": "b"}, user("c"))
    got = put(chat(*said), CHAT, MESSAGES)
    roles = [each["role"] for each in got.page["messages"]]
    assert (roles, got.lost) == (["user", "system", "assistant", "user"], [])


def test_4a_one_before_the_users_words_stands_after_them_where_anthropic_takes_it() -> None:
    later = {"role": "developer", "content": "in French"}
    said = (user("a"), {"role": "assistant", "content": "b"}, later, later, user("c"))
    got = put(chat(*said), CHAT, MESSAGES)
    last, instruction = got.page["messages"][-2:]
    assert (last["content"], instruction["role"]) == ("c", "system")
    assert [block["text"] for block in instruction["content"]] == ["in French", "in French"]
    assert got.lost == ["instruction_order", "instruction_order"]


def test_4c_one_that_no_user_speaks_before_gets_to_the_beginning_and_that_is_a_loss() -> None:
    later = {"role": "developer", "content": "go on"}
    said = (user("a"), {"role": "assistant", "content": "b"}, later)
    got = put(chat(*said), CHAT, MESSAGES)
    assert (got.page["system"], "place" in got.lost) == ("go on", True)
    assert [each["role"] for each in got.page["messages"]] == ["user", "assistant"]


def test_4d_one_before_the_first_words_is_where_instructions_are() -> None:
    said = (user(" "), {"role": "system", "content": "in French"}, user("a"))
    got = put(chat(*said), CHAT, MESSAGES)
    assert (got.page["system"], got.page["messages"], got.lost) == ("in French", [user("a")], [])


def test_4b_a_model_without_such_turns_gets_it_first_and_that_is_a_loss() -> None:
    said = (user("a"), {"role": "system", "content": "in French"}, user("b"))
    got = put(chat(*said), CHAT, MESSAGES, lacks=frozenset({"system_turns"}))
    assert got.page["system"] == "in French"
    assert got.lost == ["place"]


def test_5_a_developer_is_a_system() -> None:
    got = put(chat({"role": "developer", "content": "be brief"}, user()), CHAT, MESSAGES)
    assert got.page["system"] == "be brief"
    assert [each["role"] for each in got.page["messages"]] == ["user"]


def test_6_an_output_limit_that_nobody_named_is_that_of_the_settings() -> None:
    assert put(chat(user()), CHAT, MESSAGES, output_tokens=77).page["max_tokens"] == 77


def test_6b_an_output_limit_by_either_name_is_kept() -> None:
    newer = put(chat(user(), max_completion_tokens=5), CHAT, MESSAGES)
    older = put(chat(user(), max_tokens=6), CHAT, MESSAGES)
    assert (newer.page["max_tokens"], older.page["max_tokens"]) == (5, 6)


def test_7_a_stop_is_kept_both_ways() -> None:
    got = put(chat(user(), stop="END"), CHAT, MESSAGES)
    assert got.page["stop_sequences"] == ["END"]
    assert put(got.page, MESSAGES, CHAT).page["stop"] == ["END"]


def test_8_a_json_schema_is_kept_to_the_byte() -> None:
    told = {"name": "n", "schema": SCHEMA, "strict": False}
    format = {"type": "json_schema", "json_schema": told}
    got = put(chat(user(), response_format=format), CHAT, MESSAGES)
    assert got.page["output_config"]["format"] == {"type": "json_schema", "schema": SCHEMA}
    assert got.lost == ["label"]


def test_9_thoughts_go_back_to_who_had_them_with_their_signatures() -> None:
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "s1"},
        {"type": "redacted_thinking", "data": "r1"},
        {"type": "text", "text": "yes"},
    ]
    asked = message(user(), {"role": "assistant", "content": blocks}, user())
    home = put(asked, MESSAGES, MESSAGES, minter=HOME)
    assert home.page["messages"][1]["content"] == blocks
    away = put(asked, MESSAGES, MESSAGES, minter=AWAY)
    assert away.page["messages"][1]["content"] == "yes"
    assert away.lost == ["thinking", "thinking"]


def test_10_tokens_of_a_cache_are_counted_once_in_both_directions() -> None:
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 3,
        "cache_creation_input_tokens": 4,
        "output_tokens": 6,
    }
    reply: dict[str, Any] = {
        "id": "m",
        "model": "c",
        "content": [],
        "stop_reason": "end_turn",
        "usage": usage,
    }
    told = put_reply(reply, MESSAGES, CHAT).page["usage"]
    assert told["prompt_tokens"] == 17
    assert told["prompt_tokens_details"] == {"cached_tokens": 3, "cache_write_tokens": 4}
    choice = {"message": {"content": "a"}, "finish_reason": "stop"}
    page = {"id": "c", "model": "g", "choices": [choice], "usage": told}
    assert put_reply(page, CHAT, MESSAGES).page["usage"] == usage


def test_reverse_an_error_flag_is_put_into_words_that_are_read_back() -> None:
    use: dict[str, Any] = {"type": "tool_use", "id": "a", "name": "go", "input": {}}
    block: dict[str, Any] = {
        "type": "tool_result",
        "tool_use_id": "a",
        "content": "no disk",
        "is_error": True,
    }
    asked = message(user(), {"role": "assistant", "content": [use]}, user([block]))
    got = put(asked, MESSAGES, CHAT)
    words = [part["text"] for part in got.page["messages"][2]["content"]]
    assert words == ["The tool reported an error.", "no disk"]
    assert read(got.page, CHAT).turns == read(asked, MESSAGES).turns


def test_reverse_an_image_of_a_tool_stands_beside_it_and_that_is_a_loss() -> None:
    use: dict[str, Any] = {"type": "tool_use", "id": "a", "name": "see", "input": {}}
    source = {"type": "url", "url": "https://x/y.png"}
    image = {"type": "image", "source": source}
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": "a", "content": [image]}
    asked = message(user(), {"role": "assistant", "content": [use]}, user([block]))
    got = put(asked, MESSAGES, CHAT)
    assert got.lost == ["tool_image"]
    assert got.page["messages"][2] == {"role": "tool", "tool_call_id": "a", "content": ""}
    assert got.page["messages"][3]["content"][1]["image_url"]["url"] == "https://x/y.png"


def test_reverse_who_the_user_is_goes_over() -> None:
    got = put(message(user(), metadata={"user_id": "u-7"}), MESSAGES, CHAT)
    assert got.page["user"] == "u-7"


def test_reverse_arguments_keep_the_bytes_in_which_they_were_written() -> None:
    written = b'{"id": 12345678901234567890, "x": 1.50, "s":"\\u00e9"}'
    head = b'{"model":"c","max_tokens":9,"messages":[{"role":"assistant","content":[{'
    use = b'"type":"tool_use","id":"a","name":"go","input":%b}]}]}' % written
    prompt = CODECS[MESSAGES].read_request(head + use, FROM_HOME)
    part = prompt.turns[0].parts[0]
    assert isinstance(part, ToolUse)
    assert part.arguments == written.decode()
