"""Which source follows a path, for who does not walk the directories."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tracesidecar.rotation import rotations
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.options import SourceOptions


class FollowedPaths:
    """The paths that the globs of some sources match, with the families of rotated files."""

    def __init__(self, sources: Sequence[SourceOptions]) -> None:
        self._sources = sources
        self._globs = SourceGlobs(sources)

    def find_source(self, path: str) -> SourceOptions | None:
        """Return the source that follows a path, None if none does."""
        source = self._globs.source_of(path)
        if source is not None:
            return self._sources[source]
        directory, name = os.path.split(path)
        for rotated in rotations(name):
            source = self._globs.source_of(os.path.join(directory, rotated.original))
            if source is not None and self._globs.takes_family(source, path):
                return self._sources[source]
        return None

    def may_follow(self, path: str) -> bool:
        """Return whether a source follows a path, or one from which rotation may have made it."""
        directory, name = os.path.split(path)
        names = (name, *(rotated.original for rotated in rotations(name)))
        paths = (os.path.join(directory, each) for each in names)
        return any(self._globs.source_of(each) is not None for each in paths)
