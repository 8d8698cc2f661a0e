"""Which lines are accepted and which are rejected, case by case."""

from __future__ import annotations

import json

import pytest

from tracesidecar.sanitize.rejections import RejectionReason
from tracesidecar.sanitize.validate import rejection_reason, validate

GOOD = b'{"ok":1}'

ACCEPTED = {
    "object": b'{"a":1}',
    "array": b"[1]",
    "string": b'"x"',
    "number": b"42",
    "null": b"null",
    "duplicate names": b'{"a":1,"a":2}',
    "empty name": b'{"":1}',
    "DEL in a string": b'{"a":"\x7f"}',
    "four byte character": b'{"a":"\xf0\x9f\x98\x80"}',
    "surrogate pair": b'{"a":"\\ud83d\\ude00"}',
    "escaped NUL": b'{"a":"\\u0000"}',
    "escaped slash": b'{"a":"\\/"}',
    "minus zero": b'{"a":-0}',
    "beyond a float": b'{"a":1e400}',
    "beyond a negative float": b'{"a":-1e400}',
    "thirty digits": b'{"a":123456789012345678901234567890}',
    "two to the 64": b'{"a":18446744073709551616}',
    "white space everywhere": b' { "a" :\t[ 1 , 2 ] } ',
    "line separator as text": '{"a":"\u2028"}'.encode(),
    "a hundred deep": b"[" * 100 + b"]" * 100,
    "five hundred deep": b'{"a":' * 500 + b"1" + b"}" * 500,
}

