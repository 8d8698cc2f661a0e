"""A record over a limit is truncated within its values, never as bytes; if that is not enough, it
is rejected.
"""

from __future__ import annotations

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.encode.events import DIALECT, event
from tracesidecar.encode.formats import EVENT_FORMATS, encoder_for
from tracesidecar.encode.limit import encode_within

LONG = "pear " * 6_000
MARK = re.compile(r"…\[truncated \d+ bytes\]")
BIG = event(
    "tool_call",
    text=LONG,
    tool_name="Write",
    tool_type="edit",
    tool_arguments=json.dumps({"file_path": "/srv/pears.md", "content": LONG}),
    tool_result=LONG,
    raw=json.dumps({"message": {"content": [LONG, {"n": 1}]}, "id": "x"}),
)


@pytest.mark.parametrize("form", EVENT_FORMATS)
def test_a_record_within_the_limit_is_not_changed(form: str) -> None:
    encode = encoder_for(form)
    record = encode(BIG, DIALECT)
    assert encode_within(BIG, encode, DIALECT, len(record)) == record


@pytest.mark.parametrize("form", EVENT_FORMATS)
@pytest.mark.parametrize("limit_bytes", [8 * 1024, 64 * 1024, 100_000])
def test_a_record_over_the_limit_is_truncated_and_marked(form: str, limit_bytes: int) -> None:
    encode = encoder_for(form)
    record = encode_within(BIG, encode, DIALECT, limit_bytes)
    assert record is not None
    assert limit_bytes / 16 < len(record) <= limit_bytes
    assert MARK.search(record.decode())
    assert record == encode_within(BIG, encode, DIALECT, limit_bytes)
    if form not in ("cef", "leef"):
        json.loads(record)


def test_columns_of_json_stay_json_and_the_row_says_truncated() -> None:
    record = encode_within(BIG, encoder_for("event"), DIALECT, 20_000)
    assert record is not None
    row = json.loads(record)
    assert row["truncated"] is True
    assert json.loads(row["tool_arguments"])["file_path"] == "/srv/pears.md"
    assert json.loads(row["raw"])["id"] == "x"
    assert MARK.search(json.loads(row["raw"])["message"]["content"][0])
    assert (row["event_id"], row["line_sha256"]) == (BIG.event_id, BIG.line_sha256)


def test_the_limit_is_exact_to_the_byte() -> None:
    encode = encoder_for("event")
    size = len(encode(BIG, DIALECT))
    shorter = encode_within(BIG, encode, DIALECT, size - 1)
    assert shorter is not None
    assert json.loads(shorter)["truncated"] is True


def test_a_record_that_cannot_be_truncated_enough_is_rejected() -> None:
    assert (
        encode_within(
            event("user_message", conversation_id="c" * 9_000, text=LONG),
            encoder_for("event"),
            DIALECT,
            8_192,
        )
        is None
    )
    assert encode_within(BIG, encoder_for("ocsf"), DIALECT, 300) is None


def test_many_small_leaves_become_the_beginning_of_their_text() -> None:
    made = event("unknown", raw=json.dumps({str(number): number for number in range(20_000)}))
    record = encode_within(made, encoder_for("event"), DIALECT, 8_192)
    assert record is not None
    raw = json.loads(json.loads(record)["raw"])
    assert raw.startswith('{"0": 0')
    assert MARK.search(raw)


def test_the_event_is_not_changed() -> None:
    before = msgspec.structs.replace(BIG)
    encode_within(BIG, encoder_for("ecs"), DIALECT, 8_192)
    assert before == BIG


@given(
    st.text(min_size=200, max_size=2_000),
    st.integers(900, 6_000),
    st.sampled_from(sorted(EVENT_FORMATS)),
)
def test_with_any_text_the_record_fits_or_is_rejected(
    text: str, limit_bytes: int, form: str
) -> None:
    made = event("user_message", text=text, raw=json.dumps({"text": text}), error_message=text)
    record = encode_within(made, encoder_for(form), DIALECT, limit_bytes)
    assert record is None or len(record) <= limit_bytes
