"""SQLite and DuckDB files: who may read them, what they wait for, what they reject."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.deliveries import delivery
from tests.sql.engines import DuckdbFile, SqliteFile
from tests.sql.traces import batch, conversation, event
from tracesidecar.errors import RetryLater
from tracesidecar.sinks.sql import sink as sql
from tracesidecar.sinks.sql import sqlite

HOLDER = (
    "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); "
    "sys.stdin.read()"
)


@pytest.fixture(params=["sqlite", "duckdb"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> SqliteFile | DuckdbFile:
    return (
        SqliteFile(tmp_path / "traces.db")
        if request.param == "sqlite"
        else DuckdbFile(tmp_path / "traces.duckdb")
    )


async def test_a_new_file_is_for_its_user_and_group(file: SqliteFile | DuckdbFile) -> None:
    async with sql.build(file.options()) as sink:
        await sink.send(batch(conversation()))
        assert {path.stat().st_mode & 0o777 for path in file.path.parent.iterdir()} == {0o640}


async def test_others_read_between_two_batches(file: SqliteFile | DuckdbFile) -> None:
    async with sql.build(file.options()) as sink:
        await sink.send(batch(conversation()))
        assert file.ask("SELECT count(*) FROM events") == [(len(conversation()),)]
        await sink.send(batch([event(99, "state", 99)]))
    assert file.ask("SELECT count(*) FROM events") == [(len(conversation()) + 1,)]


async def test_a_database_that_another_writes_to_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.1)
    file = SqliteFile(tmp_path / "traces.db")
    async with sql.build(file.options()) as sink:
        with closing(sqlite3.connect(file.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(RetryLater, match="locked"):
                await sink.send(batch(conversation()))
        await delivery(sink).send(batch(conversation()))
    assert file.ask("SELECT count(*) FROM events") == [(len(conversation()),)]


async def test_a_duckdb_file_that_another_process_has_open_is_waited_for(tmp_path: Path) -> None:
    file = DuckdbFile(tmp_path / "traces.duckdb")
    async with sql.build(file.options()) as sink:
        with subprocess.Popen(
            [sys.executable, "-c", HOLDER, file.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            with pytest.raises(RetryLater, match="locked"):
                await sink.send(batch(conversation()))
            holder.communicate()
        await sink.send(batch(conversation()))
    assert file.ask("SELECT count(*) FROM events") == [(len(conversation()),)]


async def test_a_folder_that_is_missing_is_waited_for_and_named(
    file: SqliteFile | DuckdbFile,
) -> None:
    file.path = file.path.parent / "missing" / file.path.name
    with pytest.raises(RetryLater, match="missing"):
        await sql.build(file.options()).__aenter__()


async def test_what_is_no_database_is_left_as_it_is(file: SqliteFile | DuckdbFile) -> None:
    file.path.write_bytes(b"not a database" * 1000)
    with pytest.raises(RetryLater):
        await sql.build(file.options()).__aenter__()
    assert file.path.read_bytes() == b"not a database" * 1000


async def test_one_number_of_more_than_64_bits_among_64_is_rejected(
    file: SqliteFile | DuckdbFile,
) -> None:
    events = [event(number, "state", number) for number in range(64)]
    events[32].input_tokens = 1 << 64
    async with sql.build(file.options()) as sink:
        rejected = await delivery(sink).send(batch(events))
    assert [each.index for each in rejected] == [32]
    assert file.ask("SELECT count(*) FROM events") == [(63,)]


async def test_nul_is_held(file: SqliteFile | DuckdbFile) -> None:
    async with sql.build(file.options()) as sink:
        await sink.send(batch([event(0, "state", 0, text="a \x00 in the text")]))
    assert file.ask("SELECT text FROM events") == [("a \x00 in the text",)]


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of one MiB is made by root")
async def test_a_full_disk_is_waited_for(file: SqliteFile | DuckdbFile, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True)
    try:
        file.path = disk / file.path.name
        async with sql.build(file.options()) as sink:
            filler = disk / "filler"
            filler.write_bytes(bytes((os.statvfs(disk).f_bavail - 8) * os.statvfs(disk).f_bsize))
            with pytest.raises(RetryLater) as caught:
                await sink.send(
                    batch([event(number, "state", number, text="x" * 900) for number in range(500)])
                )
            assert caught.value.reason in {"no_space", "io"}
            filler.unlink()
            await delivery(sink).send(batch(conversation()))
        assert file.ask("SELECT count(*) FROM events") == [(len(conversation()),)]
    finally:
        subprocess.run(["umount", disk], check=True)
