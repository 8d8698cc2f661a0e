"""What the stdout sink promises beyond the contract that all sinks share."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.batches import batch_of, lines_of
from tests.servers.processes import wait_until
from tracesidecar.errors import SinkStopped
from tracesidecar.model import Compression
from tracesidecar.sinks.stdout import sink as stdout

ROOT = Path(__file__).parents[2]
PIPE_BYTES = 4096
"""The smallest pipe that there is: one write fills it."""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    yield reading, writing
    for descriptor in (reading, writing):
        try:
            os.close(descriptor)
        except OSError:
            continue  # the test closed it


def read_all(descriptor: int, size_bytes: int) -> bytes:
    data = b""
    while len(data) < size_bytes:
        data += os.read(descriptor, 1000)
    return data


def unread_bytes(descriptor: int) -> int:
    waiting = fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4))
    return int.from_bytes(waiting, sys.byteorder)


@pytest.mark.parametrize("is_blocking", [True, False])
async def test_a_slow_reader_gets_every_line_whole(
    pipe: tuple[int, int], is_blocking: bool
) -> None:
    reading, writing = pipe
    os.set_blocking(writing, is_blocking)
    batch = batch_of(lines_of(500), compression="none")
    content = batch.objects[0].content
    async with stdout.StdoutSink(writing) as sink:
        received, _ = await asyncio.gather(
            asyncio.to_thread(read_all, reading, len(content)), sink.send(batch)
        )
    assert received == content


async def test_a_reader_that_has_gone_stops_the_sink(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    async with stdout.StdoutSink(writing) as sink:
        os.close(reading)
        with pytest.raises(SinkStopped, match="closed"):
            await sink.send(batch_of(lines_of(5), compression="none"))


async def test_a_closed_descriptor_stops_the_sink_at_its_start(pipe: tuple[int, int]) -> None:
    os.close(pipe[1])
    with pytest.raises(SinkStopped, match="closed"):
        await stdout.StdoutSink(pipe[1]).__aenter__()


async def test_a_send_that_was_interrupted_goes_on_where_it_stopped(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    batch = batch_of(lines_of(500), compression="none")
    content = batch.objects[0].content
    async with stdout.StdoutSink(writing) as sink:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sink.send(batch), timeout=0.3)  # nobody reads: the pipe fills up
        received, _ = await asyncio.gather(
            asyncio.to_thread(read_all, reading, len(content)), sink.send(batch)
        )
    assert received == content


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compression_is_rejected_with_the_key_to_remove(compression: Compression) -> None:
    with pytest.raises(ValueError, match="compression"):
        stdout.Options(name="out", type="stdout", compression=compression)


STUCK = """
import asyncio
import sys
from tests.contract.batches import batch_of, lines_of
from tracesidecar.sinks.stdout import sink as stdout

async def main():
    async with stdout.build(stdout.Options(name="out", type="stdout")) as sink:
        batch = batch_of(lines_of(5000), compression="none")
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(sink.send(batch))
            await asyncio.to_thread(sys.stdin.read)
            assert not sending.done()
            sending.cancel()

asyncio.run(main())
"""


def test_a_stuck_reader_does_not_keep_the_process_from_ending(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    command = [sys.executable, "-c", STUCK]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=writing) as process:
        try:
            wait_until(lambda: unread_bytes(reading) == PIPE_BYTES)
            assert process.stdin is not None
            process.stdin.close()  # now that the sink is stuck
            wait_until(lambda: process.poll() is not None)
        finally:
            process.kill()
    assert process.returncode == 0
