"""A JSON text with very many values is known without decoding it."""

from __future__ import annotations

import pytest

from tracesidecar.json_size import MOST_VALUES, has_too_many_values

FEW, MANY = MOST_VALUES - 2000, MOST_VALUES + 2000
ITEMS = [b"{}", b"[]", b"1", b'"a,[{"', rb'"\",[{\\"', b'"\xc3\xa9\\u00e9"']


@pytest.mark.parametrize("item", ITEMS)
def test_values_are_counted_and_not_what_strings_look_like(item: bytes) -> None:
    step = 2 if item in {b"{}", b"[]"} else 1  # its own bracket, and the comma
    assert not has_too_many_values(b"[" + b",".join([item] * (FEW // step)) + b"]")
    assert has_too_many_values(b"[" + b",".join([item] * (MANY // step)) + b"]")


def test_a_long_text_is_one_value() -> None:
    assert not has_too_many_values(b'{"csv":"' + rb"a,[{\",\n" * MOST_VALUES + b'"}')


def test_members_are_values() -> None:
    members = [b'"k%d":{"a":[1]}' % number for number in range(MANY // 3)]
    assert has_too_many_values(b"{" + b",".join(members) + b"}")
    assert not has_too_many_values(b"{" + b",".join(members[: FEW // 3]) + b"}")
