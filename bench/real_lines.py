"""The real lines, where they are at hand: one set of 8.6 MB, with files of each dialect."""

from __future__ import annotations

import gzip
import os

import msgspec

from tracesidecar.dialects import load_dialects

REAL_LINES = os.path.join(
    os.path.dirname(__file__), "..", "..", "shared", "corpora", "real-agent-lines.jsonl.gz"
)


def real_lines() -> list[bytes]:
    """Read the real lines; an empty list where they are missing."""
    if not os.path.exists(REAL_LINES):
        return []
    with gzip.open(REAL_LINES) as file:
        return file.readlines()


def write_by_dialect(folder: str, lines: list[bytes], size_bytes: int) -> None:
    """Write the set as often as fits into so many bytes, at least once.

    Each file begins at another line, so that none is taken for a copy of another.
    """
    os.makedirs(folder)
    groups: dict[str, list[bytes]] = {}
    for line in lines:
        groups.setdefault(_dialect(line), []).append(line)
    for number in range(max(1, size_bytes // sum(map(len, lines)))):
        for name, group in groups.items():
            with open(os.path.join(folder, f"{name}-{number}.jsonl"), "wb") as copy:
                copy.writelines(group[number:] + group[:number])


def _dialect(line: bytes) -> str:
    members = msgspec.json.decode(line)
    fields = members if isinstance(members, dict) else {}
    return next((each.name for each in load_dialects() if each.recognise("", fields)), "generic")
