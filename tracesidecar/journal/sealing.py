"""Refused bytes, encrypted with age to a public key: who has the private key reads them, this
program cannot.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from tracesidecar.errors import ConfigurationError

if TYPE_CHECKING:
    import pyrage

FOLDER = "quarantine"


@dataclass(frozen=True, slots=True)
class Sealed:
    """Where the refused lines of one piece are: a file, and for each line's start in the segment
    where it begins in what the file says.
    """

    file: str = ""
    places: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))

    def place(self, start: int) -> tuple[str, int]:
        """The file and the place of a line; an empty name where it is not sealed."""
        return (self.file, self.places[start]) if start in self.places else ("", 0)


UNSEALED = Sealed()


class Vault:
    """Writes sealed files.

    One file has what was refused of one piece; the same piece always has the same file, so that it
    is written once.
    """

    def __init__(self, state_directory: str, seal_to: str) -> None:
        """Raise ConfigurationError where the key is none or pyrage is missing."""
        self._folder = os.path.join(state_directory, FOLDER)
        self._recipient = recipient(seal_to)
        os.makedirs(self._folder, mode=0o700, exist_ok=True)

    def seal(self, segment: int, lines: Sequence[tuple[int, bytes]]) -> Sealed:
        """Encrypt lines (start in the segment, bytes); when this returns they are durable."""
        import pyrage

        places, plain = {}, bytearray()
        for start, line in lines:
            places[start] = len(plain)
            plain += line + b"\n"
        shape = hashlib.sha256(
            repr([(start, len(line)) for start, line in lines]).encode()
        ).hexdigest()[:16]
        sealed = Sealed(f"{segment}-{lines[0][0]}-{shape}.age", places)
        path = os.path.join(self._folder, sealed.file)
        if not os.path.exists(path):
            self._write(path, pyrage.encrypt(bytes(plain), [self._recipient]))
        return sealed

    def discard(self, files: Iterable[str]) -> None:
        """Remove files that no row names any more."""
        _remove(self._folder, files)

    def _write(self, path: str, content: bytes) -> None:
        unfinished = f"{path}.unfinished"
        with open(
            os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb"
        ) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(unfinished, path)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def recipient(seal_to: str) -> pyrage.x25519.Recipient:
    """Read a public key of age; raise ConfigurationError where it is none or pyrage is missing."""
    try:
        import pyrage
    except ImportError as error:
        raise ConfigurationError(
            'seal_to needs a package that is not installed: pip install "tracesidecar[seal]"'
        ) from error
    if seal_to.upper().startswith("AGE-SECRET-KEY-"):
        raise ConfigurationError(
            "seal_to has a private key: keep that elsewhere, and write the public one that belongs to it (age1…)"
        )
    try:
        return pyrage.x25519.Recipient.from_str(seal_to)
    except pyrage.RecipientError as error:
        raise ConfigurationError(
            "seal_to is not a public key of age: it is what age-keygen prints after 'Public key:' (age1…)"
        ) from error


def unseal(state_directory: str, file: str, at: int, length: int, identities: str) -> bytes:
    """Decrypt one line with the private keys of an identity file's text; raise ConfigurationError
    where none of them fits.
    """
    keys = _identities(identities)
    with open(os.path.join(state_directory, FOLDER, file), "rb") as sealed:
        content = sealed.read()
    import pyrage

    try:
        return bytes(pyrage.decrypt(content, keys)[at : at + length])
    except pyrage.DecryptError as error:
        raise ConfigurationError(
            "the sealed bytes cannot be opened with this identity: another key belongs to them"
        ) from error


def sweep(state_directory: str, known: frozenset[str]) -> None:
    """Remove what a crash left between sealing and commit, and what was sealed for rows that are
    gone.
    """
    folder = os.path.join(state_directory, FOLDER)
    if os.path.isdir(folder):
        _remove(folder, set(os.listdir(folder)) - known)


def discard(state_directory: str, files: Iterable[str]) -> None:
    """Remove files that no row names any more, beside a running daemon."""
    _remove(os.path.join(state_directory, FOLDER), files)


def _remove(folder: str, files: Iterable[str]) -> None:
    for path in (os.path.join(folder, name) for name in files if name):
        with suppress(
            FileNotFoundError
        ):  # the daemon and the command line may both find that it is over
            os.unlink(path)


def _identities(text: str) -> list[pyrage.x25519.Identity]:
    """The private keys in the text of an identity file; comments and blank lines are passed over."""
    try:
        import pyrage
    except ImportError as error:
        raise ConfigurationError(
            'opening sealed bytes needs a package that is not installed: pip install "tracesidecar[seal]"'
        ) from error
    keys = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    try:
        return [pyrage.x25519.Identity.from_str(key) for key in keys]
    except pyrage.IdentityError as error:
        raise ConfigurationError(
            "the identity file has something else than private keys of age (AGE-SECRET-KEY-1…)"
        ) from error
