"""The objects that a directory sink has stored, for `verify` and `compact`."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator

from tracesidecar.errors import RetryLater
from tracesidecar.sinks.directory import atomic_files
from tracesidecar.sinks.directory.errors import retry_later
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
        for parent, folders, names in os.walk(
            os.path.join(self._path, prefix), onerror=self._raise_unless_missing
        ):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(parent, name)
                if not name.endswith(atomic_files.LEFTOVER_SUFFIX):
                    yield os.path.relpath(path, self._path), os.stat(path).st_size

    def read(self, name: str) -> Iterator[bytes]:
        """Yield the content in blocks. Raises FileNotFoundError when there is no such object."""
        try:
            with open(self._path_of(name), "rb") as file:
                while block := file.read(BLOCK_BYTES):
                    yield block
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(name) from error
        except OSError as error:
            raise self._retry_later("read", error) from error

    def local(self, name: str) -> str | None:
        """Return the object's path on this machine."""
        return self._path_of(name)

    def put(self, name: str, source: str) -> None:
        """Store a file's content durably under a name, replacing what is there."""
        target = self._path_of(name)
        folder = os.path.dirname(target)
        temporary = os.path.join(folder, f".{uuid.uuid4().hex}{atomic_files.LEFTOVER_SUFFIX}")
        try:
            atomic_files.make_folders(folder, self._directory_mode)
            with open(source, "rb") as content, open(temporary, "xb") as file:
                atomic_files.mark_in_use(file.fileno())
                os.fchmod(file.fileno(), self._file_mode)
                shutil.copyfileobj(content, file, BLOCK_BYTES)
                file.flush()
                os.fsync(file.fileno())
                os.replace(temporary, target)
            atomic_files.sync_folders(atomic_files.folders_between(self._path, folder))
        except OSError as error:
            raise self._retry_later("write", error) from error

    def remove(self, name: str) -> None:
        """Remove an object; a missing one is no error."""
        try:
            os.unlink(self._path_of(name))
            atomic_files.sync_folder(os.path.dirname(self._path_of(name)))
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._retry_later("remove", error) from error

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _path_of(self, name: str) -> str:
        return os.path.join(self._path, name)

    def _raise_unless_missing(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise self._retry_later("list", error) from error

    def _retry_later(self, verb: str, error: OSError) -> RetryLater:
        return retry_later(error, f"{verb} {error.filename or self._path}")
