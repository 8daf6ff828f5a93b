from __future__ import annotations

import json
import tomllib

from hypothesis import given
from hypothesis import strategies as st

from callgate.config.lines import Lines

KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=5)
PIECES = [
    "1", '"text"', "'''\n[x]\nlist = 2\n'''", '"""\na = "b"\n[[y]]\n"""', "[\n  1,\n  2, # ]\n]",
    '[ "[x]", "]" ]', "{ inner = [1, 2] }", '"\u2028\u0085"', "[[1], [\n2]]",
]  # fmt: skip
"""Values with line ends, brackets and what looks like other settings in them."""
BETWEEN = st.sampled_from(["", "\n", "# [no.section]\n", "   \n", "# key = 'x\n"])


@given(st.data())
def test_every_key_is_found_at_the_line_where_it_stands(data: st.DataObject) -> None:
    text = ""
    expected: dict[tuple[str, str], int] = {}
    for section in data.draw(st.lists(KEYS, min_size=1, max_size=3, unique=True)):
        text += data.draw(BETWEEN) + f"[{json.dumps(section, ensure_ascii=False)}] # here\n"
        for key in data.draw(st.lists(KEYS, max_size=3, unique=True)):
            text += data.draw(BETWEEN)
            expected[section, key] = text.count("\n") + 1
            text += (
                f"{json.dumps(key, ensure_ascii=False)} = {data.draw(st.sampled_from(PIECES))}\n"
            )
    tomllib.loads(text)
    lines = Lines(text)
    assert {path: lines.of(path) for path in expected} == expected


def test_a_part_of_a_value_is_found_at_the_setting_that_holds_it() -> None:
    lines = Lines('[models.smart]\n\nuse = [\n  "a:b",\n  "c:d",\n]\n')
    assert lines.of(("models", "smart", "use", 1)) == 3
    assert lines.of(("models", "smart", "absent")) == 1
    assert lines.of(("other",)) is None


def test_dotted_and_repeated_tables_are_found() -> None:
    lines = Lines("a.b = 1\n[[t]]\nx = 1\n[[t]]\n'x y'.z = 2\n")
    assert lines.of(("a", "b")) == 1
    assert lines.of(("t", 1, "x y", "z")) == 5
