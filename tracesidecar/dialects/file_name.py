"""What the name and the place of a trace file say of the conversation in it."""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import dataclass

OTHER_ROOT = "//"
"""What a folder begins with if it is not below the first root of its source: then the number of the
root follows.
"""

_EXTENSIONS = (".gz", ".zst", ".zstd", ".jsonl", ".ndjson", ".json", ".log")
_ROTATED = re.compile(
    r"(\.(?:jsonl|ndjson|json|log))[.\-_][0-9][0-9.:T_-]{0,30}(?:\.(?:gz|zst))?\Z"
)
"""`a.jsonl.1` and `a.jsonl-20261121`, each perhaps compressed. `a-20261121.jsonl` may also be the
name that an agent gives to the file of a day, or of a session.
"""
_NUMBERED = re.compile(r"(?<=.)\.[0-9]{1,5}\Z")
"""`a.1.jsonl` is rotated by logrotate's `extension`, or a session that an agent numbers."""
_UNIQUE_ID = re.compile(
    r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}|[0-9A-HJKMNP-TV-Z]{26}", re.IGNORECASE
)
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class FileName:
    """The name of a file, and the folder that it is in.

    `path` is redacted, and without what a rotation adds. `folder` is where the file is below the
    root of its source, redacted; it is empty if the file is in the root itself.
    """

    path: str
    folder: str = ""

    @property
    def stem(self) -> str:
        """Return the name without the extensions that say how the file is encoded."""
        name = posixpath.basename(self.path.replace("\\", "/"))
        while True:
            extension = next((each for each in _EXTENSIONS if name.endswith(each)), "")
            if extension in ("", name):
                return name
            name = name.removesuffix(extension)

    @property
    def family(self) -> str:
        """Return the stem without the number that a rotation may have put there, for ids.

        Whether it did does not matter there: files that begin alike are told apart.
        """
        return _NUMBERED.sub("", self.stem)

    @property
    def conversation(self) -> str:
        """Return the conversation of a file whose lines name none."""
        return self.name_conversation(self.stem)

    def name_conversation(self, name: str, *, levels: int = 0) -> str:
        """Return the conversation that something in the path is the name of.

        That is the file, or a folder above it: `levels` counts the folders that are not above what
        has the name. A name that is unique by its form, a UUID or ULID, is the producer's own id of
        the session. Any other may come again elsewhere, so it gets a digest of where it is.
        """
        folder = self._folder_above(levels)
        if not folder or _UNIQUE_ID.fullmatch(name):
            return name
        digest = hashlib.sha256(folder.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{name}-{digest[:_DIGITS]}"

    def _folder_above(self, levels: int) -> str:
        root, folder = "", self.folder
        if folder.startswith(OTHER_ROOT):
            number, _, folder = folder.removeprefix(OTHER_ROOT).partition("/")
            root = f"{OTHER_ROOT}{number}/"
        names = folder.split("/")
        return root + "/".join(names[: max(0, len(names) - levels)])


def strip_rotation(label: str) -> str:
    """Return the path that a file had before it was rotated, as far as its name shows it.

    `a.jsonl.1` and `a.jsonl-20261121.gz` were `a.jsonl`.
    """
    return _ROTATED.sub(r"\1", label)
