"""Of a source of JSON documents each is one line or one rejection, whatever is wrong with it."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sanitize.lines import chunk_of
from tracesidecar.json_documents import Document, Ending, next_document
from tracesidecar.model import CleanChunk
from tracesidecar.sanitize.clean_chunk import line_positions
from tracesidecar.sanitize.sanitizer import Sanitizer

KEY_ID = b"AKIA" + b"Q7LPMN5HFZKE2345"
SEPARATORS = (b"\n", b"\n\n", b"\r\n", b"\n\t\n", b"")


def trajectory(number: int, **more: object) -> dict[str, object]:
    """Return what an agent writes once, indented, at the end of a step."""
    steps = [
        {"action": f"open {number}", "observation": '[File: {"a"] "quoted" \\', "state": None}
        for _ in range(2)
    ]
    return {"trajectory": steps, "info": {"cost": 0.1, "exit": None}, "empty": {}, **more}


def indent_document(number: int, **more: object) -> bytes:
    return json.dumps(trajectory(number, **more), indent=2).encode()


def compact(number: int, **more: object) -> bytes:
    return json.dumps(trajectory(number, **more)).encode()


PRETTY = indent_document(1)
FAULTS = {
    "nan": PRETTY.replace(b"0.1", b"NaN"),
    "trailing comma": PRETTY.replace(b"{}", b"{},"),
    "missing comma": PRETTY.replace(b"},\n", b"}\n"),
    "extra bracket": PRETTY.replace(b'"exit": null', b'"exit": null]'),
    "missing bracket": PRETTY.replace(b"],", b","),
    "wrong bracket": PRETTY.replace(b"],", b"},"),
    "half a surrogate pair": PRETTY.replace(b"0.1", b'"\\ud83d"'),
    "no UTF-8": PRETTY.replace(b"0.1", b'"\xff"'),
    "newline in a string": PRETTY.replace(b"open 1", b"open\n { [ 1"),
    "single quotes": PRETTY.replace(b'"info"', b"'info'"),
    "comment": PRETTY.replace(b"0.1", b"0.1 // dollars {"),
    "unknown escape": PRETTY.replace(b"open 1", b"\\x"),
    "too deep": b'{\n  "a": ' + b"[" * 2000 + b"]" * 2000 + b"\n}",
    "torn in a string": PRETTY[: PRETTY.index(b"pen 1")],
    "torn after a comma": PRETTY[: PRETTY.index(b",") + 1],
    "torn after a line": PRETTY[: PRETTY.index(b'"info"')].rstrip(b" "),
    "without its last bracket": PRETTY[:-2],
    "no JSON": b"<html>\n  <body>Bad gateway</body>\n</html>",
    "NUL bytes": b"\0" * 512,
}


def clean(sanitizer: Sanitizer, data: bytes, *, start: int = 0, repair: bool = False) -> CleanChunk:
    chunk = dataclasses.replace(chunk_of(data, start=start), documents=True)
    cleaned = sanitizer(chunk, repair=repair)
    assert cleaned.data.count(b"\n") == cleaned.lines
    return cleaned


def documents(data: bytes, ending: Ending = Ending.FINAL) -> list[Document]:
    found: list[Document] = []
    while (document := next_document(data, found[-1].end if found else 0, ending)) is not None:
        found.append(document)
    return found


@pytest.mark.parametrize("end", [b"\n", b"", b"\n\x1e\n"])
@pytest.mark.parametrize("make", [indent_document, compact])
def test_a_text_sequence_is_read_text_by_text(
    everything: Sanitizer, make: Callable[[int], bytes], end: bytes
) -> None:
    """RFC 7464: a record separator before each text, and a newline behind it if it is whole."""
    faults = [text for text in FAULTS.values() if end or text.startswith(b"{")]
    texts = [make(1), *faults, make(2), make(3)]
    data = b"".join(b"\x1e" + text + end for text in texts)
    cleaned = clean(everything, data)
    assert [json.loads(line) for line in cleaned.data.splitlines()] == list(
        map(trajectory, (1, 2, 3))
    )
    rejected = [data[each.start : each.end] for each in cleaned.rejected]
    assert rejected == [text.rstrip() for text in faults]
    assert documents(b"\x1e" + PRETTY + b"\n\x1e", Ending.OPEN) == [
        Document(1, 1 + len(PRETTY), "whole")
    ]


def test_a_separator_within_a_string_makes_one_fault(everything: Sanitizer) -> None:
    cleaned = clean(everything, b'{"a":"x\x1ey"}\n{"b":1}\n')
    assert (cleaned.data, len(cleaned.rejected)) == (b'{"b":1}\n', 1)


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("make", [indent_document, compact])
def test_each_document_becomes_one_line_with_its_own_position(
    secrets_only: Sanitizer, make: object, separator: bytes
) -> None:
    assert callable(make)
    whole = [make(number) for number in range(3)]
    data = b"\xef\xbb\xbf" + separator.join(whole) + separator
    cleaned = clean(secrets_only, data)
    lines = cleaned.data.splitlines()
    assert [json.loads(line) for line in lines] == [trajectory(number) for number in range(3)]
    positions = line_positions(cleaned, data)
    assert [data[at : at + length] for _, at, length in positions] == whole
    assert [number for number, _, _ in positions] == [
        data.count(b"\n", 0, position.offset) for position in positions
    ]


def test_a_compact_document_leaves_byte_by_byte(secrets_only: Sanitizer) -> None:
    whole = b'{ "a":\t1.50 ,"b": [ ] }'
    assert clean(secrets_only, whole).data == whole + b"\n"


@pytest.mark.parametrize("separator", SEPARATORS[:4])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_rejection_and_costs_no_other_document(
    secrets_only: Sanitizer, fault: str, separator: bytes
) -> None:
    data = (
        separator.join([indent_document(0), FAULTS[fault], indent_document(2), indent_document(3)])
        + separator
    )
    cleaned = clean(secrets_only, data, start=700)
    assert [json.loads(line) for line in cleaned.data.splitlines()] == [
        trajectory(number) for number in (0, 2, 3)
    ]
    [rejection] = cleaned.rejected
    assert data[rejection.start - 700 : rejection.end - 700] == FAULTS[fault].strip()
    found = [data[at - 700 :][:length] for _, at, length in line_positions(cleaned, data)]
    assert found == [indent_document(number) for number in (0, 2, 3)]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_only_document_is_one_rejection(secrets_only: Sanitizer, fault: str) -> None:
    cleaned = clean(secrets_only, FAULTS[fault])
    assert (cleaned.lines, len(cleaned.rejected)) == (0, 1)


def test_a_torn_compact_document_does_not_take_the_next_line_along(
    secrets_only: Sanitizer,
) -> None:
    data = b'{"id":"1","te\n{"id":"2"}\n{"a":1,"b":\n{"id":"3"}\n{"id":"4"}'
    cleaned = clean(secrets_only, data)
    assert cleaned.data == b'{"id":"2"}\n{"id":"3"}\n{"id":"4"}\n'
    assert [rejection.reason for rejection in cleaned.rejected] == ["truncated", "truncated"]


def test_many_torn_documents_do_not_hide_a_whole_one_nor_take_forever(
    secrets_only: Sanitizer,
) -> None:
    torn = b'{"id":"1","te\n' * 3000 + b'{"a":1,"b":\n' * 3000
    cleaned = clean(secrets_only, torn + b'{"id":"2"}\n')
    assert cleaned.data == b'{"id":"2"}\n'
    assert len(cleaned.rejected) == 6000


def test_a_torn_document_glued_to_a_whole_one_is_split_by_repair(secrets_only: Sanitizer) -> None:
    torn = indent_document(1)[:60]
    data = torn + indent_document(2) + b"\n"
    assert [r.reason for r in clean(secrets_only, data).rejected] == ["not_json"]
    cleaned = clean(secrets_only, data, repair=True)
    assert json.loads(cleaned.data) == trajectory(2)
    assert [(r.start, r.end) for r in cleaned.rejected] == [(0, len(torn))]
    assert line_positions(cleaned, data)[0].offset == len(torn)
    assert cleaned.repaired == (len(torn),)


@pytest.mark.parametrize("fault", ["nan", "half a surrogate pair"])
def test_what_a_line_is_repaired_of_a_document_is_too(secrets_only: Sanitizer, fault: str) -> None:
    cleaned = clean(secrets_only, FAULTS[fault] + b"\n" + indent_document(2), repair=True)
    assert (cleaned.lines, cleaned.rejected, cleaned.repaired) == (2, (), (0,))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_documents_in_utf_16_are_one_rejection_and_named_as_such(
    secrets_only: Sanitizer, encoding: str
) -> None:
    data = (indent_document(1) + b"\n" + indent_document(2) + b"\n").decode().encode(encoding)
    cleaned = clean(secrets_only, data)
    assert [rejection.reason for rejection in cleaned.rejected] == ["utf16"]


@pytest.mark.parametrize(
    "secret",
    [
        b'{\n  "aws": "%s"\n}' % KEY_ID,
        b'{\r\n\t"password"\r\n\t:\r\n\t"hunter2-but-long-Enough!"\r\n}',
        b'{"env": {\n    "name": "DB_PASSWORD",\n    "value": "hunter2-but-long-Enough!"\n  }\n}',
        b'[\n"Authorization: Bearer abcdefghijklmnop1234567890hunter2-but-long-Enough!"\n]',
    ],
)
def test_a_secret_is_redacted_whatever_lines_its_key_and_value_are_on(
    secrets_only: Sanitizer, secret: bytes
) -> None:
    cleaned = clean(secrets_only, secret + b"\n" + indent_document(1))
    assert cleaned.lines == 2
    assert b"[REDACTED:" in cleaned.data
    assert KEY_ID not in cleaned.data
    assert b"hunter2" not in cleaned.data


@pytest.mark.parametrize(
    "whole",
    [
        [indent_document(1), indent_document(2)],
        [
            indent_document(1, text="\U0001f600 grüße \ud83d?").replace(
                b"\\ud83d?", b"\\ud83d\\ude00"
            )
        ],
        [b"[\n" + b",\n".join([compact(1), compact(2)]) + b"\n]", indent_document(3)],
        [b"[" + b",\n".join([indent_document(1), indent_document(2)]) + b"]", indent_document(3)],
        [json.dumps([trajectory(1), trajectory(2)], indent=0).encode(), indent_document(3)],
        [b"12.5", b'"text {"', b"true", b"[]", b"{}", b"[\n\n]"],
    ],
    ids=["indented", "escapes", "a record a line", "lines with brackets", "flat", "values"],
)
@pytest.mark.parametrize("ending", [Ending.OPEN, Ending.RESTING])
def test_a_document_that_is_being_written_is_waited_for(whole: list[bytes], ending: Ending) -> None:
    data = b"\n".join(whole) + b"\n"
    for length in range(len(data)):
        found = documents(data[:length], ending)
        assert {document.state for document in found} <= {"whole"}
        if found and data[found[-1].start] not in b"0123456789":
            assert [data[each.start : each.end] for each in found] == whole[: len(found)]
    assert [data[each.start : each.end] for each in documents(data)] == whole


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
DOCUMENTS = st.builds(
    lambda value, indent: json.dumps(value, indent=indent).encode(),
    st.lists(VALUES) | st.dictionaries(st.text(max_size=3), VALUES),
    st.sampled_from([None, 0, 1, 2]),
)


@settings(deadline=None)
@given(st.lists(DOCUMENTS, max_size=4), st.sampled_from(SEPARATORS), st.data())
def test_bytes_fall_into_the_same_documents_wherever_a_chunk_ends(
    whole: list[bytes], separator: bytes, data: st.DataObject
) -> None:
    content = bytearray(separator.join(whole) + separator)
    for _ in range(data.draw(st.integers(0, 2)) if content else 0):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + 1] = data.draw(st.sampled_from([b"", b"\n", b'"', b"{", b"]", b"\xff"]))
        content = content or bytearray(b" ")
    read = bytes(content)
    found = documents(read)
    for index, document in enumerate(found):
        start = found[index - 1].end if index else 0
        again = documents(read[start : document.end])
        assert [(each.start, each.end) for each in again] == [
            (document.start - start, document.end - start)
        ]
    between = [read[a.end : b.start] for a, b in itertools.pairwise(found)]
    assert not b"".join(between).replace(b"\xef\xbb\xbf", b"").strip()
