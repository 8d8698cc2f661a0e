"""The parts of what a tool touches that detections match: a program, a file's name, a domain."""

from __future__ import annotations

import re
import shlex
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

_SPLIT_CHARACTERS = 1024
"""A longer command with quotes is split at blanks only."""
_MOST_WORDS = 64
_QUOTED = re.compile(r"['\"\\]")


class FileParts(NamedTuple):
    """A path taken apart; None for what it does not have."""

    name: str | None
    directory: str | None
    extension: str | None


class UrlParts(NamedTuple):
    """An address taken apart; None for what it does not have."""

    scheme: str | None
    domain: str | None
    path: str | None


def split_command(command: str) -> list[str]:
    """Return the first words of a command line, as a shell would take them apart."""
    by_blanks = command.split(None, _MOST_WORDS)[:_MOST_WORDS]
    if len(command) > _SPLIT_CHARACTERS or not _QUOTED.search(command):
        return by_blanks
    try:
        return shlex.split(command)[:_MOST_WORDS]
    except ValueError:  # a quote that is not closed
        return by_blanks


def base_name(path: str) -> str | None:
    """Return the last part of a path of any system."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or None


def split_path(path: str) -> FileParts:
    """Return name, directory and extension; the extension is without its dot."""
    name = base_name(path)
    if name is None:
        return FileParts(None, None, None)
    directory = path[: path.rindex(name)].rstrip("/\\") or None
    stem, dot, extension = name.rpartition(".")
    return FileParts(name, directory, extension if dot and stem and extension else None)


@lru_cache(maxsize=256)
def split_url(url: str) -> UrlParts:
    """Return scheme, domain and path; an address without a scheme has no domain."""
    try:
        parts = urlsplit(url)
        domain = parts.hostname
    except ValueError:  # brackets that hold no address
        return UrlParts(None, None, None)
    return UrlParts(parts.scheme or None, domain or None, parts.path or None)