REJECTED = {
    "NaN": (b'{"a":NaN}', RejectionReason.NAN),
    "Infinity": (b'{"a":Infinity}', RejectionReason.NAN),
    "-Infinity": (b'{"a":[1,-Infinity]}', RejectionReason.NAN),
    "NaN and a lone surrogate": (b'{"a":NaN,"b":"\\ud800"}', RejectionReason.NAN),
    "lone high surrogate": (b'{"a":"\\ud800"}', RejectionReason.LONE_SURROGATE),
    "lone low surrogate": (b'{"a":"\\udc00"}', RejectionReason.LONE_SURROGATE),
    "reversed pair": (b'{"a":"\\udc00\\ud800"}', RejectionReason.LONE_SURROGATE),
    "high surrogate and a letter": (b'{"a":"\\ud800\\u0041"}', RejectionReason.LONE_SURROGATE),
    "lone surrogate in a name": (b'{"\\ud800":1}', RejectionReason.LONE_SURROGATE),
    "byte ff": (b'{"a":"\xff"}', RejectionReason.INVALID_UTF8),
    "byte ff in a name": (b'{"\xff":1}', RejectionReason.INVALID_UTF8),
    "overlong NUL": (b'{"a":"\xc0\x80"}', RejectionReason.INVALID_UTF8),
    "surrogate in UTF-8": (b'{"a":"\xed\xa0\x80"}', RejectionReason.INVALID_UTF8),
    "beyond Unicode": (b'{"a":"\xf4\x90\x80\x80"}', RejectionReason.INVALID_UTF8),
    "cut off character": (b'{"a":"\xe2\x82"}', RejectionReason.INVALID_UTF8),
    "UTF-16": ('\ufeff{"a":1}'.encode("utf-16-le"), RejectionReason.UTF16),
    "two documents": (b'{"a":1}{"a":2}', RejectionReason.TWO_DOCUMENTS),
    "two documents apart": (b'{"a":1} {"a":2}', RejectionReason.TWO_DOCUMENTS),
    "document and number": (b'{"a":1} 7', RejectionReason.TWO_DOCUMENTS),
    "a hundred thousand deep": (b"[" * 100_000 + b"]" * 100_000, RejectionReason.TOO_DEEP),
    "a hundred thousand objects deep": (
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        RejectionReason.TOO_DEEP,
    ),
    "unclosed object": (b'{"a":1', RejectionReason.TRUNCATED),
    "unclosed string": (b'{"a":"x}', RejectionReason.TRUNCATED),
    "ends in an escape": (b'{"a":"x\\"}', RejectionReason.TRUNCATED),
    "byte order mark": (b'\xef\xbb\xbf{"a":1}', RejectionReason.NOT_JSON),
    "trailing comma in an object": (b'{"a":1,}', RejectionReason.NOT_JSON),
    "trailing comma in an array": (b'{"a":[1,]}', RejectionReason.NOT_JSON),
    "text behind": (b'{"a":1} x', RejectionReason.NOT_JSON),
    "single quotes": (b"{'a':1}", RejectionReason.NOT_JSON),
    "comment": (b'{"a":1/*x*/}', RejectionReason.NOT_JSON),
    "bare name": (b"{a:1}", RejectionReason.NOT_JSON),
    "control character": (b'{"a":"\x01"}', RejectionReason.NOT_JSON),
    "raw tab": (b'{"a":"\t"}', RejectionReason.NOT_JSON),
    "raw carriage return": (b'{"a":"x\ry"}', RejectionReason.NOT_JSON),
    "raw NUL": (b'{"a":"\x00"}', RejectionReason.NOT_JSON),
    "NUL behind": (b'{"a":1}\x00', RejectionReason.NOT_JSON),
    "NULs only": (b"\x00" * 64, RejectionReason.NOT_JSON),
    "unknown escape": (b'{"a":"\\x41"}', RejectionReason.NOT_JSON),
    "short escape": (b'{"a":"\\u12"}', RejectionReason.NOT_JSON),
    "escape without hex": (b'{"a":"\\u00zz"}', RejectionReason.NOT_JSON),
    "leading zero": (b'{"a":01}', RejectionReason.NOT_JSON),
    "plus sign": (b'{"a":+1}', RejectionReason.NOT_JSON),
    "no digits behind the point": (b'{"a":1.}', RejectionReason.NOT_JSON),
    "no digits before the point": (b'{"a":.5}', RejectionReason.NOT_JSON),
    "no exponent": (b'{"a":1e}', RejectionReason.NOT_JSON),
    "hexadecimal": (b'{"a":0x10}', RejectionReason.NOT_JSON),
    "minus alone": (b'{"a":-}', RejectionReason.NOT_JSON),
    "digits apart": (b'{"a":1_000}', RejectionReason.NOT_JSON),
    "True": (b'{"a":True}', RejectionReason.NOT_JSON),
    "tru": (b'{"a":tru}', RejectionReason.NOT_JSON),
    "nulll": (b'{"a":nulll}', RejectionReason.NOT_JSON),
    "no colon": (b'{"a" 1}', RejectionReason.NOT_JSON),
    "no comma": (b'{"a":1 "b":2}', RejectionReason.NOT_JSON),
    "two colons": (b'{"a"::1}', RejectionReason.NOT_JSON),
    "number as name": (b"{1:1}", RejectionReason.NOT_JSON),
    "wrong bracket": (b'{"a":[1}', RejectionReason.NOT_JSON),
    "one bracket more": (b'{"a":1}}', RejectionReason.NOT_JSON),
    "form feed": (b'{"a":\x0c1}', RejectionReason.NOT_JSON),
    "no-break space": (b'{"a":\xc2\xa01}', RejectionReason.NOT_JSON),
    "plain text": (b"hello", RejectionReason.NOT_JSON),
    "Nanny": (b'{"a":Nanny}', RejectionReason.NOT_JSON),
}


