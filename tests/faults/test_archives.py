"""Archives beside a running daemon and `ship --once`: every line arrives, and the end is known."""

from __future__ import annotations

import gzip
import json
import os
import random
import sqlite3
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import zstandard

from tests.daemon.sidecar import LAKE, Sidecar, body, number_lines
from tests.servers.processes import wait_until

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}


@pytest.fixture
def archives(tmp_path: Path) -> Iterator[Sidecar]:
    """A sidecar that ships archives."""
    sidecar = Sidecar(tmp_path)
    sidecar.configure(LAKE.format(lake=sidecar.lake))
    text = sidecar.config.read_text()
    sidecar.config.write_text(text.replace("/**/*.jsonl", "/**/*.jsonl.*"))
    yield sidecar
    sidecar.kill()


def losses(sidecar: Sidecar) -> list[tuple[str, int, str]]:
    """Return file name, bytes and reason of each loss in the journal."""
    with closing(sqlite3.connect(sidecar.state / "journal.sqlite")) as db:
        rows = db.execute("SELECT path, bytes, reason FROM loss ORDER BY path").fetchall()
    return [(Path(path.decode()).name, count, reason) for path, count, reason in rows]


def test_the_running_daemon_delivers_an_archive_whose_only_line_has_no_newline(
    archives: Sidecar,
) -> None:
    long = random.Random(9).randbytes(3 << 19).hex().encode()  # what expands very much waits
    lines = [*number_lines(0, 2), b'{"long": "%s"}' % long]
    archives.start()
    (archives.traces / "a.jsonl.gz").write_bytes(gzip.compress(lines[0]))
    (archives.traces / "b.jsonl.zst").write_bytes(zstandard.compress(lines[1]))
    (archives.traces / "c.jsonl.gz").write_bytes(gzip.compress(lines[2]))
    archives.arrives(3)
    assert Counter(archives.lines()) == Counter(lines)
    assert archives.stop() == 0
    assert archives.ship().returncode == 0
    assert len(archives.lines()) == 3


def test_archives_that_were_cut_in_their_trailers_are_shipped_to_their_ends(
    archives: Sidecar,
) -> None:
    packed = {suffix: pack(body(number_lines(0, 3)).rstrip()) for suffix, pack in PACK.items()}
    (archives.traces / "a.jsonl.gz").write_bytes(packed["gz"][:-3])
    (archives.traces / "b.jsonl.gz").write_bytes(packed["gz"][:-8])
    (archives.traces / "c.jsonl.zst").write_bytes(packed["zst"][:-1])
    assert archives.ship().returncode == 0
    assert Counter(archives.lines()) == Counter(number_lines(0, 3) * 3)


@pytest.mark.parametrize("suffix", PACK)
def test_an_archive_that_is_larger_than_its_content_leaves_nothing_behind(
    archives: Sidecar, suffix: str
) -> None:
    lines = number_lines(0, 1)
    path = archives.traces / f"a.jsonl.{suffix}"
    path.write_bytes(PACK[suffix](body(lines)))
    assert path.stat().st_size > len(body(lines))
    assert archives.ship().returncode == 0
    assert archives.lines() == lines
    explained = json.loads(archives.ask("explain", str(path), "--json").stdout)
    (segment,) = explained["ranges"]
    assert [(part["start"], part["end"], part["state"]) for part in segment["pieces"]] == [
        (0, len(body(lines)), "delivered")
    ]


def test_the_missing_ends_of_archives_that_were_cut_are_losses_of_unknown_size(
    archives: Sidecar,
) -> None:
    lines = number_lines(0, 100)
    for name, rest in (("a", b""), ("b", b'{"half": ')):
        packer = zlib.compressobj(wbits=31)
        cut = packer.compress(body(lines) + rest) + packer.flush(zlib.Z_FULL_FLUSH)
        (archives.traces / f"{name}.jsonl.gz").write_bytes(cut)
    frame = zstandard.ZstdCompressor().compressobj()
    cut = frame.compress(body(lines)) + frame.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    (archives.traces / "c.jsonl.zst").write_bytes(cut)
    for path in archives.traces.iterdir():
        os.utime(path, (time.time() - 3 * 86400,) * 2)
    archives.start()
    archives.wait_for_event("collect.lost", times=3)
    assert archives.stop() == 0
    assert Counter(archives.lines()) == Counter(lines * 3)
    assert losses(archives) == [
        ("a.jsonl.gz", 0, "corrupt"),
        ("b.jsonl.gz", 0, "corrupt"),
        ("c.jsonl.zst", 0, "corrupt"),
    ]
    explained = archives.ask("explain", str(archives.traces / "a.jsonl.gz")).stdout
    assert b"how many bytes is not known" in b" ".join(explained.split())
    with (archives.traces / "c.jsonl.zst").open("ab") as growing:
        growing.write(frame.compress(body(number_lines(100, 9))) + frame.flush())
    assert archives.ship().returncode == 0
    assert Counter(archives.lines()) == Counter([*lines * 3, *number_lines(100, 9)])
    assert len(losses(archives)) == 2


def test_a_deleted_archive_that_was_cut_is_a_loss_where_only_single_runs_look(
    archives: Sidecar,
) -> None:
    """Nobody looked long enough: the loss had no row for a day."""
    lines = number_lines(0, 100)
    packer = zlib.compressobj(wbits=31)
    cut = packer.compress(body(lines)) + packer.flush(zlib.Z_FULL_FLUSH)
    path = archives.traces / "a.jsonl.gz"
    path.write_bytes(cut)
    assert archives.ship().returncode == 0
    path.unlink()
    wait_until(lambda: archives.ship().returncode == 0 and losses(archives))
    assert losses(archives) == [("a.jsonl.gz", 0, "corrupt")]
    assert archives.lines() == lines
    assert list(archives.state.glob("held/*")) == []


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("words", [("run",), ("ship", "--once")])
def test_lines_before_damage_arrive_and_the_loss_is_recorded_in_decompressed_bytes(
    archives: Sidecar, suffix: str, words: tuple[str, ...]
) -> None:
    lines = number_lines(0, 5000)
    archive = bytearray(PACK[suffix](body(lines)))
    damaged = archive[: len(archive) // 2] + random.Random(3).randbytes(len(archive) // 2)
    (archives.traces / f"half.jsonl.{suffix}").write_bytes(damaged[:-8] + archive[-8:])
    archive[-1 if suffix == "zst" else -8] ^= 1  # a checksum
    (archives.traces / f"whole.jsonl.{suffix}").write_bytes(archive)
    if words == ("run",):
        archives.start()
        archives.wait_for_event("collect.lost", times=2)
        assert archives.stop() == 0
    else:
        assert archives.ship().returncode == 0
    arrived = Counter(archives.lines())
    assert not Counter(lines) - arrived
    (half, lost, reason), whole = losses(archives)
    assert (half, reason) == (f"half.jsonl.{suffix}", "corrupt")
    assert len(archive) < lost <= len(body(lines))
    assert whole == (f"whole.jsonl.{suffix}", 0, "corrupt")
    assert archives.ship().returncode == 0
    assert Counter(archives.lines()) == arrived
    assert len(losses(archives)) == 2
