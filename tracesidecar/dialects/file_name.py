"""What the name and the place of a trace file say of the conversation in it."""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import dataclass, replace
from functools import lru_cache

from tracesidecar.redaction_marker import MARKER_START
from tracesidecar.rotation import rank_in_family

FROM_PATH = "\0"
"""What a conversation begins with in the state of a mapper while only the path has named it."""
OTHER_ROOT = "//"
"""What a folder begins with if it is not below the first root of its source: then the number of the
root follows.
"""

_EXTENSIONS = (".gz", ".zst", ".zstd", ".jsonl", ".ndjson", ".json", ".log")
_UNIQUE_ID = re.compile(
    r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}|[0-9A-HJKMNP-TV-Z]{26}", re.IGNORECASE
)
_DIGITS = 12
_HOME = re.compile(
    r"(?:/host)?/root/|(?:[A-Za-z]:|/host|/export|/var|/mnt/[a-z])?/(?:home|Users)/([^/]+)/"
)
"""Homes on Linux, macOS and Windows, also mounted into a container or from Windows into Linux."""


@dataclass(frozen=True, slots=True)
class FileName:
    """The name of a file, and the folder that it is in.

    `path` is redacted, and without what a rotation adds. `folder` is where the file is below the
    root of its source, redacted; it is empty if the file is in the root itself. `beginning` tells
    files apart whose names are redacted to the same one. `mark` is put before each conversation.
    """

    path: str
    folder: str = ""
    beginning: str = ""
    mark: str = ""

    def add_mark(self) -> FileName:
        """Return the name that a mapper begins with: FROM_PATH marks what only the path says."""
        return replace(self, mark=FROM_PATH)

    @property
    def stem(self) -> str:
        """Return the name without the extensions that say how the file is encoded."""
        return _stem(self._basename)

    @property
    def family(self) -> str:
        """Return the stem that all rotations of the file have, for ids.

        `a.1.jsonl` and `a-20261121.jsonl` may also be no rotations. That does not matter there:
        files of a family that begin alike are told apart.
        """
        return _stem(rank_in_family(self._basename)[0])

    @property
    def conversation(self) -> str:
        """Return the conversation of a file that nothing but its name tells from others."""
        return self.mark + self._name_place(self.stem, 0)

    def name_conversation(self, name: str, *, levels: int = 0) -> str:
        """Return the conversation that its agent names in the path, by its convention.

        That is the file, or a folder above it: `levels` counts the folders that are not above what
        has the name. A name that is unique by its form, a UUID or ULID, is the agent's own id of
        the session. Any other may come again elsewhere, so it gets a digest of where it is.
        """
        return self.mark + (name if _UNIQUE_ID.fullmatch(name) else self._name_place(name, levels))

    @property
    def _basename(self) -> str:
        return posixpath.basename(with_slashes(self.path))

    def _name_place(self, name: str, levels: int) -> str:
        place = self._folder_above(levels)
        if self.beginning and (MARKER_START in name or MARKER_START in place):
            place = f"{place}\0{self.beginning}"
        if not place:
            return name
        digest = hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{name}-{digest[:_DIGITS]}"

    def _folder_above(self, levels: int) -> str:
        root, folder = "", self.folder
        if folder.startswith(OTHER_ROOT):
            number, _, folder = folder.removeprefix(OTHER_ROOT).partition("/")
            root = f"{OTHER_ROOT}{number}/"
        names = folder.split("/")
        return root + "/".join(names[: max(0, len(names) - levels)])


@lru_cache(maxsize=256)
def owner_of_home(path: str) -> str | None:
    """Return the user whose home folder a path is in; None if the name was redacted."""
    found = _HOME.match(with_slashes(path))
    name = None if found is None else "root" if found[1] is None else found[1]
    return None if name is not None and MARKER_START in name else name


@lru_cache(maxsize=1024)
def name_project(place: str) -> str | None:
    """Return the name of a repository or of a working directory: the last part of its address."""
    name = with_slashes(place).rstrip("/").rpartition("/")[2].rpartition(":")[2]
    return name.removesuffix(".git") or None


def with_slashes(path: str) -> str:
    """Return a path with slashes between its parts; only a path of Windows has none.

    Elsewhere a backslash is a character like any other: archives of Windows that are unpacked there
    make files such as `a\\x.jsonl`, and `b\\x.jsonl` is another one.
    """
    return path if "/" in path else path.replace("\\", "/")


def _stem(name: str) -> str:
    while True:
        extension = next((each for each in _EXTENSIONS if name.endswith(each)), "")
        if extension in ("", name):
            return name
        name = name.removesuffix(extension)
