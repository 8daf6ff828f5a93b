"""JSON texts as odd as the grammar allows, for property tests."""

from __future__ import annotations

import json

from hypothesis import strategies as st

SPACE = st.text(" \t\r\n", max_size=3)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)

VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text('ab\\"é{}[],:', max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)

KEYS = st.one_of(
    st.sampled_from(["model", "stream", "messages", "max_tokens", ""]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
)


@st.composite
def texts(draw: st.DrawFn, values: st.SearchStrategy[object] = VALUES) -> str:
    """Draw a JSON text of a value, with escapes and inner spaces in any style."""
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:")]))
    return json.dumps(draw(values), ensure_ascii=draw(st.booleans()), separators=separators)


@st.composite
def objects(draw: st.DrawFn) -> tuple[bytes, dict[str, str]]:
    """Draw the bytes of an object, and its members as they are written."""
    keys = draw(st.lists(KEYS, max_size=6, unique=True))
    members = {key: draw(texts()) for key in keys}
    written = [
        f"{draw(SPACE)}{json.dumps(key, ensure_ascii=draw(st.booleans()))}{draw(SPACE)}"
        f":{draw(SPACE)}{text}{draw(SPACE)}"
        for key, text in members.items()
    ]
    return (
        draw(SPACE) + "{" + (",".join(written) or draw(SPACE)) + "}" + draw(SPACE)
    ).encode(), members
