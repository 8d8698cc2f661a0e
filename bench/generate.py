"""Generate the trace lines of an invented agent: the same for the same seed.

A line has about 733 bytes, and 1.5 % of the lines have a planted secret. The text is put together
from runs of words, so that it compresses like prose and code: gzip -1 packs it about 1 : 4.8. Words
drawn one by one would give 1 : 3.1, which no trace is.
"""

from __future__ import annotations

import random
import string
import sys
from collections.abc import Callable, Iterator

SECRET_SHARE = 0.015

_TEXT = (
    "the agent reads a file and writes what it found there into another file before it runs "
    "the tests again because one of them failed with an error about a missing column in the "
    "table of orders so it opens the migration adds the column and asks for review while the "
    "build server waits for the lock that an older job still holds then everything passes "
    "except a slow check of the documentation where links point to pages that moved last "
    "week which is easy to mend by hand or with a small script that follows each redirect"
)
_WORDS = _TEXT.split()
_RUN_WORDS = 4
_RUNS = [" ".join(_WORDS[start : start + _RUN_WORDS]) for start in range(len(_WORDS))]
_TOOLS = ("read_file", "write_file", "run_tests", "search", "list_directory", "apply_patch")
_ALPHANUMERIC = string.ascii_letters + string.digits
_CHUNK_LINES = 2048


def _draw(rng: random.Random, alphabet: str, length: int) -> str:
    return "".join(rng.choices(alphabet, k=length))


# Each credential is put together from pieces here, so that no scanner of source code takes this
# file for a leak.
_SECRETS: tuple[Callable[[random.Random], str], ...] = (
    lambda rng: "aws access key " + "AK" + "IA" + _draw(rng, string.ascii_uppercase + "234567", 16),
    lambda rng: "git push with " + "gh" + "p_" + _draw(rng, _ALPHANUMERIC, 36),
    lambda rng: "export DB_PASS" + "WORD=" + _draw(rng, _ALPHANUMERIC, 18),
    lambda rng: "Authorization: Bea" + "rer " + _draw(rng, _ALPHANUMERIC, 40),
    lambda rng: "postgres" + "://app:" + _draw(rng, _ALPHANUMERIC, 16) + "@db.internal:5432/orders",
)


def _prose(rng: random.Random, words: int) -> str:
    """Put together runs of the text until there are enough words."""
    starts = [rng.randrange(len(_WORDS) - _RUN_WORDS) for _ in range(words // _RUN_WORDS + 1)]
    return " ".join(_RUNS[start] for start in starts)


def _identifier(rng: random.Random) -> str:
    return f"{rng.getrandbits(128):032x}"


def _message(rng: random.Random, text: str) -> str:
    return (
        f'{{"type":"assistant","id":"msg-{_identifier(rng)}","parent":"msg-{_identifier(rng)}",'
        f'"time":"2026-05-{rng.randint(1, 28):02d}T'
        f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}"
        f'.{rng.randint(0, 999):03d}Z",'
        f'"message":{{"role":"assistant","model":"example-model",'
        f'"content":[{{"type":"text","text":"{text}"}}],'
        f'"usage":{{"input_tokens":{rng.randint(100, 90000)},'
        f'"output_tokens":{rng.randint(1, 4000)}}}}}}}'
    )


def _tool_result(rng: random.Random, text: str) -> str:
    return (
        f'{{"type":"tool_result","id":"call_{_draw(rng, _ALPHANUMERIC, 24)}",'
        f'"session":"{_identifier(rng)}","tool":"{rng.choice(_TOOLS)}",'
        f'"input":{{"path":"/workspace/src/{rng.choice(_WORDS)}/{rng.choice(_WORDS)}.py",'
        f'"limit":{rng.randint(1, 2000)}}},"output":"{text}",'
        f'"duration_ms":{rng.randint(1, 90000)},"is_error":{rng.choice(("true", "false"))}}}'
    )


def lines(seed: int, *, secret_share: float = SECRET_SHARE) -> Iterator[bytes]:
    """Yield lines without end, each without its newline; every line is one JSON object."""
    rng = random.Random(seed)
    while True:
        text = _prose(rng, int(rng.expovariate(1 / 75)) + 14).replace(" so ", "\\nso ")
        if rng.random() < secret_share:
            half = text[: len(text) // 2].rstrip("\\")
            text = f"{half} {rng.choice(_SECRETS)(rng)} {_prose(rng, 8)}"
        yield rng.choice((_message, _tool_result))(rng, text).encode()


def write(path: str, size_bytes: int, seed: int) -> int:
    """Write whole lines into `path` until `size_bytes` are reached; return how many that is."""
    source = lines(seed)
    written = 0
    with open(path, "wb") as file:
        while written < size_bytes:
            written += file.write(b"".join(next(source) + b"\n" for _ in range(_CHUNK_LINES)))
    return written


if __name__ == "__main__":
    print(write(sys.argv[1], int(float(sys.argv[2]) * 1e6), seed=1), "bytes")
