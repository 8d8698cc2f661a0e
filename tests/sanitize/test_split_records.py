"""`repair` gives up the whole records of a line that also has something else, and nothing more."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sanitize.lines import chunk_of
from tracesidecar.sanitize.clean_chunk import line_positions
from tracesidecar.sanitize.rejections import RejectionReason
from tracesidecar.sanitize.repair import split_records
from tracesidecar.sanitize.sanitizer import Sanitizer

WHOLE = b'{"id":"2","text":"whole {braces} and \\"quotes\\"","n":[1,{"a":null}]}'
RECORDS = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=8,
    ),
    min_size=1,
).map(lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def take_records(line: bytes) -> list[bytes]:
    return [line[part.start : part.end] for part in split_records(line) if part.reason is None]


@pytest.mark.parametrize(
    "torn",
    [
        b'{"id":"1","te',
        b'{"id":"1","text":"begun',
        b'{"id":"1","text":"begun \\',
        b'{"id":"1","text":"begun \\u00',
        b'{"id":"1","text":"begun \xe2\x82',
        b'{"id":"1","text":"a {brace',
        b'{"id":"1","text"',
        b'{"id":"1","n":12',
        b'{"id":"1","n":1.',
        b'{"id":"1","n":tr',
        b'{"id":"1","n":null',
        b'{"id":"1",',
        b'{"id":"1","n":[1',
        b'{"id":"1","n":{"m":1}',
        b"{",
    ],
)
def test_a_whole_record_behind_a_torn_one_is_taken(torn: bytes) -> None:
    (rest, whole) = split_records(torn + WHOLE)
    assert rest == (0, len(torn), RejectionReason.TRUNCATED)
    assert whole == (len(torn), len(torn + WHOLE), None)


@pytest.mark.parametrize(
    ("line", "records"),
    [
        (b"\0" * 5000 + WHOLE, 1),
        (b'{"id":"1","text":"beg' + b"\0" * 300 + WHOLE, 1),
        (WHOLE + WHOLE, 2),
        (WHOLE + b" \t" + WHOLE + WHOLE, 3),
        (WHOLE + b"\0\0\0" + WHOLE, 2),
        (WHOLE + b'{"id":"3","te', 1),
        (b'{"id":"1","te' + WHOLE + b'{"id":"3","te' + WHOLE, 2),
    ],
)
def test_every_whole_record_of_a_line_is_taken(line: bytes, records: int) -> None:
    assert take_records(line) == [WHOLE] * records


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"user","message":{"role":"user","content":"x"}',
        b'{"a":[{"b":1},{"c":2}',
        b'{"a":{"b":1}',
        b'{"a":tru,"b":{"c":1}}',
        b'ontent":"x"},{"b":1}',
        b'{"a":1 "b":{"c":1}}',
        b'[{"a":1},{"b":2}}',
        b"plain text {}",
        b"1 2",
        b"\0\0\0",
        b"\xff\xfe{\0}\0",
    ],
)
def test_a_piece_of_a_broken_record_is_no_record(line: bytes) -> None:
    assert split_records(line) == []


@settings(max_examples=100, deadline=None)
@given(RECORDS, RECORDS, st.data())
def test_wherever_a_record_is_torn_what_is_taken_is_the_next_one_or_nothing(
    first: bytes, second: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(1, len(first) - 1))
    assert take_records(first[:at] + second) in ([second], [])


def test_a_line_of_many_torn_records_is_given_up() -> None:
    assert split_records(b'{"a"' * 4_000_000) == []  # quadratic work would never end


def test_the_records_of_a_line_have_positions_of_their_own_and_the_rest_is_rejected(
    secrets_only: Sanitizer,
) -> None:
    key = b"AKIA" + b"Q7LPMN5HFZKE2345"
    torn = b'{"id":"1","te'
    secret = b'{"id":"3","key":"%s"}' % key
    with_nan = WHOLE.replace(b"1", b"NaN")
    data = b"\n".join(
        [
            WHOLE,
            torn + WHOLE,
            WHOLE + secret,
            b"\0" * 100 + WHOLE,
            torn,
            WHOLE.replace(b"1", b"NaN"),
        ]
    )
    clean = secrets_only(chunk_of(data + b"\n", start=500), repair=True)
    lines = clean.data.splitlines()
    assert lines[:3] == [WHOLE] * 3
    assert lines[3] == secret.replace(key, b"[REDACTED:aws-access-key-id]")
    assert lines[4:] == [WHOLE, WHOLE.replace(b"1", b"null")]
    assert clean.lines == len(lines) == 6
    positions = line_positions(clean, data + b"\n")
    assert [position.number for position in positions] == [0, 1, 2, 2, 3, 5]
    found = [data[at - 500 : at - 500 + length] for _, at, length in positions]
    assert found == [WHOLE, WHOLE, WHOLE, secret, WHOLE, with_nan]
    rejected = [(data[r.start - 500 : r.end - 500], r.reason) for r in clean.rejected]
    assert rejected == [(torn, "truncated"), (b"\0" * 100, "nul"), (torn, "truncated")]
    assert set(clean.repaired) == {position.offset for position in positions[1:]}


def test_without_repair_the_whole_line_is_rejected(secrets_only: Sanitizer) -> None:
    data = b'{"id":"1","te' + WHOLE + b"\n" + WHOLE + WHOLE + b"\n"
    clean = secrets_only(chunk_of(data))
    assert clean.lines == 0
    assert [r.reason for r in clean.rejected] == ["not_json", "two_documents"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("repair", [False, True])
def test_a_utf_16_file_is_named_as_such(
    secrets_only: Sanitizer, encoding: str, *, repair: bool
) -> None:
    text = "".join(f'{{"n":{n},"text":"grüße 你好 {n}"}}\n' for n in range(20))
    clean = secrets_only(chunk_of(text.encode(encoding)), repair=repair)
    assert clean.lines == 0
    assert {rejection.reason for rejection in clean.rejected[:20]} == {"utf16"}
