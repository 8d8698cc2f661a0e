"""Labelled corpora and real lines: recall, and what must not be redacted."""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections import Counter
from types import ModuleType

import pytest

from tests.sanitize.lines import SHARED, chunk_of, corpus, load_labelled, placements, texts_of
from tracesidecar.sanitize.rules import is_example
from tracesidecar.sanitize.sanitizer import Sanitizer

BENIGN_SHARE = 0.98


def is_absent(row: dict[str, str], value: object) -> bool:
    visible = {row["secret"], json.dumps(row["secret"])[1:-1]}
    return not any(secret in text for text in texts_of(value) for secret in visible)


def is_found(sanitizer: Sanitizer, row: dict[str, str], line: bytes) -> bool:
    out = sanitizer.redact_line(line)
    assert isinstance(out, bytes), row["id"]
    return is_absent(row, json.loads(out))


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    corpus("redaction-dev.jsonl.gz")
    spec = importlib.util.spec_from_file_location(
        "redact_ref", SHARED / "reference" / "redact_ref.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["redaction-dev.jsonl.gz", "redaction-dev2.jsonl.gz"])
def test_no_secret_is_missed_that_the_reference_finds(
    secrets_only: Sanitizer, reference: ModuleType, name: str
) -> None:
    oracle = reference.Redactor(pii=False)
    rows = [
        row
        for row in load_labelled(name)
        if row["secret"]
        and row["tier"] in {"secret", "high", "medium"}
        and not is_example(row["secret"])
    ]
    worse = []
    for row in rows:
        if is_absent(row, oracle.redact_json({"out": row["text"]})[0]) and not is_found(
            secrets_only, row, json.dumps({"out": row["text"]}).encode()
        ):
            worse.append(row["id"])
    assert worse == []


@pytest.mark.parametrize(
    ("name", "tiers", "share"),
    [
        ("redaction-dev.jsonl.gz", {"secret"}, 0.98),
        ("redaction-dev2.jsonl.gz", {"high"}, 0.90),
        ("redaction-dev2.jsonl.gz", {"high", "medium"}, 0.85),
    ],
)
def test_secrets_are_found_in_every_placement(
    secrets_only: Sanitizer, name: str, tiers: set[str], share: float
) -> None:
    assert_found_everywhere(
        secrets_only,
        [row for row in load_labelled(name) if row["secret"] and row["tier"] in tiers],
        share,
    )


def test_core_personal_data_is_found_in_every_placement(strict: Sanitizer) -> None:
    rows = [
        row
        for row in load_labelled("redaction-dev.jsonl.gz")
        if row["secret"] and row["tier"] == "pii-core"
    ]
    assert_found_everywhere(strict, rows, 0.90)


def assert_found_everywhere(sanitizer: Sanitizer, rows: list[dict[str, str]], share: float) -> None:
    recall: Counter[str] = Counter()
    for row in rows:
        recall.update(
            place for place, line in placements(row["text"]) if is_found(sanitizer, row, line)
        )
    assert min(recall.values()) >= share * len(rows)
    assert max(recall.values()) - min(recall.values()) <= max(1, 0.01 * len(rows))


def test_benign_rows_are_untouched(strict: Sanitizer) -> None:
    rows = [
        row
        for row in load_labelled("redaction-dev.jsonl.gz")
        if not row["secret"] and row["tier"] == "benign"
    ]
    assert len(rows) > 50
    touched = [
        row["id"]
        for row in rows
        if strict.redact_line(line := json.dumps({"out": row["text"]}).encode()) != line
    ]
    assert len(touched) <= (1 - BENIGN_SHARE) * len(rows)


def test_real_lines_hold_no_secret_and_stay_as_they_are(secrets_only: Sanitizer) -> None:
    lines = gzip.decompress(corpus("real-agent-lines.jsonl.gz").read_bytes())
    clean = secrets_only(chunk_of(lines))
    assert (clean.lines, clean.rejected) == (lines.count(b"\n"), ())
    assert clean.redactions == ()
    assert clean.data == lines
