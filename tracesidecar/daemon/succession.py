"""Which source goes on with the files of one that has another name now, or is gone.

Offsets depend on the names of sources. Whoever renames one, or moves its folder, would find
everything in the destination twice.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import structlog

from tracesidecar.journal import Journal
from tracesidecar.tail import (
    FollowedPaths,
    SegmentRecord,
    SegmentState,
    SourceOptions,
    find_moved,
    link_folders,
)

log = structlog.get_logger()

_OVER = frozenset({SegmentState.NEW, SegmentState.ENDED, SegmentState.LOST})
"""Segments in these states have no file that could be found."""


def take_over_sources(
    sources: Sequence[SourceOptions], journal: Journal, state_directory: str
) -> None:
    """Let files go on where they were, although their source has another name.

    A source with an `id` is renamed with all its files. Files of a source that is no longer
    configured go to the source that follows them now, also at another place: unless that has an
    `id` of its own and another name, which says that it is meant to start over.
    """
    described = msgspec.json.encode(
        [(each.name, each.id, each.include, each.exclude, each.rotated) for each in sources]
    )
    if journal.sources.are_settled(described):
        return
    succession = _Succession(sources, journal)
    succession.rename()
    succession.hand_over(state_directory)
    succession.announce()
    succession.save()
    journal.sources.settle(described)


class _Succession:
    """What became of the sources since the last start."""

    def __init__(self, sources: Sequence[SourceOptions], journal: Journal) -> None:
        before = journal.sources.load()
        self._sources = sources
        self._journal = journal
        self._names = {source.identity: source.name for source in sources}
        self._renamed = {
            before[id_]: name for id_, name in self._names.items() if before.get(id_, name) != name
        }
        self._gone = {name: id_ for id_, name in before.items() if id_ not in self._names}
        # An id that is gone may have had the name of one that is there: then the files are of that.
        # They are read before `rename` gives such a name to the files of another source.
        gone = self._gone.keys() - {before[id_] for id_ in self._names if id_ in before}
        self._files = journal.sources.load_files(gone) if gone else []
        self._starting_over = {
            source.name for source in sources if source.id is not None and source.id not in before
        }
        self._begun = [
            name
            for id_, name in self._names.items()
            if id_ not in before and name not in self._starting_over
        ]
        self._adopted = Counter[tuple[str, str]]()
        self._repeated = Counter[tuple[str, str]]()
        self._left = Counter[str]()

    def rename(self) -> None:
        """Give the files of the sources whose `id` has another name now to that name."""
        files = self._journal.sources.load_files(self._renamed) if self._renamed else ()
        self._journal.sources.reassign({file.id: self._renamed[file.source] for file in files})

    def hand_over(self, state_directory: str) -> None:
        """Give the files of sources that are gone to those that follow them now."""
        files = self._files
        followed = FollowedPaths(self._sources)
        successors = {file.id: followed.find_source(file.path) for file in files}
        lost = [file for file in files if successors[file.id] is None and file.state not in _OVER]
        if lost:
            successors |= self._find_moved(lost, state_directory)
        moves: dict[int, str] = {}
        for file in files:
            successor = successors[file.id]
            if successor is None:
                self._left[file.source] += 1
            elif successor.name not in self._starting_over or successor.name == file.source:
                self._adopted[file.source, successor.name] += 1
                moves[file.id] = successor.name
            elif not _is_deleted(file):
                self._repeated[file.source, successor.name] += 1
        self._journal.sources.reassign(moves)

    def _find_moved(
        self, files: Sequence[SegmentRecord], state_directory: str
    ) -> Mapping[int, SourceOptions]:
        """Return the sources that follow these files at another place.

        If all that is found of a source is followed by one other, that is the same source: it also
        gets what is deleted, and perhaps kept in a hard link.
        """
        successors = find_moved(
            self._sources,
            files,
            self._journal.segments.load_frontier([file.id for file in files]),
            new={*self._begun, *self._starting_over},
            key=self._journal.key,
            hidden=link_folders(state_directory, self._sources),
        )
        for name in {file.source for file in files}:
            own = [file for file in files if file.source == name]
            found = {
                source.name: source for id_ in map(_id, own) if (source := successors.get(id_))
            }
            if len(found) == 1:
                [successor] = found.values()
                successors |= {
                    file.id: successor
                    for file in own
                    if file.id not in successors and _is_deleted(file)
                }
        return successors

    def announce(self) -> None:
        """Say what goes on, what begins again, and how to choose otherwise."""
        for former, name in self._renamed.items():
            self._say("source.renamed", f'source "{former}" is now "{name}" and goes on')
        for (former, name), files in self._adopted.items():
            if former == name and name in self._starting_over:
                self._say(
                    "source.adopted",
                    f'source "{name}" has another id than before, and continues its {files} files. '
                    "To deliver them again, give it another name, too",
                )
                continue
            whose = (
                f'that it had with id "{self._gone[former]}"'
                if former == name
                else f'of source "{former}", which is no longer configured'
            )
            self._say(
                "source.adopted",
                f'source "{name}" continues {files} files {whose}. To confirm this, set '
                f'id = "{self._gone[former]}". To deliver them again, set an id of its own, such '
                f'as id = "{name}"',
            )
        for (former, name), files in self._repeated.items():
            self._say(
                "source.begins_again",
                f'source "{name}" has an id of its own, and delivers {files} files of source '
                f'"{former}" again. To continue after what was delivered, set '
                f'id = "{self._gone[former]}"',
            )
        for former, files in self._left.items() if self._begun else ():
            self._say(
                "source.left",
                f'source "{former}" is no longer configured, and no source follows any of its '
                f"{files} files. If a new source ({', '.join(self._begun)}) finds them in another "
                "form or later, it delivers them again. With "
                f'id = "{self._gone[former]}" it continues after what "{former}" delivered',
            )

    def save(self) -> None:
        """Record the names of all sources that ever ran, unless nothing is new."""
        known = {id_: name for name, id_ in self._gone.items()} | self._names
        if self._journal.sources.load() != known:
            self._journal.sources.save(known)

    def _say(self, event: str, sentence: str) -> None:
        log.warning(event, problem=sentence)
        self._journal.notices.add(event, sentence)


def _id(file: SegmentRecord) -> int:
    return file.id


def _is_deleted(file: SegmentRecord) -> bool:
    """Return whether the file no longer has its name: it may be kept in a hard link."""
    try:
        status = os.lstat(file.path)
    except OSError:
        return True
    return (status.st_dev, status.st_ino) != (file.device, file.inode)
