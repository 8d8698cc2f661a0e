"""The bytes of rejected lines, encrypted with age to a public key.

Anyone with the private key can read them; this program cannot.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracesidecar.directories import LISTED, LinkRule, open_path, open_regular
from tracesidecar.errors import ConfigurationError
from tracesidecar.extras import install_command
from tracesidecar.journal.private_file import make_private_file
from tracesidecar.journal.trouble import explain_os

if TYPE_CHECKING:
    import pyrage

FOLDER = "quarantine"
_REMEDY = "make the state directory one that this user may write to"
UNKNOWN = "unknown"
"""The folder, inside it, of sealed files that belong to no line of the journal."""

_SEALED = re.compile(r"(?P<segment>[0-9]+)-(?P<start>[0-9]+)-[0-9a-f]+\.age")
_UNFINISHED = ".unfinished"


def vault_path(state_directory: str, file: str) -> str:
    """Return the path of a sealed file, by the name that the journal has."""
    return os.path.join(state_directory, FOLDER, file)


@dataclass(frozen=True, slots=True)
class Sealed:
    """One sealed file.

    `positions` has, for the offset of each line in its segment, where the line begins in the
    decrypted content.
    """

    file: str
    positions: Mapping[int, int]

    def locate(self, start: int) -> tuple[str, int]:
        """Return file and position of the line at an offset, an empty name if it is not here."""
        return (self.file, self.positions[start]) if start in self.positions else ("", 0)


class Vault:
    """Writes sealed files, one for the rejected lines of a chunk.

    The same lines always have the same file name, so that they are written once.
    """

    def __init__(self, state_directory: str, seal_to: str) -> None:
        """Raise ConfigurationError if the key cannot be used, or if pyrage is missing.

        Raise StateUnavailable or StateError if the folder of the sealed files cannot be made.
        """
        self._folder = os.path.join(state_directory, FOLDER)
        self._recipient = parse_recipient(seal_to)
        try:
            os.close(self._open_folder())
        except OSError as error:
            raise explain_os("make the folder", self._folder, error, _REMEDY) from error

    def seal(self, segment: int, lines: Sequence[tuple[int, bytes]]) -> Sealed:
        """Encrypt lines (offset in the segment, bytes); on return they are durable.

        Raise StateUnavailable or StateError if they cannot be written.
        """
        import pyrage

        positions, plain = {}, bytearray()
        for start, line in lines:
            positions[start] = len(plain)
            plain += line + b"\n"
        shape = hashlib.sha256(
            repr([(start, len(line)) for start, line in lines]).encode()
        ).hexdigest()[:16]
        sealed = Sealed(f"{segment}-{lines[0][0]}-{shape}.age", positions)
        path = os.path.join(self._folder, sealed.file)
        if not os.path.exists(path):
            try:
                self._write(sealed.file, pyrage.encrypt(bytes(plain), [self._recipient]))
            except OSError as error:
                raise explain_os("write the sealed lines", path, error, _REMEDY) from error
        return sealed

    def discard(self, files: Iterable[str]) -> None:
        """Remove files that no quarantined line names any more."""
        _remove(self._folder, files)

    def _write(self, name: str, content: bytes) -> None:
        unfinished = f"{name}{_UNFINISHED}"
        folder = self._open_folder()  # made again: somebody may have removed it
        try:
            with open(make_private_file(unfinished, dir_fd=folder), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.rename(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
        finally:
            os.close(folder)

    def _open_folder(self) -> int:
        """Open the folder, by way of no link of somebody else; it is made if it is missing."""
        return open_path(self._folder, LISTED, LinkRule.TRUSTED, mode=0o700)


def parse_recipient(seal_to: str) -> pyrage.x25519.Recipient:
    """Return the public key that an age recipient's text stands for.

    Raise ConfigurationError if it stands for none, or if pyrage is missing.
    """
    try:
        import pyrage
    except ImportError as error:
        raise ConfigurationError(
            f"seal_to needs a package that is not installed; run: {install_command('seal')}"
        ) from error
    if seal_to.upper().startswith("AGE-SECRET-KEY-"):
        raise ConfigurationError(
            "seal_to has a private key: keep that elsewhere, "
            "and write the public key that belongs to it (age1…)"
        )
    try:
        return pyrage.x25519.Recipient.from_str(seal_to)
    except pyrage.RecipientError as error:
        raise ConfigurationError(
            "seal_to is not a public key of age: "
            "it is what age-keygen prints after 'Public key:' (age1…)"
        ) from error


def unseal(state_directory: str, file: str, at: int, length: int, identities: str) -> bytes:
    """Decrypt one line with the private keys in an identity file's text.

    Raise ConfigurationError if none of them fits, and StateUnavailable or StateError if the file
    cannot be read.
    """
    keys = _parse_identities(identities)
    path = vault_path(state_directory, file)
    try:
        with open(open_regular(path), "rb") as sealed:
            content = sealed.read()
    except OSError as error:
        raise explain_os(
            "read the sealed lines", path, error, "restore it from a backup, or drop its lines"
        ) from error
    import pyrage

    try:
        return bytes(pyrage.decrypt(content, keys)[at : at + length])
    except pyrage.DecryptError as error:
        raise ConfigurationError(
            "the sealed bytes cannot be opened with this identity: another key belongs to them"
        ) from error


def sweep_sealed(
    state_directory: str, known: frozenset[str], find_progress: Callable[[int], int | None]
) -> int:
    """Remove the sealed files whose lines were dropped or delivered; return how many are set aside.

    `known` are those that quarantined lines name. `find_progress` returns how far any sink has
    committed a segment: the row of a line before that was there, so it is gone because it was not
    needed any more. A line after it is read and sealed again. A file of a segment that the journal
    does not know (None) may have the only bytes of its lines: it is moved to a folder of its own.
    """
    folder = os.path.join(state_directory, FOLDER)
    set_aside = 0
    for name in set(_list(folder)) - known:
        match = _SEALED.fullmatch(name)
        reached = None if match is None else find_progress(int(match["segment"]))
        if name.endswith(_UNFINISHED):
            _remove(folder, [name])
        elif match is not None and reached is None:
            unknown = os.path.join(folder, UNKNOWN)
            os.makedirs(unknown, mode=0o700, exist_ok=True)
            os.rename(os.path.join(folder, name), _find_free_name(unknown, name))
            set_aside += 1
        elif match is not None and reached is not None and int(match["start"]) < reached:
            _remove(folder, [name])
    return set_aside


def _find_free_name(folder: str, name: str) -> str:
    """Return a path that nothing has: journals that were lost one after another number alike."""
    names = itertools.chain([name], (f"{name}.{number}" for number in itertools.count(2)))
    paths = (os.path.join(folder, each) for each in names)
    return next(path for path in paths if not os.path.lexists(path))


def discard_sealed(state_directory: str, files: Iterable[str]) -> None:
    """Remove files that no quarantined line names any more, beside a running daemon."""
    _remove(os.path.join(state_directory, FOLDER), files)


def _list(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _remove(folder: str, files: Iterable[str]) -> None:
    for path in (os.path.join(folder, name) for name in files if name):
        # the daemon and the command line may both remove it
        with suppress(FileNotFoundError):
            os.unlink(path)


def _parse_identities(text: str) -> list[pyrage.x25519.Identity]:
    """Return the private keys in an identity file's text, which may have comments."""
    try:
        import pyrage
    except ImportError as error:
        raise ConfigurationError(
            "opening sealed bytes needs a package that is not installed; "
            f"run: {install_command('seal')}"
        ) from error
    keys = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    try:
        return [pyrage.x25519.Identity.from_str(key) for key in keys]
    except pyrage.IdentityError as error:
        raise ConfigurationError(
            "the identity file has something other than private keys of age (AGE-SECRET-KEY-1…)"
        ) from error
