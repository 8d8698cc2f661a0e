"""The objects that a directory sink has stored, for `verify` and `compact`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from tracesidecar.errors import RetryLater
from tracesidecar.sinks.directory import atomic_files
from tracesidecar.sinks.directory.errors import retry_later
from tracesidecar.sinks.directory.folders import LakeFolders
from tracesidecar.sinks.directory.options import Options

BLOCK_BYTES = 1 << 20


class DirectoryObjects:
    """Objects by their paths relative to the sink's folder. See `sinks.sink.StoredObjects`."""

    def __init__(self, options: Options) -> None:
        self._path = os.path.abspath(options.path)
        self._directory_mode = int(options.directory_mode, 8)
        self._file_mode = int(options.file_mode, 8)

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield name and size in bytes of each object below a prefix; unfinished files are none."""
        try:
            with self._open() as folders:
                for folder, names in folders.walk(prefix.rstrip("/")):
                    for name in names:
                        path = os.path.join(folder, name)
                        if not name.endswith(atomic_files.LEFTOVER_SUFFIX):
                            yield path, folders.stat(path).st_size
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._retry_later("list", error) from error

    def read(self, name: str) -> Iterator[bytes]:
        """Yield the content in blocks. Raise FileNotFoundError when there is no such object."""
        try:
            with self._open() as folders, open(folders.open_file(name), "rb") as file:
                while block := file.read(BLOCK_BYTES):
                    yield block
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(name) from error
        except OSError as error:
            raise self._retry_later("read", error) from error

    def put(self, name: str, source: str) -> None:
        """Store a file's content durably under a name, replacing what is there."""
        folder, target = os.path.split(name)
        try:
            with self._open() as folders:
                descriptor = folders.make(folder)
                with (
                    open(source, "rb") as content,
                    atomic_files.begin_file(descriptor, self._file_mode) as (file, temporary),
                ):
                    shutil.copyfileobj(content, file, BLOCK_BYTES)
                    file.flush()
                    os.fsync(file.fileno())
                    os.replace(temporary, target, src_dir_fd=descriptor, dst_dir_fd=descriptor)
                folders.sync()
        except OSError as error:
            raise self._retry_later("write", error) from error

    def remove(self, name: str) -> None:
        """Remove an object; a missing one is no error."""
        try:
            folder, base = os.path.split(name)
            with self._open() as folders:
                os.unlink(base, dir_fd=folders.find(folder))
                os.fsync(folders.find(folder))
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._retry_later("remove", error) from error

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _open(self) -> LakeFolders:
        return LakeFolders(self._path, self._directory_mode)

    def _retry_later(self, verb: str, error: OSError) -> RetryLater:
        return retry_later(error, f"{verb} {error.filename or self._path}")
