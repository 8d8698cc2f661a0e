"""What the RELP sink promises whatever a server answers; scripts give the answers that rsyslog does
not.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import pytest

from tests.contract.batches import batch_for, lines_of
from tracesidecar.errors import RetryLater
from tracesidecar.sinks import relp
from tracesidecar.sinks.relp.client import WINDOW
from tracesidecar.sinks.relp.frames import (
    RelpProtocolError,
    ResponseParser,
    frame,
    next_transaction,
)
from tracesidecar.sinks.relp.sink import RelpSink
from tracesidecar.units import Seconds

Frame = tuple[int, bytes, bytes]
Script = Callable[[list[Frame]], Iterable[bytes]]
OPENED = frame(1, "rsp", b"200 OK\nrelp_version=0\nrelp_software=script\ncommands=syslog")


class ScriptedServer:
    """Receives frames, and answers each read with what the script returns for the frames in it."""

    def __init__(self, script: Script) -> None:
        self.taken: list[Frame] = []
        self.most_unanswered = 0
        self._script = script

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer, answered = b"", len(self.taken)
        while data := await reader.read(1 << 20):
            buffer += data
            frames, buffer = _cut(buffer)
            self.taken += frames
            self.most_unanswered = max(self.most_unanswered, len(self.taken) - answered)
            for answer in self._script(frames):
                answered += answer.count(b" rsp ")
                writer.write(answer)
        writer.close()


def _cut(data: bytes) -> tuple[list[Frame], bytes]:
    frames = []
    while (header := re.match(rb"([0-9]+) ([a-z]+) ([0-9]+) ?", data)) and len(
        data
    ) > header.end() + int(header[3]):
        end = header.end() + int(header[3])
        frames.append((int(header[1]), header[2], data[header.end() : end]))
        assert data[end : end + 1] == b"\n"
        data = data[end + 1 :]
    return frames, data


@asynccontextmanager
async def serve_script(
    script: Script, timeout_seconds: float = 60
) -> AsyncIterator[tuple[ScriptedServer, RelpSink]]:
    server = ScriptedServer(script)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield (
            server,
            relp.build(
                relp.Options(
                    name="audit",
                    type="relp",
                    host="127.0.0.1",
                    port=port,
                    timeout=Seconds(timeout_seconds),
                )
            ),
        )


def answering(to_message: Callable[[int], bytes]) -> Script:
    """Return a script that opens and closes sessions properly, and answers messages with this."""
    return lambda frames: (
        OPENED
        if name == b"open"
        else frame(n, "rsp", b"200 OK")
        if name == b"close"
        else to_message(n)
        for n, name, _ in frames
    )


async def test_never_more_than_the_window_waits_for_acknowledgement() -> None:
    async with (
        serve_script(answering(lambda n: frame(n, "rsp", b"200 OK"))) as (server, sink),
        sink,
    ):
        await sink.send(batch_for("relp", lines_of(1000)))
    assert [(number, name) for number, name, _ in server.taken] == [
        (1, b"open"),
        *((n, b"syslog") for n in range(2, 1002)),
        (1002, b"close"),
    ]
    assert server.most_unanswered <= WINDOW


async def test_responses_may_arrive_in_any_order_and_in_fragments() -> None:
    def backwards(frames: list[Frame]) -> Iterable[bytes]:
        for answer in reversed(
            list(answering(lambda n: frame(n, "rsp", b"200 OK, and more"))(frames))
        ):
            yield from (answer[:3], answer[3:])

    async with serve_script(backwards) as (server, sink), sink:
        await sink.send(batch_for("relp", lines_of(300)))
    assert len(server.taken) == 302


async def test_a_message_that_the_server_could_not_accept_is_retried_with_its_batch() -> None:
    async with (
        serve_script(
            answering(lambda n: frame(n, "rsp", b"500 disk full" if n == 7 else b"200 OK"))
        ) as (_, sink),
        sink,
    ):
        with pytest.raises(
            RetryLater,
            match=r"refused: 127\.0\.0\.1:[0-9]+ answered a RELP command with an error",
        ):
            await sink.send(batch_for("relp", lines_of(20)))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda n: b"0 serverclose 0\n", id="it goes"),
        pytest.param(
            lambda n: (
                b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
            ),
            id="another protocol",
        ),
        pytest.param(lambda n: frame(999, "rsp", b"200 OK"), id="an answer to nothing"),
        pytest.param(lambda n: b"%d rsp 999999999 200" % n, id="an answer without end"),
        pytest.param(lambda n: b"%d rsp 6 200 OKX" % n, id="no trailer"),
        pytest.param(lambda n: b"", id="no answer"),
    ],
)
async def test_anything_but_a_response_makes_the_batch_be_retried(
    answer: Callable[[int], bytes],
) -> None:
    async with serve_script(answering(answer), timeout_seconds=2) as (_, sink), sink:
        with pytest.raises(RetryLater, match=r"127\.0\.0\.1"):
            await asyncio.wait_for(sink.send(batch_for("relp", lines_of(20))), timeout=600)


async def test_a_server_without_the_syslog_command_is_reported_at_once() -> None:
    async with serve_script(
        lambda frames: [frame(1, "rsp", b"200 OK\nrelp_version=0\ncommands=eventlog")]
    ) as (_, sink):
        with pytest.raises(RetryLater, match="refused"):
            await sink.__aenter__()


async def test_a_cancelled_send_leaves_no_half_frame_before_the_next() -> None:
    async with serve_script(answering(lambda n: b""), timeout_seconds=2) as (server, sink), sink:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sink.send(batch_for("relp", lines_of(20))), timeout=0.1)
        with pytest.raises(RetryLater):
            await sink.send(batch_for("relp", lines_of(20)))
    assert [name for _, name, _ in server.taken].count(b"open") == 2


def test_transaction_numbers_start_again_after_the_last() -> None:
    assert [next_transaction(number) for number in (0, 1, 999_999_998, 999_999_999)] == [
        1,
        2,
        999_999_999,
        1,
    ]


def test_frames_are_parsed_however_they_arrive() -> None:
    stream = b"1 rsp 6 200 OK\n2 rsp 0\n0 serverclose 0\n"
    whole = ResponseParser().feed(stream)
    assert [(answer.transaction, answer.command, answer.data) for answer in whole] == [
        (1, "rsp", b"200 OK"),
        (2, "rsp", b""),
        (0, "serverclose", b""),
    ]
    answers = ResponseParser()
    assert [answer for byte in stream for answer in answers.feed(bytes([byte]))] == whole
    with pytest.raises(RelpProtocolError):
        ResponseParser().feed(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3 and a long greeting\r\n")
