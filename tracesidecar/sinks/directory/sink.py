"""The directory sink.

Each object is a file that appears whole and durable, and never replaces another.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from types import TracebackType
from typing import Self

import structlog

from tracesidecar.errors import SinkStopped
from tracesidecar.model import Batch, Payload
from tracesidecar.sinks.directory import atomic_files
from tracesidecar.sinks.directory.errors import retry_later
from tracesidecar.sinks.directory.folders import LakeFolders
from tracesidecar.sinks.directory.objects import DirectoryObjects
from tracesidecar.sinks.directory.options import Options
from tracesidecar.sinks.sink import LAKE_ROW_BYTES, SinkType

__all__ = ["SINK_TYPE", "Options", "build"]

log = structlog.get_logger(__name__)


def build(options: Options) -> DirectorySink:
    """Make the sink; the folder is created on entry."""
    return DirectorySink(options)


def destination(options: Options) -> str:
    """Name the folder, absolute."""
    return f"directory:{os.path.abspath(options.path)}"


def lake_location(options: Options) -> str:
    """Name the folder, absolute."""
    return os.path.abspath(options.path)


class DirectorySink:
    """Delivers exactly once.

    A name is given once, and an equal file under it means that it has arrived before.
    """

    def __init__(self, options: Options) -> None:
        self._path = os.path.abspath(options.path)
        self._directory_mode = int(options.directory_mode, 8)
        self._file_mode = int(options.file_mode, 8)
        self._attempt = f"write below {self._path}"

    async def __aenter__(self) -> Self:
        try:
            removed = await asyncio.to_thread(self._prepare)
        except OSError as error:
            raise retry_later(error, self._attempt) from error
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
        """Write all objects and make their names durable, then do the same for the manifest."""
        try:
            await asyncio.to_thread(self._store, batch)
        except OSError as error:
            raise retry_later(error, self._attempt) from error

    async def exists(self, name: str) -> bool:
        """Return whether there is a file of that name."""
        try:
            await asyncio.to_thread(self._look_for, name)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise retry_later(error, self._attempt) from error
        return True

    def _open(self) -> LakeFolders:
        return LakeFolders(self._path, self._directory_mode)

    def _look_for(self, name: str) -> None:
        with self._open() as folders:
            folders.stat(name)

    def _prepare(self) -> int:
        atomic_files.make_folder(self._path, self._directory_mode)
        with self._open() as folders:
            with atomic_files.begin_file(folders.find(""), 0o600):
                pass  # it can be written
            return atomic_files.remove_leftovers(folders)

    def _store(self, batch: Batch) -> None:
        """Store everything in one step of a thread.

        A batch may have a hundred small objects, and each change of threads costs as much as
        writing one. The lake is opened once: the manifest is where its objects are, whatever
        becomes of the lake's path meanwhile.
        """
        manifest = () if batch.manifest is None else (batch.manifest,)
        with self._open() as folders:
            for payloads in (batch.objects, manifest):
                made = [folders.make(os.path.dirname(payload.name)) for payload in payloads]
                for payload, folder in zip(payloads, made, strict=True):
                    name = os.path.basename(payload.name)
                    try:
                        atomic_files.write_new(folder, name, payload.content, self._file_mode)
                    except FileExistsError:
                        self._accept_equal(folders, payload)
                folders.sync()

    def _accept_equal(self, folders: LakeFolders, payload: Payload) -> None:
        target = os.path.join(self._path, payload.name)
        digest = _digest(folders, payload.name)
        if digest == payload.sha256:
            return
        if digest not in payload.planned:
            raise SinkStopped(
                "other_content",
                f"{target} already exists with other content; "
                "find out who wrote it, then move it away",
            )
        log.warning("sink.earlier_plan_accepted", path=target)


def _digest(folders: LakeFolders, name: str) -> bytes:
    with open(folders.open_file(name), "rb") as file:
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
    stored_objects=DirectoryObjects,
)
