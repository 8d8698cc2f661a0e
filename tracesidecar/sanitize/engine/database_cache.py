"""Keep compiled databases on disk, so that a restart takes milliseconds instead of seconds.

A compiled database decides which secrets are seen, and Hyperscan trusts what it loads. So nothing
is loaded that this installation has not written for this very purpose: the directory and its files
belong to this user alone, and each file begins with an HMAC over its content and its name, which
has a digest of the patterns.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_PURPOSE = b"tracesidecar: a compiled database of rules"
_MAC_BYTES = hashlib.sha256().digest_size
_KEY_BYTES = 32
_KEY_FILE = "key"
_OTHERS = 0o077
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
KEPT_PER_NAME = 4
"""How many databases of one name are kept: those of the most recent options and versions."""


class NotOurs(Exception):
    """A directory or file that somebody else has, or may have, written."""


class DatabaseCache:
    """One file per database: an HMAC-SHA256, followed by the content.

    A file that is missing, unreadable, damaged, signed with another key or for another database, or
    that others may write to, counts as absent. Without a directory nothing is stored.
    """

    def __init__(self, directory: str | None, key: bytes | None = None) -> None:
        """Take the key of the installation; None: the directory has a key of its own.

        That is for commands that redact where nothing may be installed. Whoever could replace that
        key is this user or root.
        """
        self._directory = directory
        self._key = key
        self.trouble = ""
        """Why the directory cannot be trusted, if so."""

    @property
    def is_enabled(self) -> bool:
        """Return True if there is a directory to keep databases in."""
        return self._directory is not None

    def load(self, name: str, digest: str) -> bytes | None:
        """Return what was stored for the patterns with this digest, None if it does not count."""
        if self._directory is None:
            return None
        file = _file_name(name, digest)
        try:
            with self._open(self._directory) as folder:
                key = self._key or _read_key(folder)
                content = _read(folder, file)
        except (OSError, NotOurs):
            return None
        body = content[_MAC_BYTES:]
        mac = content[:_MAC_BYTES]
        return body if hmac.compare_digest(_sign(key, file, body), mac) else None

    def store(self, name: str, digest: str, content: bytes) -> None:
        """Write the content atomically and delete the oldest databases of this name.

        A directory that cannot be used is no error: the next start compiles again.
        """
        if self._directory is None:
            return
        with suppress(OSError):
            self._store(self._directory, name, _file_name(name, digest), content)

    def _store(self, directory: str, name: str, file: str, content: bytes) -> None:
        try:
            with self._open(directory) as folder:
                key = self._key or _make_key(folder)
                _write(folder, file, _sign(key, file, content) + content)
                _drop_older(folder, name)
        except NotOurs as error:
            self.trouble = f"the cache {self._directory} is not used: {error}"

    @contextmanager
    def _open(self, directory: str) -> Iterator[int]:
        """Open the directory, which is created if it is missing, but not through a link.

        Rights of others are taken away: what they have left there has no valid HMAC. Raise NotOurs
        if it does not belong to this user.
        """
        if self._key is None:
            _require_own_path(directory)
        with suppress(FileExistsError):
            os.makedirs(directory, mode=0o700)
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            status = os.fstat(folder)
            _require_own(status, "it")
            if status.st_mode & _OTHERS:
                os.fchmod(folder, 0o700)
            yield folder
        finally:
            os.close(folder)


def _sign(key: bytes, file: str, content: bytes) -> bytes:
    """Return the HMAC of the content under this name, which says what was compiled into it."""
    signed = hmac.new(key, b"\0".join((_PURPOSE, file.encode(), b"")), "sha256")
    signed.update(content)
    return signed.digest()


def _file_name(name: str, digest: str) -> str:
    return f"{name}-{digest[:32]}.hsdb"


def _require_own_path(directory: str) -> None:
    """Raise NotOurs if a directory above, or a link to it, belongs to another user, not to root.

    Root may run with the HOME of another user (`sudo -E`), who can put links there.
    """
    above = os.path.dirname(os.path.abspath(directory))
    while above != "/":
        with suppress(FileNotFoundError):
            for status in (os.lstat(above), os.stat(above)):
                if status.st_uid != 0:
                    _require_own(status, above)
        above = os.path.dirname(above)


def _require_own(status: os.stat_result, what: str) -> None:
    if status.st_uid != os.geteuid():
        raise NotOurs(f"{what} belongs to user {status.st_uid}, and this is user {os.geteuid()}")


def _read(folder: int, name: str) -> bytes:
    """Return the content of a file; raise NotOurs unless it is a file of this user alone."""
    with open(os.open(name, _READ, dir_fd=folder), "rb") as file:
        status = os.fstat(file.fileno())
        _require_own(status, name)
        if not stat.S_ISREG(status.st_mode) or status.st_mode & _OTHERS:
            raise NotOurs(f"others may use {name}")
        if status.st_nlink != 1:  # a file of ours from elsewhere, which others gave this name
            raise NotOurs(f"{name} has {status.st_nlink} hard links")
        return file.read()


def _read_key(folder: int) -> bytes:
    key = _read(folder, _KEY_FILE)
    if len(key) != _KEY_BYTES:
        raise NotOurs(f"{_KEY_FILE} is not a key")
    return key


def _make_key(folder: int) -> bytes:
    """Return the directory's own key, a new one if there is none that can be trusted.

    If two processes do so at once, what one of them has signed is compiled again.
    """
    with suppress(FileNotFoundError, NotOurs):
        return _read_key(folder)
    _write(folder, _KEY_FILE, secrets.token_bytes(_KEY_BYTES))
    return _read_key(folder)


def _write(folder: int, name: str, content: bytes) -> None:
    temporary = f".{name}-{secrets.token_hex(8)}"
    try:
        with open(os.open(temporary, _CREATE, 0o600, dir_fd=folder), "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(OSError):  # half a file must not fill a full disk further
            os.unlink(temporary, dir_fd=folder)
        raise


def _drop_older(folder: int, name: str) -> None:
    """Delete all but the most recent files: each set of options has a database of its own.

    Temporary files that a crash left behind are deleted with the oldest.
    """
    with os.scandir(folder) as entries:
        found = [
            (entry.stat(follow_symlinks=False).st_mtime, entry.name)
            for entry in entries
            if entry.name.startswith((f"{name}-", f".{name}-"))
        ]
    for _, old in sorted(found)[:-KEPT_PER_NAME]:
        os.unlink(old, dir_fd=folder)
