"""A request's bytes: what is changed is changed, and everything else stays as it came."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.errors import Malformed
from callgate.wire.document import PIECE_BYTES, Document
from tests.unit.wire.json_texts import KEYS, objects, texts


@given(objects())
def test_every_value_is_found_where_it_stands(drawn: tuple[bytes, dict[str, str]]) -> None:
    source, members = drawn
    document = Document.parse(source)
    assert {key: document.raw(key).decode() for key in document.values} == members


@given(st.dictionaries(KEYS, st.integers() | KEYS), KEYS)
def test_values_that_stand_in_a_row_are_found_there(
    members: dict[str, int | str], again: str
) -> None:
    source = json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()
    document = Document.parse(source)
    assert {
        key: json.loads(source[start:end]) for key, (start, end) in document.places.items()
    } == members
    if again in members:
        twice = source[:-1] + b"," + json.dumps(again, ensure_ascii=False).encode() + b":0}"
        with pytest.raises(Malformed, match="twice"):
            Document.parse(twice)


@given(objects(), st.data())
def test_an_edit_replaces_one_value_and_keeps_every_other_byte(
    drawn: tuple[bytes, dict[str, str]], data: st.DataObject
) -> None:
    source, members = drawn
    document = Document.parse(source)
    for key in members:
        start, end = document.places[key]
        new = data.draw(texts()).encode()
        assert document.edit({key: new}) == source[:start] + new + source[end:]


@given(objects(), KEYS, texts())
def test_a_new_member_comes_last_and_the_rest_stays(
    drawn: tuple[bytes, dict[str, str]], key: str, text: str
) -> None:
    source, members = drawn
    if key in members:
        return
    edited = Document.parse(source).edit({key: text.encode()})
    assert list(json.loads(edited)) == [*json.loads(source), key]
    assert edited.startswith(source.rstrip()[:-1].rstrip())
    assert json.loads(edited) == {**json.loads(source), key: json.loads(text)}


@given(objects())
def test_several_edits_at_once_mean_what_they_say(drawn: tuple[bytes, dict[str, str]]) -> None:
    source, members = drawn
    edits = {**dict.fromkeys(members, b"[1]"), "another one": b"2"}
    edited = json.loads(Document.parse(source).edit(edits))
    assert edited == {**{key: [1] for key in members}, "another one": 2}


@given(objects())
def test_a_member_is_left_out_with_one_comma(drawn: tuple[bytes, dict[str, str]]) -> None:
    source, members = drawn
    for key in members:
        left = Document.parse(source).without(key)
        assert list(json.loads(left).items()) == [
            pair for pair in json.loads(source).items() if pair[0] != key
        ]


def test_leaving_out_nothing_changes_nothing() -> None:
    source = b'{ "a" : 1 }'
    assert Document.parse(source).without("b") is source


@given(objects(), objects(), KEYS)
def test_a_key_that_is_written_twice_is_always_refused(
    first: tuple[bytes, dict[str, str]], second: tuple[bytes, dict[str, str]], key: str
) -> None:
    name = json.dumps(key).encode()
    both = b"{%s:%s,%s:%s}" % (name, first[0], name, second[0])
    with pytest.raises(Malformed, match="twice"):
        Document.parse(both)


@pytest.mark.parametrize(
    "source",
    [
        b'{"model":"cheap","model":"dear"}',
        b'{"model":"cheap","\\u006dodel":"dear!"}',
        # The first value is cut where the second one's length ends, on something like a member.
        b'{"a":{"q":1,"b":22},"b":22,"a":{"q":1}}',
        b'{"a":{"q":1,"c":3},"c":3,"a":[1,2,3]}',
    ],
)
def test_a_double_key_cannot_be_hidden(source: bytes) -> None:
    with pytest.raises(Malformed) as refused:
        Document.parse(source)
    assert refused.value.reason.code == "duplicate_key"


def test_values_that_differ_only_far_in_are_told_apart() -> None:
    same = b"x" * PIECE_BYTES
    source = b'{"a":"%s1","b":0,"a":"%s2"}' % (same, same)
    with pytest.raises(Malformed, match="'a' twice"):
        Document.parse(source)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (b"", "the request is empty"),
        (b" \n", "the request is empty"),
        (b'{"a":1', "ends too early, after 6 bytes"),
        (b"{'a':1}", "object keys must be strings (byte 1)"),
        (b'{"a":NaN}', "(byte 5), at 'NaN}'"),
        (b'{"a":1,}', "trailing comma"),
        (b'{"a":1}{', "trailing characters"),
        (b"[1]", "not a JSON object: Expected `object`, got `array`"),
        (b"null", "not a JSON object"),
        (b'\xef\xbb\xbf{"a":1}', "byte order mark"),
        (b'{"a":"\xff"}', "not UTF-8: found 0xff at byte 6"),
        (b'{"a":["\xed\xa0\x80"]}', "not UTF-8: found 0xed at byte 7"),
        (b'{"a":"cut \\ud83d"}', "half a character, \\ud83d at byte 10"),
        (b'{"a":"\\ude00 cut"}', "half a character, \\ude00 at byte 6"),
        (b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested too deeply"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_with_its_place(source: bytes, told: str) -> None:
    with pytest.raises(Malformed) as refused:
        Document.parse(source)
    assert told in refused.value.message
    assert refused.value.reason.fix


def test_an_escaped_pair_is_no_half_character() -> None:
    assert Document.parse(b'{"a":"\\ud83d\\ude00 \\\\ud83d"}').get("a") == "\U0001f600 \\ud83d"


def test_a_value_that_only_its_reader_finds_too_deep_is_refused_too() -> None:
    deep = msgspec.Raw(b"[" * 200_000 + b"]" * 200_000)
    document = Document(source=b"", values={"a": deep})
    with pytest.raises(Malformed, match="nested too deeply"):
        document.get("a")


def test_a_number_that_no_float_holds_is_refused_when_it_is_read() -> None:
    with pytest.raises(Malformed, match="n cannot be read"):
        Document.parse(b'{"n":1e999}').get("n")
