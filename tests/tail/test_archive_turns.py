"""Archives that do not fit into memory together take turns, and are not decompressed each time."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tests.tail.follower import Follower
from tracesidecar.model import BEGINNING
from tracesidecar.tail.reading import open_archives
from tracesidecar.tail.reading.chunker import ReadLimits
from tracesidecar.tail.reading.compressed import ArchiveFile
from tracesidecar.units import Size

MIB = 1 << 20
IN_TURNS = ReadLimits(measured_bytes=MIB, takes_turns=True)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often a file is decompressed from its beginning."""
    begun = Counter[str]()
    restart = ArchiveFile._restart

    def count(archive: ArchiveFile) -> None:
        begun["all"] += 1
        restart(archive)

    monkeypatch.setattr(ArchiveFile, "_restart", count)
    return begun


def compress(data: bytes) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=22)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return packer.compress(data) + packer.flush()


def make_lines(number: int, size: int) -> bytes:
    noise = random.Random(number)
    lines = (
        b'{"text":"%b"}\n' % noise.randbytes(5000).hex().encode() for _ in range(size // 10000)
    )
    return b'{"file":%d}\n' % number + b"".join(lines)


def read_in_turns(follower: Follower) -> None:
    """Read a chunk of each file in turn, as a sink does, until all have been read."""
    tailer, ready = follower.tailer, sorted(follower.tailer.segments())
    while ready:
        segment = ready.pop(0)
        at = follower.store.checkpoints.get(segment, BEGINNING)
        chunk = tailer.read(segment, at, limits=IN_TURNS)
        if chunk is not None:
            follower.rejected += chunk.rejected
            follower.lines += chunk.data.splitlines()
            follower.store.checkpoints[segment] = chunk.next
        if (
            chunk is not None
            or tailer.is_queued(segment)
            or tailer.is_measuring(segment, at.offset)
        ):
            ready.append(segment)


def test_large_archives_are_read_one_after_the_other(
    follow: Callable[..., Follower],
    tmp_path: Path,
    begun: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(open_archives, "LARGE_BYTES", MIB)
    monkeypatch.setattr(open_archives, "OTHERS_BYTES", 5 * MIB)
    follower = follow(include=(f"{tmp_path}/traces/*",))
    contents = [make_lines(number, 8 * MIB) for number in range(3)]
    for number, content in enumerate(contents):
        (follower.traces / f"{number}.jsonl.zst").write_bytes(compress(content))
    follower.scan()
    before = begun.total()
    read_in_turns(follower)
    assert follower.count_lines() == Counter(b"".join(contents).splitlines())
    assert begun.total() - before <= 12, "with every chunk it would be 24"


def test_a_long_line_of_an_archive_is_decompressed_once(
    follow: Callable[..., Follower], tmp_path: Path, begun: Counter[str]
) -> None:
    follower = follow(include=(f"{tmp_path}/traces/*",), max_line=Size(2 * MIB))
    noise = random.Random(1).randbytes(MIB // 8).hex().encode()
    content = b'{"n":1}\n"' + noise * 80 + b'"\n{"n":2}\n'
    (follower.traces / "a.jsonl.zst").write_bytes(compress(content))
    follower.scan()
    before = begun.total()
    read_in_turns(follower)
    assert follower.lines == [b'{"n":1}', b'{"n":2}']
    assert [(each.start, each.reason) for each in follower.rejected] == [(8, "too_long")]
    assert begun.total() - before <= 1, "with every MiB it would be 20"
