"""Every message follows RFC 5424, whatever the record's ids contain, and is within the limit."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tracesidecar.model import Record
from tracesidecar.sinks import syslog
from tracesidecar.sinks.transport.syslog_message import BOM, SyslogFormatter

MESSAGE = re.compile(
    rb"<(?P<pri>[0-9]{1,3})>1 (?P<time>\S+) (?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) "
    rb"(?P<procid>[!-~]{1,128}) (?P<msgid>[!-~]{1,32}) "
    rb'\[(?P<id>[!-~]{1,32}?)(?P<parameters>( [a-z]{1,32}="(\\["\\\]]|[^"\\\]])*")*)\] (?P<msg>.*)',
    re.DOTALL,
)
PARAMETER = re.compile(rb' ([a-z]+)="((?:\\["\\\]]|[^"\\\]])*)"')

ACTS = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
TEXT = st.text(max_size=60) | st.text(
    alphabet='"\\]\n\0 a\ud800\x1b\x7f\x9b\u2028\u202e\u2067', max_size=30
)
RECORDS = st.builds(
    Record,
    st.text(max_size=300).map(lambda text: text.encode()),
    st.just("f" * 32),
    TEXT,
    TEXT,
    TEXT,
    st.just("2026-09-21T14:13:20.000000Z"),
    TEXT,
    st.none() | TEXT,
    st.none() | TEXT,
    st.sampled_from(("informational", "low", "medium")),
)


def formatter(limit_bytes: int = 480, *, bom: bool = True) -> SyslogFormatter:
    return SyslogFormatter(
        syslog.Options(
            name="siem",
            type="syslog",
            host="siem.example",
            hostname="builder-7",
            procid="42",
            facility="local7",
            bom=bom,
        ),
        limit_bytes,
    )


@given(RECORDS)
def test_any_record_becomes_a_message_that_can_be_parsed_and_is_within_the_limit(
    record: Record,
) -> None:
    made = formatter().format(record)
    assert made is not None or len(record.body) > formatter().record_limit_bytes
    if made is not None:
        assert len(made) <= 480
        parts = MESSAGE.fullmatch(made)
        assert parts is not None
        assert parts["msg"] == BOM + record.body
        assert PARAMETER.findall(parts["parameters"])[0] == (b"event", b"f" * 32)
        assert not ACTS.search(parts["parameters"].decode())


@given(RECORDS, st.integers(-1, 1))
def test_the_limit_of_a_record_is_exact_for_the_longest_header(record: Record, beside: int) -> None:
    body = b"x" * (formatter().record_limit_bytes + beside)
    assert (formatter().format(record._replace(body=body, kind="k" * 32)) is None) == (beside > 0)


def test_ids_that_do_not_fit_are_left_out_starting_with_the_last() -> None:
    record = Record(
        b"x" * 200,
        "f" * 32,
        "generic",
        "c" * 20,
        "/" + "s" * 300,
        "2026-09-21T14:13:20.000000Z",
        "state",
        "t" * 32,
        "p" * 16,
    )
    names = [name for name, _ in PARAMETER.findall(formatter().format(record) or b"")]
    assert names == [b"event", b"conversation", b"dialect"]
    names = [name for name, _ in PARAMETER.findall(formatter(8192).format(record) or b"")]
    assert names == [b"event", b"conversation", b"dialect", b"source", b"trace", b"span"]


def test_the_utf_8_mark_can_be_left_out() -> None:
    record = Record(
        b"CEF:0|", "f" * 32, "generic", "", "", "2026-09-21T14:13:20.000000Z", "state", None, None
    )
    assert (formatter(bom=False).format(record) or b"").endswith(b"] CEF:0|")
