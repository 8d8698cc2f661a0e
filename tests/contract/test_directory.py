"""What the directory sink promises beyond the contract that all sinks share."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.batches import batch_of, lines_of
from tracesidecar.errors import RetryLater, SinkStopped
from tracesidecar.sinks.directory import atomic_files as durable
from tracesidecar.sinks.directory import sink as directory
from tracesidecar.sinks.directory.folders import LakeFolders
from tracesidecar.sinks.directory.objects import DirectoryObjects

ROOT = Path(__file__).parents[2]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "srv" / "lake"


@pytest.fixture
async def sink(lake: Path) -> AsyncIterator[directory.DirectorySink]:
    async with directory.build(
        directory.Options(name="lake", type="directory", path=str(lake))
    ) as sink:
        yield sink


def files(lake: Path) -> list[Path]:
    return sorted(path for path in lake.rglob("*") if path.is_file())


async def test_an_object_and_its_manifest_lie_under_their_names_and_nothing_else_is_left(
    lake: Path, sink: directory.DirectorySink
) -> None:
    batch = batch_of(lines_of(100), with_manifest=True)
    assert batch.manifest is not None
    await sink.send(batch)
    assert files(lake) == sorted([lake / batch.objects[0].name, lake / batch.manifest.name])
    assert (lake / batch.objects[0].name).read_bytes() == batch.objects[0].content


async def test_modes_are_exact_whatever_the_umask(
    lake: Path, sink: directory.DirectorySink
) -> None:
    batch = batch_of(lines_of(1))
    before = os.umask(0o077)
    try:
        await sink.send(batch)
    finally:
        os.umask(before)
    path = lake / batch.objects[0].name
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert {
        stat.S_IMODE(folder.stat().st_mode) for folder in (lake, path.parent, path.parent.parent)
    } == {0o750}


async def test_a_name_with_other_content_stops_the_sink_and_is_not_touched(
    lake: Path, sink: directory.DirectorySink
) -> None:
    batch = batch_of(lines_of(10))
    path = lake / batch.objects[0].name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"somebody else's")
    with pytest.raises(SinkStopped, match="other_content"):
        await sink.send(batch)
    assert files(lake) == [path]
    assert path.read_bytes() == b"somebody else's"


async def test_what_an_earlier_plan_wrote_under_the_name_counts_as_delivered(
    lake: Path, sink: directory.DirectorySink
) -> None:
    earlier, later = batch_of(lines_of(10)), batch_of(lines_of(10, mark="after the upgrade"))
    await sink.send(earlier)
    payload = replace(
        later.objects[0], planned=(earlier.objects[0].sha256, later.objects[0].sha256)
    )
    await sink.send(replace(later, objects=(payload,)))
    assert [path.read_bytes() for path in files(lake)] == [earlier.objects[0].content]


async def test_the_manifest_comes_only_after_the_objects(
    lake: Path, sink: directory.DirectorySink
) -> None:
    batch = batch_of(lines_of(10), with_manifest=True)
    obstacle = lake / batch.objects[0].name
    obstacle.parent.mkdir(parents=True)
    obstacle.write_bytes(b"other")
    with pytest.raises(SinkStopped):
        await sink.send(batch)
    assert files(lake) == [obstacle]


async def test_leftovers_of_a_crash_are_removed_at_start_and_those_of_the_living_are_not(
    lake: Path,
) -> None:
    folder = lake / "raw"
    folder.mkdir(parents=True)
    dead, living = (
        folder / f".dead{durable.LEFTOVER_SUFFIX}",
        folder / f".living{durable.LEFTOVER_SUFFIX}",
    )
    dead.write_bytes(b"half")
    living.write_bytes(b"half")
    with living.open() as held:
        assert durable.mark_in_use(held.fileno())
        async with directory.build(
            directory.Options(name="lake", type="directory", path=str(lake))
        ):
            assert files(lake) == [living]


async def test_a_lake_that_is_removed_is_waited_for_and_not_made_elsewhere(
    sink: directory.DirectorySink, lake: Path
) -> None:
    """Its file system may just not be mounted: what is written below would be hidden later."""
    shutil.rmtree(lake)
    with pytest.raises(RetryLater, match="its file system is not mounted") as caught:
        await sink.send(batch_of(lines_of(3)))
    assert caught.value.reason == "not_found"
    assert not lake.exists()
    lake.mkdir()
    await sink.send(batch_of(lines_of(3)))


async def test_exists_knows_names_below_the_path(sink: directory.DirectorySink) -> None:
    batch = batch_of(lines_of(3))
    name = batch.objects[0].name
    assert not await sink.exists(name)
    await sink.send(batch)
    assert await sink.exists(name)
    assert not await sink.exists(f"{name}/below-a-file")


def test_a_file_system_without_hard_links_gets_a_rename_that_does_not_replace(
    tmp_path: Path,
) -> None:
    source, target = tmp_path / "new", tmp_path / "there"
    source.write_bytes(b"new")
    target.write_bytes(b"there")
    with pytest.raises(FileExistsError):
        durable.rename_to_free_name(str(source), str(target))
    durable.rename_to_free_name(str(source), str(tmp_path / "free"))
    assert (target.read_bytes(), (tmp_path / "free").read_bytes()) == (b"there", b"new")


async def test_no_link_below_the_lake_is_followed(
    lake: Path, tmp_path: Path, sink: directory.DirectorySink
) -> None:
    """A lake may belong to somebody who is to get no files made anywhere else by us."""
    batch = batch_of(lines_of(10))
    folder = os.path.dirname(batch.objects[0].name)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / f".left{durable.LEFTOVER_SUFFIX}").write_bytes(b"not ours")
    (elsewhere / "a.jsonl.gz").write_bytes(b"not ours")
    (lake / folder).parent.mkdir(parents=True)
    (lake / folder).symlink_to(elsewhere)
    objects = DirectoryObjects(directory.Options(name="lake", type="directory", path=str(lake)))
    with pytest.raises(RetryLater, match="a symbolic link below it is not followed"):
        await sink.send(batch)
    with pytest.raises(RetryLater):
        objects.put(batch.objects[0].name, str(elsewhere / "a.jsonl.gz"))
    with pytest.raises(RetryLater):
        objects.remove(f"{folder}/a.jsonl.gz")
    with pytest.raises(FileNotFoundError):
        list(objects.read(f"{folder}/a.jsonl.gz"))
    await sink.__aenter__()  # removes leftovers
    assert list(objects.list("")) == []
    assert len(list(elsewhere.iterdir())) == 2
    (lake / folder).unlink()
    await sink.send(batch)
    assert [name for name, _ in objects.list("")] == [batch.objects[0].name]
    (lake / batch.objects[0].name).unlink()
    (lake / batch.objects[0].name).symlink_to(elsewhere / "a.jsonl.gz")
    problem = re.escape(f"{batch.objects[0].name} is not a regular file; find out who put it there")
    with pytest.raises(RetryLater, match=problem):
        await sink.send(batch)
    os.unlink(lake / batch.objects[0].name)
    os.mkfifo(lake / batch.objects[0].name)
    with pytest.raises(RetryLater, match=problem):
        await sink.send(batch)


def test_what_takes_the_place_of_an_open_lake_or_folder_is_not_written_to(
    lake: Path, tmp_path: Path
) -> None:
    day, moved, other = lake / "v1" / "dt=2026-11-21", tmp_path / "moved", tmp_path / "other"
    day.mkdir(parents=True)
    other.mkdir()
    with LakeFolders(str(lake)) as folders:
        durable.write_new(folders.make("v1/dt=2026-11-21"), "first", b"1", 0o640)
        day.rename(lake / "v1" / "aside")
        day.symlink_to(other)
        durable.write_new(folders.make("v1/dt=2026-11-21"), "second", b"2", 0o640)
        folders.sync()
        lake.rename(moved)
        lake.symlink_to(other)
        durable.write_new(folders.make("_manifest/v1"), "third", b"3", 0o640)
        folders.sync()
    assert [str(path.relative_to(moved)) for path in files(moved)] == [
        "_manifest/v1/third",
        "v1/aside/first",
        "v1/aside/second",
    ]
    assert list(other.iterdir()) == []


async def test_the_lake_itself_may_be_a_link(lake: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    lake.parent.mkdir()
    lake.symlink_to(tmp_path / "disk")
    batch = batch_of(lines_of(10))
    async with directory.build(
        directory.Options(name="lake", type="directory", path=str(lake))
    ) as sink:
        await sink.send(batch)
    assert len(files(tmp_path / "disk")) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make links of several users")
@pytest.mark.parametrize("is_dangling", [False, True])
async def test_a_link_of_somebody_else_does_not_say_where_the_lake_is(
    lake: Path, tmp_path: Path, *, is_dangling: bool
) -> None:
    elsewhere = tmp_path / "elsewhere"
    if not is_dangling:
        elsewhere.mkdir()
    lake.parent.mkdir()
    lake.symlink_to(elsewhere)
    os.chown(lake, 12345, 12345, follow_symlinks=False)
    for path in (lake, lake / "below"):
        options = directory.Options(name="lake", type="directory", path=str(path))
        with pytest.raises(RetryLater, match="symbolic link"):
            await directory.build(options).__aenter__()
        with pytest.raises(RetryLater, match="symbolic link"):
            DirectoryObjects(options).put("a", "/dev/null")
    assert not is_dangling or not elsewhere.exists()
    assert is_dangling or not list(elsewhere.iterdir())


FULL_DISK = """
import asyncio, os, subprocess, sys
from tests.contract.batches import batch_of, lines_of
from tracesidecar.errors import RetryLater
from tracesidecar.sinks.directory import sink as directory

