"""One writer process: appends lines to files that rotate, as many at a time as standard input asks
for.

usage: writer.py LINES FOLDER SEED NAME...    (LINES: a file of lines; each number read from
standard input releases that many of them)
"""

from __future__ import annotations

import gzip
import os
import random
import shutil
import sys
import time

PAUSE_SECONDS = 0.02
_GENERATION_LINES = (4, 20)


class RotatingFile:
    """`name.jsonl`, its elder generations `name.jsonl.1` and up, none of them ever deleted.

    A file rotates by renaming or, where `copies`, by copy and truncation (no line falls between the
    two: the copier is the writer). Where `compresses`, each elder generation is packed at once, and
    is `name.jsonl.1.gz`.
    """

    def __init__(
        self, path: str, rng: random.Random, *, copies: bool = False, compresses: bool = False
    ) -> None:
        self._path = path
        self._copies = copies
        self._suffix = ".gz" if compresses else ""
        self._rng = rng
        self._generations = 0
        self._open()

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._left = self._rng.randint(*_GENERATION_LINES)

    def _rotate(self) -> None:
        os.close(self._file)
        for number in range(self._generations, 0, -1):
            elder = f"{self._path}.{number}{self._suffix}"
            os.rename(elder, f"{self._path}.{number + 1}{self._suffix}")
        if self._copies:
            shutil.copyfile(self._path, f"{self._path}.1")
            os.truncate(self._path, 0)
        else:
            os.rename(self._path, f"{self._path}.1")
        if self._suffix:
            self._compress(f"{self._path}.1")
        self._generations += 1
        self._open()

    def _compress(self, path: str) -> None:
        """Compress as gzip does: in the file beside, which takes time, and then remove the plain
        one.
        """
        with open(path, "rb") as plain, gzip.open(path + self._suffix, "wb") as packed:
            for line in plain:
                packed.write(line)
                time.sleep(self._rng.random() * PAUSE_SECONDS / 10)
        os.unlink(path)

    def append(self, line: bytes) -> None:
        """Write one line, now and then in two pieces with time between them."""
        whole = line + b"\n"
        cut = self._rng.randrange(len(whole)) if self._rng.random() < 0.3 else 0
        if cut:
            self._write(whole[:cut])
            time.sleep(self._rng.random() * PAUSE_SECONDS)
        self._write(whole[cut:])
        self._left -= 1
        if self._left == 0:
            self._rotate()

    def _write(self, piece: bytes) -> None:
        while piece:
            piece = piece[os.write(self._file, piece) :]


def main(source: str, folder: str, seed: str, *names: str) -> None:
    """Write released lines to files drawn at random until standard input ends."""
    rng = random.Random(seed)
    with open(source, "rb") as file:
        lines = iter(file.read().split(b"\n")[:-1])
    files = [
        RotatingFile(
            os.path.join(folder, f"{name}.jsonl"),
            rng,
            copies=number % 3 == 2,
            compresses=number % 4 == 3,
        )
        for number, name in enumerate(names)
    ]
    for released in sys.stdin:
        for _, line in zip(range(int(released)), lines, strict=False):
            rng.choice(files).append(line)
            time.sleep(rng.random() * PAUSE_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
