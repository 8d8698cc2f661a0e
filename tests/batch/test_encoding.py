"""The encoded body is a function of the lines alone."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tracesidecar.encode.jsonl import LinesEncoder, decode_lines, encode_lines
from tracesidecar.model import Compression

BODY = b"".join(b'{"n":%d,"text":"%s"}\n' % (n, b"abc" * (n % 50)) for n in range(40_000))


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@given(sizes=st.lists(st.integers(1, 900_000), max_size=8))
def test_the_body_is_the_same_however_the_lines_came_in(
    compression: Compression, sizes: list[int]
) -> None:
    encoder, rest = LinesEncoder(compression), BODY
    for size in sizes:
        encoder.add(rest[:size])
        rest = rest[size:]
    encoder.add(rest)
    assert encoder.finish() == encode_lines(BODY, compression)


def test_gzip_is_read_by_anyone_and_holds_no_time() -> None:
    body = encode_lines(BODY, "gzip")
    assert gzip.decompress(body) == BODY
    assert body[4:8] == b"\0\0\0\0"


def test_zstd_is_read_by_anyone() -> None:
    assert (
        zstandard.ZstdDecompressor().stream_reader(io.BytesIO(encode_lines(BODY, "zstd"))).read()
        == BODY
    )


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_what_was_encoded_can_be_taken_apart_again(compression: Compression) -> None:
    assert decode_lines(encode_lines(BODY, compression), compression) == BODY


FILL = """
import random, resource
from tracesidecar.encode.jsonl import LinesEncoder
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
bodies = [LinesEncoder("gzip") for _ in range(180)]
before, held, chance = peak(), 0, random.Random(1)
while held < 48 << 20:
    body, row = chance.choice(bodies), b"x" * chance.randrange(400, 2500)
    held -= body.encoded_bytes
    body.add(row)
    held += body.encoded_bytes
print((peak() - before) / held)
"""


def test_the_bodies_of_many_days_take_no_more_memory_than_they_say() -> None:
    measured = subprocess.run(
        [sys.executable, "-c", FILL], capture_output=True, check=True, timeout=600
    )
    assert float(measured.stdout) < 1.15
