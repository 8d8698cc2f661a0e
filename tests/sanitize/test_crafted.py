"""Lines crafted to keep the redactor busy cost no more than their size allows, and leak nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Collection

import pytest

from tests.sanitize.crafted import BUILDERS, Builder, craft_lines
from tests.sanitize.lines import chunk_of
from tracesidecar.sanitize.sanitizer import Sanitizer

SLOWEST_BYTES_PER_SECOND = 100_000
"""Several times slower than any line was on a slow machine; a line whose time is not linear is a
hundred times slower."""
SLOWEST_LONG_BYTES_PER_SECOND = 1_000_000
"""What a line of some MiB has at least: 2 MB on a machine that does nothing else."""
MOST_TRIES = 5
"""A collection of garbage, or a neighbour on the same core, takes longer than a short line."""
GOOD = b'{"ok":"plain words"}\n'
KEY_ID = "AKIA" + "Q7LPMN5HFZKE2345"


def seconds(sanitizer: Sanitizer, line: bytes) -> float:
    chunk = chunk_of(line + b"\n")
    started = time.thread_time()
    clean = sanitizer(chunk)
    spent = time.thread_time() - started
    assert clean.lines + len(clean.rejected) >= 1
    return spent


def slow_lines(
    sanitizer: Sanitizer, size: int, names: Collection[str] | None = None
) -> dict[str, float]:
    """Return the MB/s of each crafted line, or of those named, that is too slow each time it is
    measured.
    """
    slow: dict[str, float] = {}
    for name, line in craft_lines(size):
        if names is not None and name not in names:
            continue
        allowed = len(line) / SLOWEST_BYTES_PER_SECOND
        measured: list[float] = []
        while len(measured) < MOST_TRIES and (not measured or measured[-1] > allowed):
            measured.append(seconds(sanitizer, line))
        if measured[-1] > allowed:
            slow[name] = len(line) / 1e6 / min(measured)
    return slow


def test_no_crafted_line_is_slow(secrets_only: Sanitizer) -> None:
    assert slow_lines(secrets_only, 4 << 10) == {}


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("size", [64 << 10, 256 << 10])
def test_no_long_crafted_line_is_slow(secrets_only: Sanitizer, size: int) -> None:
    assert slow_lines(secrets_only, size) == {}


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_slowest_crafted_lines_are_not_slow_at_the_longest_size(
    secrets_only: Sanitizer,
) -> None:
    """All of them at 1 MiB take a quarter of an hour."""
    spent = {name: seconds(secrets_only, line) for name, line in craft_lines(64 << 10)}
    slowest = sorted(spent, key=spent.__getitem__, reverse=True)[: len(spent) // 20]
    assert slow_lines(secrets_only, 1 << 20, slowest) == {}
    for name, line in craft_lines(4 << 20):
        if name in slowest:
            assert seconds(secrets_only, line) < len(line) / SLOWEST_LONG_BYTES_PER_SECOND, name


@pytest.mark.parametrize("name", BUILDERS)
def test_the_time_for_a_crafted_line_grows_with_its_size_only(
    secrets_only: Sanitizer, name: str
) -> None:
    build: Builder = BUILDERS[name]
    small, large = build(16 << 10), build(128 << 10)
    seconds(secrets_only, small)
    base = max(min(seconds(secrets_only, small) for _ in range(3)), 0.002)
    assert min(seconds(secrets_only, large) for _ in range(2)) < 4 * base * len(large) / len(small)


def test_a_line_over_budget_is_withheld_and_its_neighbours_are_delivered(
    secrets_only: Sanitizer,
) -> None:
    dense = "password=x1y2z3; " * 60_000
    line = json.dumps({"a": "plain", "out": dense, "b": f"key {KEY_ID}"}).encode()
    clean = secrets_only(chunk_of(GOOD + line + b"\n" + GOOD))
    assert clean.data == GOOD + GOOD
    assert [rejection.reason for rejection in clean.rejected] == ["over_budget"]
    assert clean.redactions == ()


def test_a_token_in_two_strings_behind_a_flood_is_not_delivered_in_part(
    secrets_only: Sanitizer,
) -> None:
    for count in (10, 1000, 30_000):
        flood = "password=x1y2z3; " * count
        line = json.dumps({"out": [flood, KEY_ID[:8], KEY_ID[8:], flood]}).encode()
        clean = secrets_only(chunk_of(GOOD + line + b"\n"))
        assert KEY_ID[8:].encode() not in clean.data, count
        assert clean.data.startswith(GOOD)


def test_a_settings_file_stays_far_below_the_limit(secrets_only: Sanitizer) -> None:
    settings = "\n".join(
        f"# the password of service {i}\nSERVICE_{i}_PASSWORD=x{i}y2z3q\n"
        f"SERVICE_{i}_HOST=db{i}.example.org"
        for i in range(60)
    )
    clean = secrets_only(chunk_of(json.dumps({"out": settings}).encode() + b"\n"))
    assert dict(clean.redactions) == {"kv-assignment": 60}


def test_the_same_line_always_gives_the_same_result(secrets_only: Sanitizer) -> None:
    for name, line in craft_lines(1000):
        assert secrets_only.redact_line(line) == secrets_only.redact_line(line), name
