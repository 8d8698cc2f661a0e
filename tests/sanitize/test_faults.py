"""Whatever fails inside, the line is withheld and its neighbours are delivered."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence

import pytest

from tests.sanitize.lines import SEGMENT, chunk_of
from tracesidecar.model import CleanChunk
from tracesidecar.sanitize import streams
from tracesidecar.sanitize.detect import detector, encoded_text
from tracesidecar.sanitize.detect.confirm import HitConfirmer
from tracesidecar.sanitize.detect.detector import Detector
from tracesidecar.sanitize.detect.encoded_text import EncodedText
from tracesidecar.sanitize.edit import fast_path, line_editor, line_redactor, tree_walk
from tracesidecar.sanitize.edit.recheck import Recheck
from tracesidecar.sanitize.edit.split_secrets import SplitSecrets
from tracesidecar.sanitize.edit.stream_edits import StreamEdits
from tracesidecar.sanitize.engine.interface import TooManyHits
from tracesidecar.sanitize.markers import Span
from tracesidecar.sanitize.options import RedactionOptions
from tracesidecar.sanitize.prefilter.candidates import Candidates
from tracesidecar.sanitize.rejections import RejectionReason
from tracesidecar.sanitize.rules.key_names import KeyMatcher
from tracesidecar.sanitize.sanitizer import Sanitizer
from tracesidecar.sanitize.validate import validate

KEY_ID = "AKIA" + "Q7LPMN5HFZKE2345"
GOOD = b'{"ok":"plain words"}\n'
SECRETS = {
    "leaf": {"out": f"key {KEY_ID}"},
    "key": {"password": KEY_ID},
    "pair": [["Authorization", f"Bearer {KEY_ID}"]],
    "nested": {"a": json.dumps({"b": KEY_ID})},
    "encoded": {"o": KEY_ID[:6] + "\x1b[0m" + KEY_ID[6:]},
    "name": {KEY_ID: 1},
    "pieces": {"a": KEY_ID[:6], "b": KEY_ID[6:]},
    "base64": {"d": base64.b64encode(f"AWS_ACCESS_KEY_ID={KEY_ID}".encode()).decode()},
    "assignment": {"cmd": f"export DB_PASSWORD={KEY_ID}"},
}
STAGES: dict[str, tuple[object, str]] = {
    "scan of the chunk": (Candidates, "find_hits"),
    "confirmation": (HitConfirmer, "confirms"),
    "rules": (Detector, "find_spans"),
    "encoded text": (EncodedText, "find_spans"),
    "fast path": (line_redactor, "edit_near_hits"),
    "tree walk": (line_redactor, "edit_tree"),
    "splice": (line_editor.LineEditor, "splice"),
    "string": (line_editor.LineEditor, "edit_string"),
    "decoding": (fast_path, "_decode"),
    "tree": (tree_walk, "_tree"),
    "merging": (detector, "merge_spans"),
    "decoders": (encoded_text, "decode_text"),
    "base64": (encoded_text, "base64_content"),
    "recheck": (Recheck, "check"),
    "split secrets": (SplitSecrets, "find_edits"),
    "streams": (streams, "read_events"),
    "stream edits": (StreamEdits, "find_edits"),
}


def failing(*_args: object, **_options: object) -> object:
    raise RuntimeError("a stage failed")


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_failing_stage_leaks_no_secret(
    monkeypatch: pytest.MonkeyPatch, secrets_only: Sanitizer, stage: str, kind: str
) -> None:
    monkeypatch.setattr(*STAGES[stage], failing)
    bad = json.dumps(SECRETS[kind]).encode()
    clean = secrets_only(chunk_of(GOOD + bad + b"\n" + GOOD))
    assert KEY_ID.encode() not in clean.data
    assert KEY_ID[6:].encode() not in clean.data
    assert base64.b64encode(f"AWS_ACCESS_KEY_ID={KEY_ID}".encode()) not in clean.data
    # without the scan every line needs a tree walk, and a harmless one may be withheld too
    if stage != "scan of the chunk":
        assert clean.data.startswith(GOOD)
        assert clean.data.endswith(GOOD)
    for rejection in clean.rejected:
        assert rejection.reason == RejectionReason.REDACTION_FAILED


@pytest.mark.parametrize("stage", STAGES)
def test_a_failing_stage_leaks_no_streamed_secret(
    monkeypatch: pytest.MonkeyPatch, secrets_only: Sanitizer, stage: str
) -> None:
    pieces = [
        json.dumps({"type": "text_delta", "id": "m", "text": text}).encode()
        for text in (KEY_ID[:7], KEY_ID[7:13], KEY_ID[13:])
    ]
    monkeypatch.setattr(*STAGES[stage], failing)
    clean = secrets_only(chunk_of(GOOD + b"\n".join(pieces) + b"\n" + GOOD))
    joined = "".join(json.loads(line).get("text", "") for line in clean.data.splitlines())
    assert KEY_ID not in joined


def test_a_secret_left_after_redaction_costs_its_whole_string(
    monkeypatch: pytest.MonkeyPatch, secrets_only: Sanitizer
) -> None:
    other = "AKIA" + "Z2LPMN5HFZKE9999"
    line = json.dumps({"a": f"one {KEY_ID} two {other}", "b": 1}).encode()
    whole = line_editor.LineEditor._replace_spans

    def edit_first(
        self: line_editor.LineEditor, content: bytes, start: int, end: int, spans: Sequence[Span]
    ) -> None:
        whole(self, content, start, end, spans[:1])

    monkeypatch.setattr(line_editor.LineEditor, "_replace_spans", edit_first)
    clean = secrets_only(chunk_of(line + b"\n" + GOOD))
    assert clean.data == b'{"a": "[REDACTED:aws-access-key-id]", "b": 1}\n' + GOOD
    assert clean.redactions == (("aws-access-key-id", 2),)


def test_the_offset_of_a_failed_line_is_exact_among_dropped_lines(
    monkeypatch: pytest.MonkeyPatch, secrets_only: Sanitizer
) -> None:
    monkeypatch.setattr(Detector, "find_spans", failing)
    bad = json.dumps(SECRETS["leaf"]).encode()
    data = GOOD + b"\r\nnot json\n" + GOOD + bad + b"\r\n" + GOOD
    clean = secrets_only(chunk_of(data, start=1000))
    assert [(data[r.start - 1000 : r.end - 1000], r.reason) for r in clean.rejected] == [
        (b"not json", "not_json"),
        (bad + b"\r", "redaction_failed"),
    ]
    assert (clean.data, clean.lines, clean.blank_lines) == (GOOD * 3, 3, 1)


def test_a_failing_key_matcher_withholds_the_line(
    monkeypatch: pytest.MonkeyPatch, cache_directory: str
) -> None:
    classify = KeyMatcher._classify
    monkeypatch.setattr(
        KeyMatcher,
        "_classify",
        lambda matcher, key: failing() if key == "passphrase" else classify(matcher, key),
    )  # the self-test, which has other keys, passes
    broken = Sanitizer(RedactionOptions(), cache_directory=cache_directory)
    clean = broken(chunk_of(b'{"passphrase":"correct horse"}\n' + GOOD))
    assert (clean.data, [r.reason for r in clean.rejected]) == (GOOD, ["redaction_failed"])


def test_lines_with_too_many_hits_are_redacted_by_a_tree_walk(
    monkeypatch: pytest.MonkeyPatch, secrets_only: Sanitizer
) -> None:
    def too_many(*_args: object) -> object:
        raise TooManyHits

    lines = [json.dumps(value).encode() for value in SECRETS.values()]
    chunk = chunk_of(b"\n".join(lines) + b"\n")
    expected = secrets_only(chunk)
    monkeypatch.setattr(Candidates, "find_hits", too_many)
    assert secrets_only(chunk).data == expected.data


def test_a_line_too_deep_for_the_tree_walk_is_rejected_as_too_deep(secrets_only: Sanitizer) -> None:
    line = b"[" * 700 + b'["Authorization","Bearer abcdef123"]' + b"]" * 700
    clean = secrets_only(chunk_of(line + b"\n" + GOOD))
    assert (clean.data, [r.reason for r in clean.rejected]) == (GOOD, ["too_deep"])


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.redact_text(f"key {KEY_ID}"),
        lambda s: s.redact_line(b'{"a":"%s"}' % KEY_ID.encode()),
        lambda s: s.find_redactions(b'{"a":"%s"}' % KEY_ID.encode()),
    ],
)
def test_the_other_entry_points_fail_closed_too(
    monkeypatch: pytest.MonkeyPatch, secrets_only: Sanitizer, call: Callable[[Sanitizer], object]
) -> None:
    monkeypatch.setattr(Detector, "find_spans", failing)
    assert KEY_ID not in repr(call(secrets_only))


def test_the_repr_of_a_value_shows_no_trace_content(secrets_only: Sanitizer) -> None:
    clean = secrets_only(chunk_of(b'{"a":"canary-7"}\n'))
    assert isinstance(clean, CleanChunk)
    assert clean.segment is SEGMENT
    assert "canary-7" not in repr(clean)
    assert "canary-7" not in repr(validate(b'{"a":"canary-7"}\n'))
