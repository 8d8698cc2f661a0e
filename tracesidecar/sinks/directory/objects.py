"""The objects of a directory sink, to look at and to rewrite."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator

from tracesidecar.errors import RetryLater
from tracesidecar.sinks.directory import atomic_files as durable
from tracesidecar.sinks.directory.options import Options

BLOCK_BYTES = 1 << 20


def objects(options: Options) -> DirectoryObjects:
    """Look at what a sink of these options keeps."""
    return DirectoryObjects(options)


class DirectoryObjects:
    """Objects by their names below the folder.

    Every method may raise RetryLater, for what the file system refuses.
    """

    def __init__(self, options: Options) -> None:
        self._path = os.path.abspath(options.path)
        self._directory_mode = int(options.directory_mode, 8)
        self._file_mode = int(options.file_mode, 8)

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Name and size in bytes of each object below a prefix that ends in a slash or is empty;
        unfinished ones are none.
        """
        for parent, folders, names in os.walk(
            os.path.join(self._path, prefix), onerror=_unreadable
        ):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(parent, name)
                if not name.endswith(durable.LEFTOVER_SUFFIX):
                    yield os.path.relpath(path, self._path), os.stat(path).st_size

    def read(self, name: str) -> Iterator[bytes]:
        """The content in blocks; raises FileNotFoundError where there is none."""
        try:
            with open(self._place(name), "rb") as file:
                while block := file.read(BLOCK_BYTES):
                    yield block
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(name) from error
        except OSError as error:
            raise _later(error) from error

    def local(self, name: str) -> str | None:
        """Where the object lies on this machine."""
        return self._place(name)

    def put(self, name: str, source: str) -> None:
        """Keep a file's content under a name, durably, in place of what was there."""
        target = self._place(name)
        folder = os.path.dirname(target)
        temporary = os.path.join(folder, f".{uuid.uuid4().hex}{durable.LEFTOVER_SUFFIX}")
        try:
            durable.make_folders(folder, self._directory_mode)
            with open(source, "rb") as content, open(temporary, "xb") as file:
                durable.mark_in_use(file.fileno())
                os.fchmod(file.fileno(), self._file_mode)
                shutil.copyfileobj(content, file, BLOCK_BYTES)
                file.flush()
                os.fsync(file.fileno())
                os.replace(temporary, target)
            durable.sync_folders(durable.folders_between(self._path, folder))
        except OSError as error:
            raise _later(error) from error

    def remove(self, name: str) -> None:
        """Remove an object; one that is not there is as good."""
        try:
            os.unlink(self._place(name))
            durable.sync_folder(os.path.dirname(self._place(name)))
        except FileNotFoundError:
            return
        except OSError as error:
            raise _later(error) from error

    def close(self) -> None:
        """Let go of nothing."""

    def _place(self, name: str) -> str:
        return os.path.join(self._path, name)


def _unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise _later(error) from error


def _later(error: OSError) -> RetryLater:
    return RetryLater("io", f"{error.filename} cannot be used: {error.strerror}")
