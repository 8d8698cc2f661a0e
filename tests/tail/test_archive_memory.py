"""However many archives are open, and whatever is in them, they take little memory."""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tests.tail.follower import Follower

MIB = 1 << 20
ARCHIVES = 5


def read_memory() -> int:
    """Return the resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def compress_gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(data) + packer.flush()


def compress_zstandard(data: bytes) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("suffix", "compress", "separator"),
    [
        ("gz", compress_gzip, b"x"),  # a line without an end is kept
        ("zst", compress_zstandard, b"\n"),  # of lines, the window is
    ],
)
def test_archives_that_have_not_ended_take_little_memory_together(
    follow: Callable[..., Follower],
    tmp_path: Path,
    suffix: str,
    compress: Callable[[bytes], bytes],
    separator: bytes,
) -> None:
    noise = random.Random(9)
    pieces = (noise.randbytes(512).hex().encode() + b"x" * (64 << 10) for _ in range(40 * 16))
    body = compress(separator.join(pieces))[:-1000]
    follower = follow(include=(f"{tmp_path}/traces/*",))
    before = read_memory()
    for number in range(ARCHIVES):
        beginning = b'{"n": "%s' % noise.randbytes(4096).hex().encode()
        path = follower.traces / f"{number}.jsonl.{suffix}"
        path.write_bytes(compress(beginning) + body)
        follower.turn()
        follower.lines.clear()
    assert len(follower.tailer.segments()) == ARCHIVES
    assert read_memory() - before < 128 * MIB
