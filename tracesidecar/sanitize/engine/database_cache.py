"""Keep compiled databases on disk, so that a restart takes milliseconds instead of seconds."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress

_DIGEST_BYTES = 32
KEPT_PER_NAME = 4
"""How many databases of one name are kept: those of the most recent options and versions."""


class DatabaseCache:
    """One file per database: a SHA-256 of the content, followed by the content.

    A file that is missing, unreadable or damaged counts as absent. Without a directory nothing is
    stored.
    """

    def __init__(self, directory: str | None) -> None:
        self._directory = directory

    @property
    def is_enabled(self) -> bool:
        """Return True if there is a directory to keep databases in."""
        return self._directory is not None

    def load(self, name: str, key: str) -> bytes | None:
        """Return what was stored under this key, None if it is absent or damaged."""
        if self._directory is None:
            return None
        try:
            with open(self._path(name, key), "rb") as file:
                content = file.read()
        except OSError:
            return None
        body = content[_DIGEST_BYTES:]
        return body if hashlib.sha256(body).digest() == content[:_DIGEST_BYTES] else None

    def store(self, name: str, key: str, content: bytes) -> None:
        """Write the content atomically and delete the oldest databases of this name.

        A directory that cannot be written is no error: the next start compiles again.
        """
        if self._directory is None:
            return
        with suppress(OSError):
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self._directory, prefix=f".{name}-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(hashlib.sha256(content).digest() + content)
                os.replace(temporary, self._path(name, key))
            except OSError:
                os.unlink(temporary)  # half a file must not fill a full disk further
                raise
            self._drop_older(name)

    def _path(self, name: str, key: str) -> str:
        return os.path.join(self._directory or "", f"{name}-{key[:32]}.hsdb")

    def _drop_older(self, name: str) -> None:
        """Delete all but the most recent files: each set of options has a database of its own.

        Temporary files that a crash left behind are deleted with the oldest.
        """
        found = [
            entry
            for entry in os.scandir(self._directory)
            if entry.name.startswith((f"{name}-", f".{name}-"))
        ]
        for entry in sorted(found, key=lambda entry: entry.stat().st_mtime)[:-KEPT_PER_NAME]:
            os.unlink(entry)