@pytest.mark.parametrize("line", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted_lines_pass_as_they_are(line: bytes) -> None:
    chunk = GOOD + b"\n" + line + b"\n" + GOOD + b"\n"
    result = validate(chunk)
    assert (result.data, result.lines, result.rejected) == (chunk, 3, [])


@pytest.mark.parametrize(("line", "reason"), REJECTED.values(), ids=REJECTED.keys())
def test_rejected_lines_have_their_reason_and_their_neighbours_are_accepted(
    line: bytes, reason: RejectionReason
) -> None:
    result = validate(GOOD + b"\n" + line + b"\n" + GOOD + b"\n", repair=False)
    assert (result.data, result.lines) == ((GOOD + b"\n") * 2, 2)
    assert result.rejected == [(9, 9 + len(line), reason)]
    assert rejection_reason(line) is reason


@pytest.mark.parametrize(
    "chunk",
    [
        b'{"a":\n1}\n',
        b'{"a":\n1}\n{"b":1} {"c":2}\n',
        b'{"a":1} {"b":2}\n\n',
        b'{"a":1}\n{"b":\n2}\n{"c":3}{"d":4}\n',
        b"[1,\n2] 3\n4\n",
    ],
)
def test_split_documents_and_lines_with_two_documents_do_not_cancel_out(
    chunk: bytes,
) -> None:
    result = validate(chunk)
    for line in result.data.splitlines():
        json.loads(line)
    assert result.lines + len(result.rejected) + result.blank == chunk.count(b"\n")


def test_crlf_and_blank_lines_leave_one_document_per_line() -> None:
    result = validate(b'{"a":1}\r\n\r\n \t\r\n{"b":2}\r\n\n')
    assert (result.data, result.lines, result.blank, result.rejected) == (
        b'{"a":1}\n{"b":2}\n',
        2,
        3,
        [],
    )
    assert result.starts == [0, 15]


def test_a_byte_order_mark_is_allowed_only_at_the_start_of_a_file() -> None:
    chunk = b'\xef\xbb\xbf{"a":1}\n{"b":2}\n'
    assert validate(chunk, is_first=True).data == b'{"a":1}\n{"b":2}\n'
    assert validate(chunk).rejected == [(0, 10, RejectionReason.NOT_JSON)]


def test_a_torn_line_is_accepted_if_complete_and_otherwise_truncated() -> None:
    assert validate(b'{"a":1}\n{"b":2}', is_torn=True).data == b'{"a":1}\n{"b":2}\n'
    assert validate(b'{"a":1}\n{"b":', is_torn=True).rejected == [
        (8, 13, RejectionReason.TRUNCATED)
    ]
    assert validate(b"nul", is_torn=True).rejected == [(0, 3, RejectionReason.TRUNCATED)]


def test_a_last_line_in_utf_16_is_named_as_such_although_it_has_no_newline() -> None:
    line = '{"a":"one"}'.encode("utf-16-le")
    assert validate(line, is_torn=True).rejected == [(0, 22, RejectionReason.UTF16)]


@pytest.mark.parametrize(
    ("line", "fixed"),
    [
        (b'{"a":NaN,"b":[Infinity,-Infinity]}', b'{"a":null,"b":[null,null]}'),
        (b'{"a":"NaN \\" Infinity","b":NaN}', b'{"a":"NaN \\" Infinity","b":null}'),
        (b'{"a":"x\\ud800y"}', b'{"a":"x\\ufffdy"}'),
        (b'{"a":"\\udc00\\ud800"}', b'{"a":"\\ufffd\\ufffd"}'),
        (b'{"a":"\\ud83d\\ude00 \\\\ud800 \\uD83D"}', b'{"a":"\\ud83d\\ude00 \\\\ud800 \\ufffd"}'),
        (b'{"a":NaN,"b":"\\ud800"}', b'{"a":null,"b":"\\ufffd"}'),
    ],
)
def test_repair_replaces_exactly_nan_and_lone_surrogates(line: bytes, fixed: bytes) -> None:
    result = validate(GOOD + b"\n" + line + b"\n", repair=True)
    assert (result.data, result.repaired, result.rejected) == (
        GOOD + b"\n" + fixed + b"\n",
        [len(GOOD) + 1],
        [],
    )


@pytest.mark.parametrize(
    "line", [b'{"a":NaN,}', b'{"a":"\xff"}', b'{"a":+Infinity}', b'{"a":NaN1}', b'{"a":1']
)
def test_repair_fixes_nothing_else(line: bytes) -> None:
    result = validate(line + b"\n", repair=True)
    assert (result.lines, result.repaired, len(result.rejected)) == (0, [], 1)


def test_every_reason_has_a_meaning_and_a_label() -> None:
    assert all(
        reason.meaning.endswith(".") and str(reason) == reason.value for reason in RejectionReason
    )
