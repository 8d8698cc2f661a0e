"""What must have arrived, as multisets: each line judged and redacted alone, by the product's own
sanitizer.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from tests.faults.material import MAX_LINE
from tracesidecar.model import BEGINNING, Chunk, Segment
from tracesidecar.sanitize import RedactionOptions
from tracesidecar.sanitize.sanitizer import Sanitizer

_Item = TypeVar("_Item", bound=Hashable)
_ANYWHERE = Segment(id=1, source="oracle", path="oracle.jsonl", device=1, inode=1, generation=1)


@dataclass(frozen=True)
class Expected:
    """Delivered lines as they must look at the destination, and the lengths of the rejected ones as
    written.
    """

    delivered: Counter[bytes] = field(default_factory=Counter)
    rejected: Counter[int] = field(default_factory=Counter)


def expect(lines: Iterable[bytes], cache_directory: str | None = None) -> Expected:
    """Judge each line alone: its neighbours, chunks and restarts must make no difference."""
    sanitizer = Sanitizer(RedactionOptions(), cache_directory=cache_directory)
    expected = Expected()
    for line in lines:
        if len(line) > MAX_LINE:
            expected.rejected[len(line)] += 1
            continue
        clean = sanitizer(Chunk(_ANYWHERE, 0, len(line) + 1, line + b"\n", BEGINNING))
        expected.delivered.update(clean.data.split(b"\n")[:-1])
        expected.rejected.update(rejection.end - rejection.start for rejection in clean.rejected)
    return expected


def differences(what: str, expected: Counter[_Item], found: Counter[_Item]) -> list[str]:
    """Return what is missing and what is there too often; a line is named by length and digest,
    never shown.
    """
    missing, surplus = expected - found, found - expected
    return [
        f"{what}: {title} {sum(counter.values())} of {sum(expected.values())}: "
        f"{', '.join(_name(item) for item in list(counter)[:5])}"
        for title, counter in (("missing", missing), ("too many", surplus))
        if counter
    ]


def _name(item: Hashable) -> str:
    if isinstance(item, bytes):
        return f"{len(item)} bytes, sha256 {hashlib.sha256(item).hexdigest()[:12]}"
    return str(item)


def count_by_key(requests: Iterable[tuple[str, bytes]]) -> tuple[Counter[bytes], list[str]]:
    """Count the lines of HTTP bodies, each Idempotency-Key once; and name the keys that came with
    different bodies.
    """
    bodies: dict[str, bytes] = {}
    changed = []
    for key, body in requests:
        if bodies.setdefault(key, body) != body:
            changed.append(f"http: key {key} came with another body")
    return Counter(line for body in bodies.values() for line in body.split(b"\n")[:-1]), changed
