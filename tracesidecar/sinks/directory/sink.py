"""The directory sink: each object is a file that appears whole, durable, and never over another."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

import aiofiles
import aiofiles.os
import structlog

from tracesidecar.errors import RetryLater, SinkStopped
from tracesidecar.model import Batch, Payload
from tracesidecar.sinks.directory import atomic_files as durable
from tracesidecar.sinks.directory.objects import objects
from tracesidecar.sinks.directory.options import Options
from tracesidecar.sinks.sink import LAKE_ROW_BYTES, SinkType

__all__ = ["SINK_TYPE", "Options", "build"]

log = structlog.get_logger(__name__)

_ADVICE = {
    errno.ENOSPC: ("no_space", "make room on its file system"),
    errno.EDQUOT: ("no_space", "raise the quota or make room"),
    errno.EACCES: ("denied", "give the user that tracesidecar runs as the right to write there"),
    errno.EPERM: ("denied", "give the user that tracesidecar runs as the right to write there"),
    errno.EROFS: ("read_only", "mount its file system for writing"),
    errno.EIO: ("io", "check the disk"),
    errno.ENOTDIR: ("not_found", "a file is where a folder should be: mend path"),
    errno.EEXIST: ("not_found", "a file is where a folder should be: mend path"),
}


def build(options: Options) -> DirectorySink:
    """Make the sink; the folder is made on entry."""
    return DirectorySink(options)


def destination(options: Options) -> str:
    """Name the folder, absolute."""
    return f"directory:{os.path.abspath(options.path)}"


def lake_location(options: Options) -> str:
    """Name the folder, absolute."""
    return os.path.abspath(options.path)


class DirectorySink:
    """Writes objects under a folder; exactly once, because a name is given once and an equal file
    under it is a yes.
    """

    def __init__(self, options: Options) -> None:
        self._path = os.path.abspath(options.path)
        self._directory_mode = int(options.directory_mode, 8)
        self._file_mode = int(options.file_mode, 8)

    async def __aenter__(self) -> Self:
        try:
            removed = await asyncio.to_thread(self._prepare)
        except OSError as error:
            raise self._later(error) from error
        if removed:
            log.info("sink.leftovers_removed", path=self._path, files=removed)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    async def send(self, batch: Batch) -> None:
        """Write all objects, make their names durable, then the same for the manifest."""
        try:
            await self._keep(batch.objects)
            if batch.manifest is not None:
                await self._keep((batch.manifest,))
        except OSError as error:
            raise self._later(error) from error

    async def exists(self, name: str) -> bool:
        """Tell whether a file of that name is there."""
        try:
            await aiofiles.os.stat(os.path.join(self._path, name))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise self._later(error) from error
        return True

    def _prepare(self) -> int:
        durable.make_folders(self._path, self._directory_mode)
        probe = _temporary_in(self._path)
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        os.unlink(probe)
        return durable.remove_leftovers(self._path)

    async def _keep(self, payloads: Sequence[Payload]) -> None:
        folders: set[str] = set()
        for payload in payloads:
            target = os.path.join(self._path, payload.name)
            folders.update(durable.folders_between(self._path, os.path.dirname(target)))
            try:
                await asyncio.to_thread(self._write, target, payload.content)
            except FileExistsError:
                await self._accept_equal(target, payload)
        await asyncio.to_thread(durable.sync_folders, folders)

    def _write(self, target: str, content: bytes) -> None:
        """In one step of a thread: a batch may be of a hundred small objects, and each change of
        threads costs as much as writing one.
        """
        durable.make_folders(os.path.dirname(target), self._directory_mode)
        temporary = _temporary_in(os.path.dirname(target))
        try:
            with open(temporary, "xb") as file:
                durable.mark_in_use(file.fileno())
                os.fchmod(file.fileno(), self._file_mode)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                durable.give_name(temporary, target)
        finally:
            with suppress(FileNotFoundError):  # never made, or renamed
                os.unlink(temporary)

    async def _accept_equal(self, target: str, payload: Payload) -> None:
        digest = await asyncio.to_thread(_digest, target)
        if digest == payload.sha256:
            return
        if digest not in payload.planned:
            raise SinkStopped(
                "other_content",
                f"{target} is already there with other content; find out who wrote it, then move it away",
            )
        log.warning("sink.earlier_plan_accepted", path=target)

    def _later(self, error: OSError) -> RetryLater:
        reason, advice = _ADVICE.get(error.errno or 0, ("io", "see what the system says about it"))
        return RetryLater(reason, f"could not write below {self._path}: {error.strerror}; {advice}")


def _temporary_in(folder: str) -> str:
    return os.path.join(folder, f".{uuid.uuid4().hex}{durable.LEFTOVER_SUFFIX}")


def _digest(path: str) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


SINK_TYPE = SinkType(
    name="directory",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="objects",
    promise="exactly once",
    record_limit_bytes=LAKE_ROW_BYTES,
    keeps_content=True,
    lake_location=lake_location,
    stored_objects=objects,
)
