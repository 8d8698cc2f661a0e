"""A stream is split at line ends only, nothing is lost, and each line keeps its number."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from tracesidecar.introspect.chunks import read_chunks

_lines = st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), max_size=8)


def split(
    data: bytes, step: int, max_line: int
) -> list[tuple[int, bytes, bool, tuple[tuple[int, int], ...]]]:
    stream = io.BytesIO(data)
    found = read_chunks("test", lambda _: stream.read(step), max_line)
    return [
        (
            n.first_line,
            n.chunk.data,
            n.chunk.torn,
            tuple((r.start, r.end) for r in n.chunk.rejected),
        )
        for n in found
    ]


@given(_lines, st.booleans(), st.integers(1, 9))
def test_nothing_is_lost_and_lines_keep_their_numbers(
    lines: list[bytes], ends: bool, step: int
) -> None:
    data = b"\n".join(lines) + (b"\n" if ends else b"")
    pieces = split(data, step, 1000)
    assert b"".join(piece for _, piece, _, _ in pieces) == data
    for first, piece, torn, _ in pieces:
        assert torn or piece.endswith(b"\n")
        assert data.startswith(b"".join(p for n, p, _, _ in pieces if n < first) + piece)
        assert first == 1 + b"".join(p for n, p, _, _ in pieces if n < first).count(b"\n")


@given(st.integers(1, 7), st.integers(20, 60), st.booleans())
def test_a_line_that_is_too_long_is_skipped_as_a_whole(step: int, length: int, ends: bool) -> None:
    data = b"a\n" + b"x" * length + (b"\nb\n" if ends else b"")
    pieces = split(data, step, 12)
    assert [rejected for _, _, _, rejected in pieces if rejected] == [((2, 2 + length + ends),)]
    assert b"".join(piece for _, piece, _, _ in pieces) == (b"a\nb\n" if ends else b"a\n")
    assert max(first for first, *_ in pieces) == (3 if ends else 2)
