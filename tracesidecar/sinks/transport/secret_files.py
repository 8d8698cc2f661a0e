"""Secrets of sinks: given in the configuration, or in a file that the configuration names."""

from __future__ import annotations

from pathlib import Path

from tracesidecar.errors import RetryLater
from tracesidecar.units import Secret


def require_one_source(key: str, value: Secret | None, file: str | None) -> None:
    """Raise ValueError unless exactly one of the options `key` and `key_file` is given."""
    if (value is None) == (file is None):
        raise ValueError(f"{key} or {key}_file: exactly one of them is needed")


def require_one_line(where: str, secret: str) -> str:
    """Return a credential; raise RetryLater if it is empty or not one line of text.

    A line break in a token would begin another header, and is never a part of a password either:
    the file or variable holds something else. `where` names the option, or the option and its file.
    """
    if not secret or not secret.isprintable():
        problem = "not one line of text" if secret else "empty"
        raise RetryLater(
            "credentials", f"{where} is {problem}; it must hold the credential and nothing else"
        )
    return secret


def read_secret_file(key: str, file: str) -> str:
    """Return the secret in the file that the option `key_file` names, without surrounding space.

    Blocks on the disk. Raise RetryLater if the file cannot be read: secrets of Kubernetes and
    Vault may be mounted after the daemon starts. So it does if the file holds anything but one line
    of text.
    """
    try:
        return require_one_line(f"{key}_file {file}", Path(file).read_bytes().decode().strip())
    except OSError as error:
        raise RetryLater(
            "credentials", f"{key}_file {file} cannot be read: {error.strerror}"
        ) from error
    except UnicodeDecodeError:  # not chained: its message quotes the bytes
        raise RetryLater(
            "credentials", f"{key}_file {file} is not UTF-8 text; it must hold the secret alone"
        ) from None
