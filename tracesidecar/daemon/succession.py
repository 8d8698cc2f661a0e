"""Which source goes on with the files of one that has another name now, or is gone.

Offsets depend on the names of sources. Whoever renames one, or moves its folder, would find
everything in the destination twice.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import msgspec
import structlog

from tracesidecar.journal import Journal
from tracesidecar.model import Segment
from tracesidecar.pipeline import IsContinued
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
    `id` and a name that both are new, which says that it is meant to start over. Files that their
    own source no longer follows go to the one that does.
    """
    described = msgspec.json.encode([_describe(each) for each in sources])
    settled = journal.sources.find_settled()
    if settled == described:
        return
    succession = _Succession(sources, journal)
    succession.rename()
    succession.hand_over(state_directory)
    succession.exchange(_find_changed(sources, settled))
    succession.announce()
    succession.save()
    journal.sources.settle(described)


def find_continued(
    before: Sequence[SourceOptions], after: Sequence[SourceOptions], journal: Journal
) -> IsContinued:
    """Return a function that says whether `take_over_sources` lets a segment go on."""
    known = journal.sources.load()
    identities = {each.identity for each in after}
    continued = {each.name for each in after} | {
        each.name for each in before if each.identity in identities
    }
    starting_over = {
        each.name
        for each in after
        if each.id is not None and each.id not in known and each.name not in known.values()
    }
    followed = FollowedPaths(after)

    def is_continued(segment: Segment) -> bool:
        if segment.source in continued:
            return True
        successor = followed.find_source(segment.path)
        return successor is not None and successor.name not in starting_over

    return is_continued


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
        names = set(before.values())
        self._with_new_id = {
            source.name for source in sources if source.id is not None and source.id not in before
        }
        self._starting_over = self._with_new_id - names
        self._begun = [
            name
            for id_, name in self._names.items()
            if id_ not in before and name not in self._with_new_id
        ]
        self._parked = {
            name: _choose_free(name, names.union(self._names.values()))
            for name in gone & set(self._renamed.values())
        }
        self._adopted = Counter[tuple[str, str]]()
        self._exchanged = Counter[tuple[str, str]]()
        self._repeated = Counter[tuple[str, str]]()
        self._left = Counter[str]()

    def rename(self) -> None:
        """Give the files of each renamed source (same `id`, another name) to its new name."""
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
                if file.source in self._parked:  # another source has that name now
                    moves[file.id] = self._parked[file.source]
            elif successor.name not in self._starting_over:
                self._adopted[file.source, successor.name] += 1
                moves[file.id] = successor.name
            elif not _is_deleted(file):
                self._repeated[file.source, successor.name] += 1
        self._journal.sources.reassign(moves)

    def exchange(self, changed: Sequence[SourceOptions]) -> None:
        """Give the files that a source with other patterns no longer follows to the one that does.

        A file that was moved away from where its source follows it stays with that source.
        """
        followed = FollowedPaths(self._sources)
        moves: dict[int, str] = {}
        for source in changed:
            own = FollowedPaths([source])
            for file in self._journal.sources.read_files([source.name]):
                if own.find_source(file.origin or file.path) or own.find_source(file.path):
                    continue
                successor = followed.find_source(file.path)
                if successor is not None:
                    moves[file.id] = successor.name
                    self._exchanged[source.name, successor.name] += 1
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
            new={*self._begun, *self._with_new_id},
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
            has_new_id = name in self._with_new_id
            if former == name and has_new_id:
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
                if former not in self._names.values()
                else f'that source "{former}" had with id "{self._gone[former]}"'
            )
            if has_new_id:
                self._say(
                    "source.adopted",
                    f'source "{name}" continues {files} files {whose}. To deliver them again, give '
                    "it a name, too, that no source has had",
                )
                continue
            self._say(
                "source.adopted",
                f'source "{name}" continues {files} files {whose}. To confirm this, set '
                f'id = "{self._gone[former]}". To deliver them again, set an id of its own, such '
                f'as id = "{name}"',
            )
        for (former, name), files in self._exchanged.items():
            self._say(
                "source.adopted",
                f'source "{name}" continues {files} files of source "{former}", whose patterns no '
                "longer match them. Nothing of them is delivered again",
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
        gone = {id_: self._parked.get(name, name) for name, id_ in self._gone.items()}
        known = gone | self._names
        if self._journal.sources.load() != known:
            self._journal.sources.save(known)

    def _say(self, event: str, sentence: str) -> None:
        log.warning(event, problem=sentence)
        self._journal.notices.add(event, sentence)


_Description = tuple[str, str | None, tuple[str, ...], tuple[str, ...], str]


def _describe(source: SourceOptions) -> _Description:
    return source.name, source.id, source.include, source.exclude, source.rotated


def _find_changed(
    sources: Sequence[SourceOptions], settled: bytes | None
) -> Sequence[SourceOptions]:
    """Return the sources that follow other paths than when they were settled, by their ids."""
    try:
        described = msgspec.json.decode(settled or b"", type=list[_Description])
    except msgspec.DecodeError:  # there is none yet: any source may have changed
        return sources
    former = {id_ or name: patterns for name, id_, *patterns in described}
    return [source for source in sources if former.get(source.identity) != [*_describe(source)[2:]]]


def _choose_free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "~"
    return name


def _id(file: SegmentRecord) -> int:
    return file.id


def _is_deleted(file: SegmentRecord) -> bool:
    """Return whether the file no longer has its name: it may be kept in a hard link."""
    try:
        status = os.lstat(file.path)
    except OSError:
        return True
    return (status.st_dev, status.st_ino) != (file.device, file.inode)
