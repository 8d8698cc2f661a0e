"""The pieces of a file follow each other without gap or overlap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracesidecar.introspect.byte_ranges import ByteRange, cover_segment


def test_a_planned_range_and_a_rejected_line_have_ranges_of_their_own() -> None:
    rejected = [ByteRange(4, 6, "quarantined", "not_json"), ByteRange(12, 13, "quarantined", "nan")]
    assert cover_segment(size=20, delivered=8, planned=[(8, 14)], exceptions=rejected) == [
        ByteRange(0, 4, "delivered"),
        ByteRange(4, 6, "quarantined", "not_json"),
        ByteRange(6, 8, "delivered"),
        ByteRange(8, 12, "planned"),
        ByteRange(12, 13, "quarantined", "nan"),
        ByteRange(13, 14, "planned"),
        ByteRange(14, 20, "unread"),
    ]


def test_an_empty_file_has_no_pieces() -> None:
    assert cover_segment(size=0, delivered=0, planned=[], exceptions=[]) == []


_range = st.tuples(st.integers(0, 30), st.integers(1, 10)).map(
    lambda pair: (pair[0], pair[0] + pair[1])
)


@given(
    st.integers(0, 40),
    st.integers(0, 40),
    st.lists(_range, max_size=3),
    st.lists(_range, max_size=4),
)
def test_the_pieces_cover_everything_once(
    size: int, delivered: int, planned: list[tuple[int, int]], rejected: list[tuple[int, int]]
) -> None:
    found = cover_segment(
        size=size,
        delivered=delivered,
        planned=planned,
        exceptions=[ByteRange(*each, "quarantined") for each in rejected],
    )
    end = max([size, delivered, *(last for _, last in rejected)])
    assert [piece.start for piece in found] == (
        [0, *(piece.end for piece in found[:-1])] if found else []
    )
    assert (found[-1].end if found else 0) == end
    assert all(piece.start < piece.end for piece in found)
