"""A provider's bytes that are no text are a broken reply, and no mistake of the gate's own."""

from __future__ import annotations

import pytest

from callgate.call import Meter
from callgate.errors import BrokenReply, Failed, Malformed
from callgate.wire import ClientFormat
from callgate.wire.anthropic_messages import AnthropicMessages
from callgate.wire.codec import Home, Origin
from callgate.wire.codec.canonical import Dropped, Minter
from callgate.wire.codec.openai_responses import RESPONSES
from callgate.wire.codec.translate import CODECS
from callgate.wire.gemini_generate_content import GeminiGenerateContent
from callgate.wire.openai_chat import OpenAIChat
from callgate.wire.openai_responses import OpenAIResponses
from callgate.wire.replies import object_of

BAD = b'{"id":"\xb6","type":"message","choices":[],"usage":{"x":"\xb6"}}'
HALF = b'{"error":{"message":"bad \\ud83d"}}'
BOTH = pytest.mark.parametrize(
    "format", [OpenAIChat(), AnthropicMessages()], ids=["chat", "messages"]
)


def test_an_object_with_bytes_that_are_no_text_is_unreadable() -> None:
    with pytest.raises(BrokenReply):
        object_of(BAD)


@pytest.mark.parametrize("strange", ["{}", "[]", "5"])
def test_an_end_that_is_no_word_is_a_failure(strange: str) -> None:
    said = f'{{"output":[],"status":{strange},"candidates":[{{"finishReason":{strange}}}]}}'
    for format in (OpenAIResponses(), GeminiGenerateContent()):
        with pytest.raises(Failed):
            format.read(said.encode(), Meter())


def test_an_error_whose_type_is_no_word_is_told() -> None:
    failure = OpenAIResponses().failure(500, (), b'{"type":[],"error":{"message":"bad"}}')
    assert b"bad" in OpenAIResponses().error_event(failure)


@BOTH
def test_a_plain_reply_with_such_bytes_is_broken(format: ClientFormat) -> None:
    with pytest.raises(BrokenReply):
        format.read(BAD, Meter())


@BOTH
def test_a_stream_with_such_bytes_is_broken(format: ClientFormat) -> None:
    page = b'{"model":"m","messages":[],"stream":true,"max_tokens":9}'
    scanner = format.scanner(format.parse(page), Meter())
    with pytest.raises(Failed):
        scanner.feed(b"event: message_start\ndata: " + BAD + b"\n\n")
        scanner.end()


def test_half_a_character_as_bytes_is_unreadable() -> None:
    with pytest.raises(BrokenReply):
        object_of(b'{"id":"\xed\xa0\xbd"}')


def test_a_reply_deeper_than_it_can_be_mended_is_unreadable() -> None:
    with pytest.raises(BrokenReply):
        object_of(b'{"id":"\\ud83d","x":' + b"[" * 900 + b"]" * 900 + b"}")


@BOTH
def test_an_error_that_holds_half_a_character_is_told(format: ClientFormat) -> None:
    failure = format.failure(500, (), HALF)
    assert "bad \ufffd".encode() in format.error_body(failure)
    assert "bad \ufffd".encode() in format.error_event(failure)


@BOTH
def test_what_is_kept_of_a_reply_holds_whole_characters(format: ClientFormat) -> None:
    meter = Meter()
    format.read(b'{"id":"\\ud83d","type":"message","choices":[]}', meter)
    assert meter.reply_id == "\ufffd"


@BOTH
def test_a_refusal_with_such_bytes_keeps_its_meaning(format: ClientFormat) -> None:
    assert format.failure(500, (), BAD).answer is not None


@pytest.mark.parametrize("kind", ["[]", "{}", "5"])
def test_usage_of_a_step_whose_type_is_no_word_is_counted(kind: str) -> None:
    step = f'{{"type":{kind},"input_tokens":7,"output_tokens":5}}'
    usage = f'{{"input_tokens":1,"output_tokens":2,"iterations":[{step}]}}'
    meter = Meter()
    AnthropicMessages().read(f'{{"type":"message","usage":{usage}}}'.encode(), meter)
    assert meter.usage is not None
    assert (meter.usage.total_input_tokens, meter.usage.total_output_tokens) == (8, 7)


@pytest.mark.parametrize("kind", ["[]", "{}", "5", '"song"'])
def test_a_part_of_a_response_whose_type_is_no_word_is_opaque(kind: str) -> None:
    item = f'{{"type":"message","id":"m","content":[{{"type":{kind}}}]}}'
    data = f'{{"type":"response.output_item.done","output_index":0,"item":{item}}}'
    begun = b'data: {"type":"response.created","response":{"id":"r","model":"m"}}\n\n'
    origin = Origin(minter=Minter(provider="p", account="a"), seed="s")
    events = RESPONSES.reader(origin).feed(begun + f"data: {data}\n\n".encode())
    assert [event.loss.name for event in events if isinstance(event, Dropped)] == ["opaque"]


@pytest.mark.parametrize("parts", ["9" * 400, "[" * 2_000])
def test_parts_that_cannot_be_read_are_refused(parts: str) -> None:
    with pytest.raises(Malformed, match=r"parts|too deeply"):
        GeminiGenerateContent().parse(f'{{"contents":[{{"parts":{parts}}}]}}'.encode(), model="m")


@pytest.mark.parametrize("said", ["9" * 5_000, "1e9999", "[" * 2_000])
def test_words_of_a_tool_that_cannot_be_read_are_refused(said: str) -> None:
    result = f'{{"functionResponse":{{"name":"f","response":{{"output":{said}}}}}}}'
    body = f'{{"contents":[{{"parts":[{result}]}}]}}'.encode()
    with pytest.raises(Malformed):
        CODECS["gemini_generate_content"].read_request(body, Home(minter=None))