async def main(path):
    batch = batch_of(lines_of(2000), compression="none")
    sink = directory.build(directory.Options(name="lake", type="directory", path=path))
    with open(f"{path}/ballast", "wb") as ballast:
        ballast.write(bytes(400_000))
    async with sink:
        try:
            await sink.send(batch)
        except RetryLater as error:
            files = sum(len(names) for _, _, names in os.walk(path))
            print(error.reason, sorted(os.listdir(path)), files)
        os.unlink(f"{path}/ballast")
        await sink.send(batch)
        print(len(open(f"{path}/{batch.objects[0].name}", "rb").read().splitlines()))
    subprocess.run(["mount", "-o", "remount,ro", path], check=True)
    try:
        await sink.__aenter__()
    except RetryLater as error:
        print(error.reason)

asyncio.run(main(sys.argv[1]))
"""


def test_a_full_disk_and_a_read_only_one_are_retried(tmp_path: Path) -> None:
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "-Urm", "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("this machine allows no mount namespace")
    mount = 'mount -t tmpfs -o size=512k tmpfs "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "-Urm", "sh", "-c", mount, "sh", str(tmp_path), sys.executable, FULL_DISK]
    done = subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=600
    )
    assert done.stdout.splitlines() == ["no_space ['ballast', 'raw'] 1", "2000", "read_only"]


async def test_the_digest_that_is_compared_is_of_the_whole_file(
    lake: Path, sink: directory.DirectorySink
) -> None:
    batch = batch_of(lines_of(100))
    await sink.send(batch)
    path = lake / batch.objects[0].name
    path.write_bytes(batch.objects[0].content[:-1])
    assert hashlib.sha256(path.read_bytes()).digest() != batch.objects[0].sha256
    with pytest.raises(SinkStopped):
        await sink.send(batch)


SEND = """
import asyncio, os, sys
from tests.contract.batches import batch_of, lines_of
from tracesidecar.errors import RetryLater
from tracesidecar.sinks.directory import sink as directory

