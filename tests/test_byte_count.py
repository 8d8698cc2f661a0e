"""A byte is counted as `bytes.count` does it, and no further than wanted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracesidecar.byte_count import count_byte


@given(st.binary(max_size=400), st.integers(0, 40))
def test_a_byte_is_counted_up_to_a_limit(data: bytes, most: int) -> None:
    data += b"\n{\n"
    for byte in (b"\n", b"{", data[:1]):
        assert count_byte(data, byte) == data.count(byte)
        assert count_byte(data, byte, most) == min(most, data.count(byte))
