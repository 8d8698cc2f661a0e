"""What distinguishes a trace file from others of its source, the same wherever it is read."""

from __future__ import annotations

import os
from collections.abc import Mapping

from tracesidecar.dialects import OTHER_ROOT, FileIdentity, FileName, digest_file
from tracesidecar.journal import IdentityTable
from tracesidecar.model import Segment
from tracesidecar.pipeline.path_labels import PathLabels
from tracesidecar.rotation import strip_rotation
from tracesidecar.tail import SourceOptions, SourceRoots


class FileNames:
    """Names files by their places below the roots of their sources."""

    def __init__(self, sources: Mapping[str, SourceOptions], labels: PathLabels) -> None:
        """`labels` redacts: a name or a folder is part of what leaves."""
        self._roots = {name: SourceRoots(each.include) for name, each in sources.items()}
        self._ids = {name: each.identity for name, each in sources.items()}
        self._labels = labels

    def name(self, segment: Segment) -> FileName:
        """Return the name that a segment's file had first."""
        path = segment.origin or segment.path
        folder = self._folder(segment.source, path)
        return FileName(strip_rotation(self._labels.label(path)), folder)

    def digest(self, segment: Segment, first: bytes) -> bytes:
        """Return what the files of one name have in common that begin with the same line."""
        return digest_file(self.name(segment), self.source_id(segment), first)

    def source_id(self, segment: Segment) -> str:
        """Return the id of a segment's source."""
        return self._ids.get(segment.source, segment.source)

    def _folder(self, source: str, path: str) -> str:
        """Return the folder below the root of the source.

        The first root has no name, so that a file has the same identity below any other. If there
        are several, files of the same relative name are still two: the others are numbered.
        """
        roots = self._roots.get(source)
        found = roots.locate(path) if roots is not None else None
        if found is None:
            return self._labels.label(os.path.dirname(path))
        number, folder = found
        redacted = self._labels.label(folder) if folder else ""
        return redacted if not number else f"{OTHER_ROOT}{number}/{redacted}"


class FileIdentities:
    """The identity of each segment: kept in the journal, made when its first line is known."""

    def __init__(self, names: FileNames, table: IdentityTable) -> None:
        self._names = names
        self._table = table

    def identify(self, segment: Segment, first: bytes) -> FileIdentity:
        """Return the identity of a segment whose first line has this digest."""
        found = self._table.recall(segment.id)
        if found is not None:
            return found
        name = self._names.name(segment)
        digest = digest_file(name, self._names.source_id(segment), first)
        return self._table.assign(segment.id, digest, folder=name.folder, first=first)
