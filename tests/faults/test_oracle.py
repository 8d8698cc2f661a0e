"""The kill test's own parts: what it feeds, what it expects, what it would notice."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.faults import writer
from tests.faults.material import MAX_LINE, REAL_LINES, invalid_lines, mix, valid_lines
from tests.faults.oracle import count_by_key, differences, expect


def test_every_planted_invalid_line_is_rejected_and_has_a_length_of_its_own() -> None:
    planted = invalid_lines(60)
    expected = expect(planted)
    assert not expected.delivered
    assert expected.rejected == Counter(len(line) for line in planted)
    assert set(expected.rejected.values()) == {1}
    assert any(len(line) > MAX_LINE for line in planted)


def test_every_valid_line_is_expected_once_for_each_time_it_was_written() -> None:
    lines = valid_lines(REAL_LINES, seed=1)
    documents = [line for line in lines if line.strip()]
    expected = expect(lines)
    assert not expected.rejected
    assert expected.delivered.total() == len(documents)
    assert expected.delivered.most_common(1)[0][1] > 1


def test_writers_rotate_and_write_each_line_once(tmp_path: Path) -> None:
    lines = mix(valid_lines(150, seed=2), invalid_lines(20), seed=2)
    source, folder = tmp_path / "lines", tmp_path / "traces"
    source.write_bytes(b"".join(line + b"\n" for line in lines))
    folder.mkdir()
    command = [sys.executable, writer.__file__, str(source), str(folder), "1", "a", "b"]
    subprocess.run(command, input=b"100\n1000\n", check=True, timeout=600)
    written = Counter(
        line for path in folder.iterdir() for line in path.read_bytes().split(b"\n")[:-1]
    )
    assert written == Counter(lines)
    assert {"a.jsonl", "a.jsonl.1", "a.jsonl.2", "b.jsonl", "b.jsonl.1", "b.jsonl.2"} <= {
        path.name for path in folder.iterdir()
    }


def test_a_missing_and_a_doubled_line_are_noticed() -> None:
    found = differences("lake", Counter({b"one": 1, b"two": 2}), Counter({b"one": 2, b"two": 1}))
    assert [text.partition(":")[2].partition(" of")[0] for text in found] == [
        " missing 1",
        " too many 1",
    ]


def test_a_repeat_over_http_is_forgiven_only_under_its_own_key() -> None:
    assert count_by_key([("k1", b"a\n"), ("k1", b"a\n"), ("k2", b"a\nb\n")]) == (
        Counter({b"a": 2, b"b": 1}),
        [],
    )
    assert count_by_key([("k1", b"a\n"), ("k1", b"b\n")])[1] == [
        "http: key k1 came with another body"
    ]
