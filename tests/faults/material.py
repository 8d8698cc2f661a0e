"""The lines of a kill test: real ones where the corpus is at hand, else generated, with lines
between them that must be rejected.
"""

from __future__ import annotations

import gzip
import itertools
import random
from pathlib import Path

import msgspec

from bench import generate

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "real-agent-lines.jsonl.gz"
MAX_LINE = 256 << 10
REAL_LINES = 5489
_REPEATED_SHARE = 0.06
_OFTEN_REPEATED = 6
_ENDINGS = (
    b'{"text":"%s"',  # incomplete
    b'{"text":"%s","n":NaN}',
    b'{"text":"%s\xff"}',
    b'{"text":"%s\\ud800"}',
    b'{"text":"%s"} {"text":"a second one"}',
    b'{"text":"%s",}',
    b'{"text":"%s\x00"}',
    b"%s\x80\x00\x1f\x8b",
    b'{"deep":' + b"[" * 1500 + b'"%s"' + b"]" * 1500 + b"}",
)
_SHORTEST = 4000


def valid_lines(count: int, seed: int) -> list[bytes]:
    """Return `count` lines as agents write them, some of them byte for byte the same, and a few
    blank or ended by CRLF.
    """
    rng = random.Random(seed)
    if CORPUS.exists():
        with gzip.open(CORPUS) as file:
            lines = file.read().split(b"\n")[:-1]
        chosen = lines if count >= len(lines) else rng.sample(lines, count)
    else:
        fresh = int(count * (1 - _REPEATED_SHARE))
        chosen = list(itertools.islice(generate.lines(seed), fresh))
        chosen += rng.choices(chosen, k=count - fresh)
    return [
        *chosen,
        b"",
        b"  ",
        *(line + b"\r" for line in itertools.islice(generate.lines(seed + 1), 5)),
    ]


def invalid_lines(count: int) -> list[bytes]:
    """Return `count` invalid lines.

    Each has a length of its own, so that a quarantine's reference, which holds no content, still
    names it.
    """
    lines = []
    for number in range(count):
        shape = _ENDINGS[number % len(_ENDINGS)]
        length = (_SHORTEST if number % 20 else MAX_LINE + _SHORTEST) + number
        lines.append(shape % (b"x" * (length - len(shape) + 2)))
    return lines


def often_repeated(lines: list[bytes], seed: int) -> list[bytes]:
    """Put the same few short lines in place of every seventh, so that many files begin alike."""
    few = sorted((line for line in lines if line.strip()), key=len)[:_OFTEN_REPEATED]
    rng = random.Random(seed)
    return [line if number % 7 else rng.choice(few) for number, line in enumerate(lines)]


def without_repeated_ids(lines: list[bytes]) -> list[bytes]:
    """Leave out lines that have the id of another line.

    Some of the real traces were edited by hand, and rows with the same id are one row.
    """
    seen: dict[tuple[object, object], bytes] = {}
    kept = []
    for line in lines:
        members = msgspec.json.decode(line) if line.strip() else None
        if not isinstance(members, dict) or members.get("uuid") is None:
            kept.append(line)
            continue
        row = str(members.get("sessionId")), str(members["uuid"])
        if seen.setdefault(row, line) == line:
            kept.append(line)
    return kept


def mix(valid: list[bytes], rejected: list[bytes], seed: int) -> list[bytes]:
    """Put the rejected lines between the valid ones."""
    lines = valid + rejected
    random.Random(seed).shuffle(lines)
    return lines
