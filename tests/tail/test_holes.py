"""A hole of terabytes costs an agent nothing, and must cost us nothing: it is never read."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterable

import pytest

from tests.tail.follower import Follower
from tracesidecar.model import Rejection
from tracesidecar.units import Size

MIB = 1 << 20
TERABYTES = 1 << 42
GOOD = b'{"n":1}'


@pytest.fixture
def follower(follow: Callable[..., Follower]) -> Follower:
    return follow(max_line=Size(2 * MIB))


def write(path: pathlib.Path, parts: Iterable[bytes | int], *, sparse: bool = True) -> None:
    """Write bytes, and holes of a length; or zeros instead of these."""
    path.touch()
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        for part in parts:
            if isinstance(part, bytes):
                file.write(part)
            elif sparse:
                file.seek(file.tell() + part)
            else:
                file.write(bytes(part))
        file.truncate(file.tell())


@pytest.mark.parametrize("documents", [False, True])
def test_the_line_behind_a_hole_of_terabytes_arrives_at_once(
    follow: Callable[..., Follower], *, documents: bool
) -> None:
    follower = follow(documents=documents, max_line=Size(2 * MIB))
    path = follower.traces / "a.jsonl"
    write(path, [GOOD + b"\n", b'{"text":"', TERABYTES, b'"}\n', GOOD + b"\n"])
    if os.stat(path).st_blocks * 512 > MIB:
        pytest.skip("this file system has no holes")
    follower.turn()
    assert [line for line in follower.lines if line] == [GOOD, GOOD]
    (rejection,) = follower.rejected
    assert rejection.end - rejection.start >= TERABYTES


def reject(follower: Follower, name: str, parts: list[bytes | int], *, sparse: bool) -> Rejection:
    write(follower.traces / name, parts, sparse=sparse)
    follower.turn()
    return follower.rejected[-1]


@pytest.mark.parametrize("before", [0, 1, MIB - 1, MIB])
@pytest.mark.parametrize("hole", [2 * MIB, 3 * MIB + 1, 5 * MIB - 1])
def test_the_digest_of_a_rejected_line_is_that_of_its_zeros(
    follower: Follower, before: int, hole: int
) -> None:
    parts: list[bytes | int] = [b"x" * before, hole, b"y\n"]
    one = reject(follower, "a.jsonl", parts, sparse=True)
    other = reject(follower, "b.jsonl", parts, sparse=False)
    third = reject(follower, "c.jsonl", [*parts[:2], MIB, *parts[2:]], sparse=True)
    assert one == other
    assert one.digest != third.digest


def test_the_digest_of_a_rejected_line_does_not_depend_on_how_it_grew(follower: Follower) -> None:
    parts: list[bytes | int] = [b"x" * 5, 3 * MIB, b"y", MIB // 3, MIB, MIB, b"z\n"]
    whole = reject(follower, "a.jsonl", parts, sparse=True)
    for part in parts:
        write(follower.traces / "b.jsonl", [part])
        follower.turn()
    assert follower.rejected[1:] == [whole]


def test_a_sink_that_starts_now_reads_no_more_than_the_last_line(follower: Follower) -> None:
    path = follower.traces / "a.jsonl"
    write(path, [GOOD + b"\n", TERABYTES, b"\n" + GOOD + b"\n", b"{"])
    write(follower.traces / "b.jsonl", [b"[]\n", TERABYTES])
    follower.scan()
    ends = {
        pathlib.Path(view.segment.path).name: follower.tailer.find_end(segment)
        for segment, view in follower.tailer.segments().items()
    }
    assert ends["a.jsonl"].offset == path.stat().st_size - 1
    within = ends["b.jsonl"]
    assert within.digest
    write(follower.traces / "b.jsonl", [b"\n" + GOOD + b"\n"])
    (segment,) = (
        segment
        for segment, view in follower.tailer.segments().items()
        if view.segment.path.endswith("b.jsonl")
    )
    follower.store.checkpoints[segment] = within
    follower.scan()
    assert follower.read_chunk(segment)
    assert [each.reason for each in follower.rejected] == ["too_long"]
    assert follower.read_chunk(segment)
    assert follower.lines == [GOOD]
