"""The size of an image, told by how it begins."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.wire.images import Size, size_of, size_of_source_part, size_of_url_part

sizes = st.tuples(st.integers(1, 65_535), st.integers(1, 65_535))
segments = st.lists(
    st.tuples(st.sampled_from([0xC4, 0xDB, 0xE0, 0xE1, 0xFE]), st.binary(max_size=400)), max_size=6
)


def png(size: Size) -> bytes:
    width, height = (side.to_bytes(4) for side in size)
    return (
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
        + width
        + height
        + b"\x08\x02\x00\x00\x00"
        + b"?" * 90
    )


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2) + content


def jpeg(size: Size, before: bytes = b"", frame: int = 0xC0) -> bytes:
    width, height = (side.to_bytes(2) for side in size)
    return (
        b"\xff\xd8" + before + segment(frame, b"\x08" + height + width + b"\x03" * 10) + b"?" * 90
    )


def told(raw: bytes) -> Size | None:
    return size_of(b64encode(raw))


@given(sizes)
def test_a_png_tells_its_size(size: Size) -> None:
    assert told(png(size)) == size


@given(sizes, segments, st.sampled_from([0xC0, 0xC1, 0xC2, 0xCF]))
def test_a_jpeg_tells_its_size_behind_whatever_a_camera_wrote(
    size: Size, before: list[tuple[int, bytes]], frame: int
) -> None:
    written = b"".join(segment(marker, content) for marker, content in before)
    assert told(jpeg(size, written, frame)) == size
    assert told(jpeg(size, written + b"\xff" * 3, frame)) == size


def test_a_small_picture_inside_of_a_jpeg_is_not_taken_for_it() -> None:
    inside = segment(0xE1, b"Exif" + jpeg((160, 120)) * 300)
    assert told(jpeg((4_000, 3_000), inside)) == (4_000, 3_000)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"GIF89a\x01\x00\x01\x00",
        png((9, 9))[:20],
        jpeg((9, 9))[:9],
        b"\xff\xd8" + segment(0xDA, b"?" * 90) + jpeg((9, 9))[2:],
        b"\xff\xd8" + b"?" * 90,
        b"\xff\xd8" + segment(0xE1, b"?" * 60_000) * 20,
        b"x" + png((9, 9)),
    ],
    ids=["none", "gif", "cut png", "cut jpeg", "picture first", "no jpeg", "too far", "not first"],
)
def test_what_does_not_tell_is_not_guessed(raw: bytes) -> None:
    assert told(raw) is None


@given(st.binary(max_size=200))
def test_no_bytes_break_it(raw: bytes) -> None:
    for head in (raw, b"\xff\xd8" + raw, png((1, 1))[:12] + raw):
        size_of(b64encode(head))
        size_of(head)


def test_what_another_decoder_might_skip_ends_the_look() -> None:
    data = b64encode(png((640, 480)))
    assert size_of(data[:10] + b"\n" + data[10:]) is None
    assert size_of(data[:40] + b"-" + data[40:]) == (640, 480)


def url(data: str, kind: str = "data:image/png;base64,") -> bytes:
    return json.dumps({"type": "image_url", "image_url": {"url": kind + data}}).encode()


def source(**fields: object) -> bytes:
    return json.dumps({"type": "image", "source": fields}).encode()


PNG = b64encode(png((640, 480))).decode()


def test_a_part_of_either_api_tells_the_size_of_what_it_holds() -> None:
    assert size_of_url_part(url(PNG)) == (640, 480)
    assert size_of_url_part(url(PNG).replace(b"/", b"\\/")) == (640, 480)
    assert size_of_source_part(source(type="base64", media_type="image/png", data=PNG)) == (
        640,
        480,
    )


@pytest.mark.parametrize(
    "part",
    [
        url(PNG, "https://example.org/a.png?"),
        url(PNG, "data:image/svg+xml,"),
        b'{"type":"image_url","image_url":"data:image/png;base64,%b"}' % PNG.encode(),
        b'{"type":"image_url","image_url":{"url":7}}',
        b'{"type":"image_url","note":"data:image/png;base64,%b","image_url":{}}' % PNG.encode(),
        b"{}",
    ],
)
def test_a_part_of_chat_completions_that_holds_no_image_tells_nothing(part: bytes) -> None:
    assert size_of_url_part(part) is None


@pytest.mark.parametrize(
    "part",
    [source(type="url", url=PNG), source(type="file", data=PNG), source(type="base64", data=7),
     source(type="base64"), b'{"source":"x"}'],
)  # fmt: skip
def test_a_part_of_messages_that_holds_no_image_tells_nothing(part: bytes) -> None:
    assert size_of_source_part(part) is None
