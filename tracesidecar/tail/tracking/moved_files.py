"""Which files are followed at another place now, by a source that has another name.

Inode numbers are used again and files begin alike, so the content decides: a file is the known one
if it begins as that did, and has the same bytes before the place up to which that was read.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tracesidecar.model import BEGINNING, CHUNK_BYTES, Checkpoint
from tracesidecar.progress import Progress
from tracesidecar.tail.discovery.build import build_discovery
from tracesidecar.tail.discovery.own_paths import OwnPaths
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.file_table import FileTable
from tracesidecar.tail.fingerprint import Fingerprinter, Prefix
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.reading.compressed import ArchiveFile
from tracesidecar.tail.reading.expansion import ExpansionLimit
from tracesidecar.tail.reading.open_files import OpenedFile
from tracesidecar.tail.reading.plain_file import PlainFile
from tracesidecar.tail.segments import SegmentRecord
from tracesidecar.tail.turns import Turns


@dataclass(frozen=True, slots=True)
class _Found:
    """A regular file that a source follows."""

    path: str
    source: SourceOptions
    inode: tuple[int, int]


def find_moved(
    sources: Sequence[SourceOptions],
    records: Collection[SegmentRecord],
    frontier: Mapping[int, Checkpoint],
    *,
    new: Collection[str],
    key: bytes,
    hidden: Iterable[str] = (),
) -> dict[int, SourceOptions]:
    """Return, for each of these segments that is found on the disk, the source that follows it now.

    `frontier` is how far each was read, `key` keyed its digests, `hidden` are directories that are
    never entered. In the sources that are `new`, no file is known yet; so there a file may also be
    a segment's by its name, because it was copied from another file system, if anything was read of
    it. Blocks, as long as it takes to list everything that the sources follow.
    """
    fingerprinter = Fingerprinter(key)
    by_inode: defaultdict[tuple[int, int], list[SegmentRecord]] = defaultdict(list)
    by_name: defaultdict[str, list[SegmentRecord]] = defaultdict(list)
    for record in records:
        if record.prefix_length:
            by_inode[record.device, record.inode].append(record)
            if frontier.get(record.id, BEGINNING).offset:
                by_name[os.path.basename(record.path)].append(record)
    moved: dict[int, SourceOptions] = {}
    tree = Tree(sources)
    for file in _list(sources, tree, hidden):
        candidates = list(by_inode.get(file.inode, ()))
        if file.source.name in new:
            candidates += by_name.get(os.path.basename(file.path), ())
        for record in candidates:
            if record.id not in moved and _is_same(
                record, file, tree, frontier.get(record.id, BEGINNING), fingerprinter
            ):
                moved[record.id] = file.source
                break
    return moved


def _list(sources: Sequence[SourceOptions], tree: Tree, hidden: Iterable[str]) -> Iterator[_Found]:
    globs = SourceGlobs(sources)
    discovery = build_discovery(
        sources,
        tree,
        globs,
        FileTable(sources),
        own=OwnPaths((), folders=hidden),
        progress=Progress(),
        turns=Turns(),
    )
    for location in discovery.walk.list_changed(full=True).unknown:
        try:
            status = tree.stat(location.path)
        except OSError:
            continue
        if location.source is not None:
            yield _Found(location.path, sources[location.source], (status.st_dev, status.st_ino))


def _is_same(
    record: SegmentRecord,
    file: _Found,
    tree: Tree,
    reach: Checkpoint,
    fingerprinter: Fingerprinter,
) -> bool:
    try:
        descriptor = tree.open_file(file.path)
    except OSError:
        return False
    try:
        opened: OpenedFile = (
            PlainFile(descriptor)
            if record.compression == "none"
            else ArchiveFile(
                descriptor,
                record.compression,
                window=CHUNK_BYTES,
                limit=ExpansionLimit(file.source.limits.ratio, time.monotonic),
                known=reach.offset,
            )
        )
        prefix = Prefix(record.prefix_length, record.prefix_digest)
        return fingerprinter.begins_with(opened, prefix) and fingerprinter.matches(opened, reach)
    except OSError:
        return False
    finally:
        os.close(descriptor)
