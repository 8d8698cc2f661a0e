"""Compiled databases on disk, so that a start costs milliseconds."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress

_DIGEST_BYTES = 32
KEPT = 4
"""So many databases of one name stay: of the options and versions used last."""


class DatabaseCache:
    """One file a database: a SHA-256 of the content, then the content.

    Whatever is wrong with it, the answer is "not there".
    """

    def __init__(self, directory: str | None) -> None:
        self._directory = directory

    @property
    def is_kept(self) -> bool:
        """True when there is a directory to keep them in."""
        return self._directory is not None

    def load(self, name: str, key: str) -> bytes | None:
        """Return what was stored under this key, None when it is absent or damaged."""
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
        """Write atomically and keep the latest few; a directory that cannot be written costs only
        the next start.
        """
        if self._directory is None:
            return
        with suppress(OSError):
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self._directory, prefix=f".{name}-")
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
            os.replace(temporary, self._path(name, key))
            self._drop_older(name)

    def _path(self, name: str, key: str) -> str:
        return os.path.join(self._directory or "", f"{name}-{key[:32]}.hsdb")

    def _drop_older(self, name: str) -> None:
        """Other options of one user have other databases; what a crash left of a temporary file
        goes with the oldest.
        """
        found = [
            entry
            for entry in os.scandir(self._directory)
            if entry.name.startswith((f"{name}-", f".{name}-"))
        ]
        for entry in sorted(found, key=lambda entry: entry.stat().st_mtime)[:-KEPT]:
            os.unlink(entry)