async def main(path):
    batch = batch_of(lines_of(10), with_manifest=len(sys.argv) > 2)
    async with directory.build(directory.Options(name="lake", type="directory", path=path)) as sink:
        for _ in range(20):
            try:
                await sink.send(batch)
                break
            except RetryLater as error:
                print(error.reason, sum(len(names) for _, _, names in os.walk(path)))
    content = open(f"{path}/{batch.objects[0].name}", "rb").read()
    files = sum(len(names) for _, _, names in os.walk(path))
    print(content == batch.objects[0].content, files)

asyncio.run(main(sys.argv[1]))
"""


def trace_send(lake: Path, *how: str, with_manifest: bool = False) -> tuple[list[str], list[str]]:
    """Send a batch under strace; return the output and the system calls, with paths."""
    if (
        shutil.which("strace") is None
        or subprocess.run(
            ["strace", "-o", "/dev/null", "true"], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("this machine has no strace, or does not allow it")
    log = lake.parent / "strace"
    command = [
        "strace",
        "-f",
        "-qq",
        "-y",
        "-o",
        str(log),
        *how,
        sys.executable,
        "-c",
        SEND,
        str(lake),
        *(["manifest"] if with_manifest else []),
    ]
    done = subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=600
    )
    return done.stdout.splitlines(), [
        line.partition(" ")[2].strip() for line in log.read_text().splitlines()
    ]


def test_the_bytes_are_durable_before_the_name_and_the_name_before_success(tmp_path: Path) -> None:
    printed, calls = trace_send(tmp_path / "lake", "-e", "trace=?link,?linkat,fsync")
    assert printed == ["True 1"]
    named = next(index for index, call in enumerate(calls) if call.startswith("link"))
    assert durable.LEFTOVER_SUFFIX in next(
        call for call in reversed(calls[:named]) if call.startswith("fsync")
    )
    folders = [
        tmp_path / "lake" / "raw" / "v1" / "dt=2026-09-21",
        tmp_path / "lake" / "raw" / "v1",
        tmp_path / "lake" / "raw",
        tmp_path / "lake",
    ]
    synced = [
        call.partition("<")[2].partition(">")[0]
        for call in calls[named:]
        if call.startswith("fsync")
    ]
    assert synced == [str(folder) for folder in folders]


def test_the_name_of_a_manifest_is_as_durable_as_those_of_its_objects(tmp_path: Path) -> None:
    printed, calls = trace_send(
        tmp_path / "lake", "-e", "trace=?link,?linkat,fsync", with_manifest=True
    )
    assert printed == ["True 2"]
    first, second = (index for index, call in enumerate(calls) if call.startswith("link"))
    day = tmp_path / "lake" / "_manifest" / "v1" / "dt=2026-09-21"
    object_day = tmp_path / "lake" / "raw" / "v1" / "dt=2026-09-21"
    synced = [call.partition("<")[2].partition(">")[0] for call in calls]
    assert str(object_day) in synced[first:second]
    assert synced[second + 1 :] == [
        str(day),
        str(day.parent),
        str(day.parent.parent),
        str(tmp_path / "lake"),
    ]


def test_where_hard_links_are_rejected_the_name_comes_by_a_rename(tmp_path: Path) -> None:
    printed, _ = trace_send(
        tmp_path / "lake", "-e", "trace=?link,?linkat", "-e", "inject=?link,?linkat:error=EPERM"
    )
    assert printed == ["True 1"]


def test_a_disk_error_while_a_folder_is_made_durable_is_retried_and_leaves_no_name(
    tmp_path: Path,
) -> None:
    printed, _ = trace_send(
        tmp_path / "lake",
        "-P",
        str(tmp_path / "lake"),
        "-e",
        "trace=fsync",
        "-e",
        "inject=fsync:error=EIO:when=1",
    )
    assert (printed[0], printed[-1]) == (
        "io 0",
        "True 1",
    )  # strace counts in each thread: there may be more than one error
