"""Each key of a TOML document is found on its line."""

from __future__ import annotations

import tomli
from hypothesis import given
from hypothesis import strategies as st

from tracesidecar.config.line_numbers import locate

DOCUMENT = '''\
# a comment with [brackets] and key = 1
top = "a # b"
"quoted.key" = 1
dotted.inner.key = true

[table]
multi = """
[not.a.table]
key = 2 \\""" still
"""
literal = \'\'\'
[[neither]]
\'\'\'
array = [
  1,  # one
  { a = 1, b = [2,
     3] },
]
inline = { x = { y = 1 }, z = "}" }

[[block]]
name = "first"
[block.sub]
deep = 1
[[block]]
name = "second"
[[block.nested]]
n = 1
[[block.nested]]
n = 1979-05-27 07:32:00
'''


def test_keys_are_found_in_tables_arrays_inline_tables_and_dotted_keys() -> None:
    lines = locate(DOCUMENT)
    expected = {
        ("top",): 2,
        ("quoted.key",): 3,
        ("dotted", "inner", "key"): 4,
        ("table",): 6,
        ("table", "multi"): 7,
        ("table", "literal"): 11,
        ("table", "array"): 14,
        ("table", "array", 0): 15,
        ("table", "array", 1): 16,
        ("table", "array", 1, "a"): 16,
        ("table", "array", 1, "b", 1): 17,
        ("table", "inline"): 19,
        ("table", "inline", "x", "y"): 19,
        ("table", "inline", "z"): 19,
        ("block", 0): 21,
        ("block", 0, "name"): 22,
        ("block", 0, "sub"): 23,
        ("block", 0, "sub", "deep"): 24,
        ("block", 1): 25,
        ("block", 1, "name"): 26,
        ("block", 1, "nested", 0): 27,
        ("block", 1, "nested", 0, "n"): 28,
        ("block", 1, "nested", 1): 29,
        ("block", 1, "nested", 1, "n"): 30,
    }
    assert {path: lines.get(path) for path in expected} == expected


def test_every_value_of_a_document_has_a_line() -> None:
    assert set(_paths(tomli.loads(DOCUMENT))) <= set(locate(DOCUMENT))


def test_windows_line_ends_do_not_shift_lines() -> None:
    assert locate("a = 1\r\n\r\nb = 2\r\n") == {("a",): 1, ("b",): 3}


_keys = st.text("abc-_9", min_size=1, max_size=4)
_values = st.recursive(
    st.sampled_from(["1", "true", '"}],#"', "'[a]'", "1.5", '"""x\ny"""', "2020-01-01"]),
    lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    max_leaves=5,
)


@given(st.lists(st.tuples(_keys, _values), max_size=8, unique_by=lambda pair: pair[0]))
def test_a_key_is_found_on_the_line_it_was_written_on(pairs: list[tuple[str, str]]) -> None:
    text, expected = "", {}
    for key, value in pairs:
        expected[(key,)] = text.count("\n") + 1
        text += f"{key} = {value} # = [\n"
    tomli.loads(text)
    assert {path: line for path, line in locate(text).items() if len(path) == 1} == expected


def _paths(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [found for key, item in items for found in [(*path, key), *_paths(item, (*path, key))]]
