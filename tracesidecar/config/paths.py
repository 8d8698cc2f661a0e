"""Where things lie: default directories, `~`, and what a relative path is relative to."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_GLOB = re.compile(r"[*?\[]")


def home(environ: Mapping[str, str]) -> str:
    """The user's home directory."""
    return environ.get("HOME") or os.path.expanduser("~")


def default_state_directory(environ: Mapping[str, str]) -> str:
    """`$STATE_DIRECTORY` (set by systemd; the first one), else the user's state directory."""
    if given := environ.get("STATE_DIRECTORY", "").split(":", 1)[0]:
        return given
    return os.path.join(
        environ.get("XDG_STATE_HOME") or os.path.join(home(environ), ".local", "state"),
        "tracesidecar",
    )


def default_lake(environ: Mapping[str, str]) -> str:
    """Where the embedded default ships to."""
    return os.path.join(
        environ.get("XDG_DATA_HOME") or os.path.join(home(environ), ".local", "share"),
        "tracesidecar",
        "lake",
    )


def rules_cache(environ: Mapping[str, str]) -> str:
    """Where commands that read keep compiled rules; the daemon has its own beside its state."""
    return os.path.join(
        environ.get("XDG_CACHE_HOME") or os.path.join(home(environ), ".cache"),
        "tracesidecar",
        "rules",
    )


def absolute(path: str, folder: str, environ: Mapping[str, str]) -> str:
    """Resolve `~/` by the user's home and everything relative by `folder`; keep a trailing pattern
    as it is.
    """
    if path == "~" or path.startswith("~/"):
        path = home(environ) + path[1:]
    return os.path.normpath(os.path.join(folder, path))


def watched_directory(pattern: str) -> str:
    """The directory below which everything that an include can match lies: what stands before its
    first wildcard.
    """
    wildcard = _GLOB.search(pattern)
    return os.path.dirname(pattern[: wildcard.start()] if wildcard else pattern) or "/"


def is_pattern(path: str) -> bool:
    """Tell whether a path holds a wildcard."""
    return _GLOB.search(path) is not None


def is_within(path: str, directory: str) -> bool:
    """Tell whether a path is a directory or lies below it, symbolic links followed."""
    inner, outer = os.path.realpath(path), os.path.realpath(directory)
    return inner == outer or inner.startswith(outer.rstrip("/") + "/")
