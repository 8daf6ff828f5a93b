"""A conversation goes on after a fallback: at the first provider, as it is, and at the second."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callgate.wire.codec.canonical import ToolResult, ToolUse
from tests.unit.wire.codec.test_edge_cases import content
from tests.unit.wire.codec.test_ten_cases import chat, message, user
from tests.unit.wire.codec.translating import (
    CHAT,
    GEMINI,
    MESSAGES,
    PAIRS,
    RESPONSES,
    put,
    put_reply,
    read,
)
from tests.unit.wire.codec.upstreams import REPLIES

QUESTIONS: dict[str, dict[str, Any]] = {
    CHAT: chat(user()),
    MESSAGES: message(user()),
    RESPONSES: {"model": "m", "input": [user()], "store": False},
    GEMINI: content({"role": "user", "parts": [{"text": "hi"}]}),
}


def go_on(request: dict[str, Any], reply: dict[str, Any], format: str) -> dict[str, Any]:
    """Return the next request of a client that runs every tool, as the SDKs' guides do it."""
    told: dict[str, Any] = json.loads(json.dumps(request))
    match format:
        case "openai_chat":
            said = reply["choices"][0]["message"]
            told["messages"].append({key: value for key, value in said.items() if value})
            told["messages"] += [
                {"role": "tool", "tool_call_id": call["id"], "content": "done"}
                for call in said.get("tool_calls", [])
            ]
        case "anthropic_messages":
            told["messages"].append({"role": "assistant", "content": reply["content"]})
            uses = [block["id"] for block in reply["content"] if block["type"] == "tool_use"]
            results = [{"type": "tool_result", "tool_use_id": id, "content": "done"} for id in uses]
            told["messages"].append({"role": "user", "content": results})
        case "openai_responses":
            told["input"] += reply["output"]
            calls = [item["call_id"] for item in reply["output"] if item["type"] == "function_call"]
            told["input"] += [
                {"type": "function_call_output", "call_id": id, "output": "done"} for id in calls
            ]
        case _:
            said = reply["candidates"][0]["content"]
            told["contents"].append(said)
            calls = [part["functionCall"] for part in said["parts"] if "functionCall" in part]
            answers = [
                {
                    "functionResponse": {
                        "id": each["id"],
                        "name": each["name"],
                        "response": {"output": "done"},
                    }
                }
                for each in calls
            ]
            told["contents"].append({"role": "user", "parts": answers})
    return told


def ids_of(page: dict[str, Any], format: str) -> tuple[list[str], list[str]]:
    """Return the ids of the calls of a request, and those that its results name."""
    parts = [part for turn in read(page, format).turns for part in turn.parts]
    uses = [part.id for part in parts if isinstance(part, ToolUse)]
    return uses, [part.use_id for part in parts if isinstance(part, ToolResult)]


@pytest.mark.parametrize(("client", "server"), PAIRS)
def test_three_more_turns_keep_every_id_and_lose_nothing(client: str, server: str) -> None:
    request = QUESTIONS[client]
    expected: list[str] = []
    for turn in range(3):
        reply = json.loads(json.dumps(REPLIES[server]).replace('"a"', f'"a{turn}"'))
        reply = json.loads(json.dumps(reply).replace('"b"', f'"b.{turn}:0"'))
        expected += [f"a{turn}", f"b.{turn}:0"]
        told = put_reply(reply, server, client).page
        request = go_on(request, told, client)
        got = put(request, client, server)
        assert got.lost == []
        assert ids_of(got.page, server) == (expected, expected)


@pytest.mark.parametrize(("client", "server"), PAIRS)
def test_what_a_client_got_is_valid_at_the_provider_of_its_own_format(
    client: str, server: str
) -> None:
    told = put_reply(REPLIES[server], server, client).page
    request = go_on(QUESTIONS[client], told, client)
    prompt = read(request, client)
    assert [loss.name for loss in prompt.losses] == []
    assert "höm" not in json.dumps(request, ensure_ascii=False)
    assert ids_of(request, client)[0] == ids_of(request, client)[1]


def test_ids_that_anthropic_refuses_are_told_in_others_and_come_back() -> None:
    reply = json.loads(json.dumps(REPLIES[CHAT]).replace('"a"', '"functions.sun:0"'))
    told = put_reply(reply, CHAT, MESSAGES).page
    ids = [block["id"] for block in told["content"] if block["type"] == "tool_use"]
    assert all(id.replace("-", "").replace("_", "").isalnum() for id in ids)
    request = go_on(QUESTIONS[MESSAGES], told, MESSAGES)
    got = put(request, MESSAGES, CHAT).page["messages"]
    assert got[1]["tool_calls"][0]["id"] == got[2]["tool_call_id"] == "functions.sun:0"


def test_mistral_gets_ids_of_its_own_kind() -> None:
    request = go_on(QUESTIONS[MESSAGES], REPLIES[MESSAGES], MESSAGES)
    got = put(request, MESSAGES, CHAT, tool_ids="mistral").page["messages"]
    calls = [call["id"] for call in got[1]["tool_calls"]]
    assert [len(id) for id in calls] == [9, 9]
    assert [each["tool_call_id"] for each in got[2:4]] == calls
