"""Say how far the files of a source can be kept when their names are removed while a sink is
behind.
"""

from __future__ import annotations

import os
from typing import Literal

from tracesidecar.config.paths import watched_directory
from tracesidecar.tail import SourceOptions

Protection = Literal["link", "descriptor", "unknown"]
"""link: survives deletion, also while we are stopped. descriptor: survives deletion while we run.
unknown: nothing is there to judge by.
"""

MEANING: dict[Protection, str] = {
    "link": "kept by hard link",
    "descriptor": "kept while running only; a hold_directory on the same mount, and the files' owner, would allow hard links",
    "unknown": "not known before the directory exists",
}


def expected_protection(source: SourceOptions, state_directory: str) -> Protection:
    """Judge by mount and owner of the watched directories; the weakest counts."""
    place = _existing(source.hold_directory or state_directory)
    watched = [
        directory
        for directory in map(watched_directory, source.include)
        if os.path.isdir(directory)
    ]
    if not watched:
        return "unknown"
    is_linkable = all(
        _mount(directory) == _mount(place) and _may_link(directory) for directory in watched
    )
    return "link" if is_linkable else "descriptor"


def _existing(path: str) -> str:
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _mount(path: str) -> tuple[int, str]:
    """Name the mount by device and mount point: a bind mount has the device of what it shows, and
    no link crosses it.
    """
    path = os.path.realpath(path)
    points = {line.split()[4] for line in _mountinfo()}
    device = os.stat(path).st_dev
    while path not in points and path != "/":
        path = os.path.dirname(path)
    return device, path


def _mountinfo() -> list[str]:
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            return file.readlines()
    except OSError:
        return []  # not Linux: the device number alone has to do


def _may_link(directory: str) -> bool:
    """Tell what fs.protected_hardlinks says: only the owner of a file (or root) may link it."""
    return os.geteuid() in (0, os.stat(directory).st_uid)
