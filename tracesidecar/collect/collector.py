"""Files in, chunks out: the one door to everything in this package."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from tracesidecar.collect.access import Access
from tracesidecar.collect.admission import Admission
from tracesidecar.collect.discover import Discovery, Findings, Place
from tracesidecar.collect.files import Catalogue, File
from tracesidecar.collect.identity import Identity
from tracesidecar.collect.ledger import Ledger
from tracesidecar.collect.notices import Notices
from tracesidecar.collect.options import SourceOptions
from tracesidecar.collect.pace import ROUND_SECONDS, Pace
from tracesidecar.collect.reader import Reader
from tracesidecar.collect.records import Scan, SegmentStore, SegmentView, State
from tracesidecar.collect.survey import Survey
from tracesidecar.collect.takeover import Takeovers
from tracesidecar.collect.turn import Parts, Turn
from tracesidecar.model import Checkpoint, Chunk

_LIST_ALL_SECONDS = 300.0
"""How often every directory is listed whether it seems changed or not."""


def ignore(_: str) -> None:
    """Let a named moment pass."""


class Collector:
    """Finds trace files, knows them again whatever happens to them, and reads them in chunks.

    Blocking, and for one thread. The caller gives the time; nothing here sleeps. Segments are in the store before they are reported.
    """

    def __init__(
        self,
        sources: Sequence[SourceOptions],
        store: SegmentStore,
        *,
        key: bytes,
        held_directory: str,
        held_limit: int,
        poll_interval: float = 1.0,
        notices: Notices | None = None,
        at: Callable[[str], None] = ignore,
    ) -> None:
        """`key` keys all digests. After construction, call `settled` for each known segment: until then none of it counts as settled."""
        files = Catalogue()
        access = Access(sources, files, held_directory=held_directory)
        hidden = [held_directory, *(source.hold_directory for source in sources if source.hold_directory)]
        discovery = Discovery(sources, files, hidden=hidden)
        identity = Identity(key)
        takeovers = Takeovers(sources, files, access, identity)
        ledger = Ledger(store, sources)
        self._parts = Parts(sources, files, access, discovery, identity, ledger, takeovers, Pace(files), Turn(), at)
        self._admission = Admission(self._parts)
        self._survey = Survey(self._parts, self._admission)
        self._reader = Reader(self._parts)
        self._notices = notices
        self._held_limit = held_limit
        self._poll_interval = poll_interval
        self._listed_at = float("-inf")
        self._polled_at = float("-inf")
        self._is_first = True
        ledger.load(files, discovery.directory)
        for segment in access.held.segments():
            if segment not in files:
                access.held.release(segment)

    def scan(self, now: float, *, full: bool = False) -> Scan:
        """Take one turn of discovery. `full` looks at everything, whatever change notices say (the last scan before a drain)."""
        parts, turn = self._parts, self._parts.turn
        turn.begin(now)
        parts.takeovers.begin_turn()
        if self._is_first:
            self._resume()
        announced = self._notices.drain() if self._notices is not None else set()
        is_searching = self._admission.needs_search() or now - self._listed_at >= _LIST_ALL_SECONDS
        if full or is_searching or self._is_first or not self._relies_on_notices(now):
            self._poll(now, is_searching=is_searching or full)
        else:
            self._follow(announced, now)
        self._survey.look_at_deleted()
        self._admission.decide()
        self._admission.expire(searched=is_searching or full)
        self._is_first = False
        parts.ledger.flush(now)
        return self._result()

    def read(self, segment: int, at: Checkpoint, *, final: bool = False) -> Chunk | None:
        """Return the chunk at a checkpoint; None when nothing whole is there now, or what is there is no longer this segment.

        `final`: the writer is gone, so a last line without newline is taken too.
        """
        file = self._parts.files.get(segment)
        return None if file is None else self._reader.read(file, at, final=final)

    def read_range(self, segment: int, start: int, end: int) -> Iterator[bytes] | None:
        """Return the bytes [start, end) again, in pieces of whole lines; None when they are gone.

        Lines that `read` passed over as too long are passed over again. The caller compares digests: a file may change under the reader, and
        then the pieces end early or differ.
        """
        file = self._parts.files.get(segment)
        return None if file is None else self._reader.read_range(file, start, end)

    def settled(self, segment: int, offset: int) -> None:
        """Every required sink has committed up to here: what only protected the bytes before is released; a loss reported is acknowledged."""
        file = self._parts.files.get(segment)
        if file is None:
            return
        file.settled = max(file.settled, offset)
        if file.settled < file.length:
            return
        if file.state == "lost":
            self._acknowledge(file)
        elif file.state == "live" and self._reader.is_read_to_end(file):
            self._parts.access.release(file)

    def segments(self) -> Mapping[int, SegmentView]:
        """Return every segment as it is now; views are made when looked up."""
        return self._reader.views()

    def counts(self) -> Mapping[tuple[str, State], int]:
        """Return how many files each source has in each state."""
        return Counter((self._parts.sources[file.source].name, file.state) for file in self._parts.files)

    def close(self) -> None:
        """Save what is known and close all files; links stay for the next run."""
        self._parts.ledger.flush(0.0, everything=True)
        self._parts.access.close()

    def _resume(self) -> None:
        """Report losses that nobody acknowledged, and look for the files that an earlier run could not find."""
        parts = self._parts
        for file in parts.files:
            if file.state == "lost":
                parts.turn.losses.append(parts.loss(file))
            elif file.state in ("ended", "missing", "deleted"):
                parts.takeovers.orphan(file, parts.turn.now)
            if file.state == "deleted" and parts.access.descriptor(file) is None:
                file.state = "missing"  # nothing held it over the restart, so its inode may be another file's by now
            parts.discovery.recall_rotation(file)
            if file.state in ("ended", "lost"):
                parts.files.detach(file)

    def _relies_on_notices(self, now: float) -> bool:
        return self._notices is not None and self._notices.is_working and self._parts.pace.trusts(now)

    def _poll(self, now: float, *, is_searching: bool) -> None:
        """Look at everything: directories are listed where they have changed, or all of them."""
        self._sort_in(self._parts.discovery.walk(self._parts.discovery.directories(), full=is_searching))
        if is_searching or self._is_first:
            self._listed_at = now
        look = self._survey.look
        is_surprise = self._notices is not None and not self._is_first
        for file in self._parts.files:
            look(file, announced=not is_surprise)

    def _follow(self, announced: set[str], now: float) -> None:
        """Look at what was announced, at what is restless, and at some of the quiet files."""
        parts = self._parts
        directories = [directory for path in announced if (directory := parts.discovery.walked(path)) is not None]
        if now - self._polled_at >= ROUND_SECONDS:
            directories = parts.discovery.directories()
            self._polled_at = now
        findings = parts.discovery.walk(directories)
        for path in announced:
            self._hear(path, findings)
        self._sort_in(findings)
        for file in list(parts.pace.restless.values()):
            self._survey.look(file)
        for file in parts.pace.share(now):
            self._survey.look(file, announced=False)

    def _hear(self, path: str, findings: Findings) -> None:
        """Look at the file of an announced path."""
        parts = self._parts
        place = parts.discovery.place(path)
        try:
            status = os.stat(path, follow_symlinks=False)
        except OSError:
            findings.nameless += [] if place is None else [file for file in place.directory.files if file.name == place.name]
            return
        file = parts.files.find(status.st_dev, status.st_ino)
        if file is not None:
            findings.nameless.append(file)
            if place is not None and (file.directory is not place.directory or file.name != place.name):
                findings.renamed.append((file, place))
        elif place is not None:
            place.directory.changed_ns = -1
            findings.merge(parts.discovery.walk([place.directory]))

    def _sort_in(self, findings: Findings) -> None:
        """Take over what a walk met; names first, so that nothing that only moved is taken for gone."""
        turn = self._parts.turn
        for file, place in findings.renamed:
            self._survey.rename(file, place)
        for file in findings.nameless:
            self._survey.look(file)
        for place in sorted(findings.unknown, key=lambda place: place.source or 0):
            self._meet(place)
        for path in findings.odd:
            turn.refused += turn.warn("refused", path, "this is not a regular file: it is not read")
        for path in findings.unreadable:
            turn.warn("unreadable", path, "the directory cannot be listed: its files are taken when it can be")

    def _meet(self, place: Place) -> None:
        try:
            status = os.stat(place.path)
        except OSError:
            return
        known = self._parts.files.find(status.st_dev, status.st_ino)
        moved = next((file for file in self._parts.files.with_inode(status.st_ino) if self._survey.is_moved_device(file, place, status)), None)
        if known is None and moved is None:
            self._admission.meet(place, status)
        elif known is not None and known.state == "missing":
            self._survey.rename(known, place)

    def _acknowledge(self, file: File) -> None:
        if file.loss in ("corrupt", "bomb"):
            file.state = "spent"  # it is still there, and still no trace
            self._parts.ledger.save(file)
        else:
            self._parts.forget(file)

    def _result(self) -> Scan:
        parts, turn = self._parts, self._parts.turn
        held_bytes = sum(orphan.file.size for orphan in parts.takeovers.orphans.values() if orphan.file.state == "deleted")
        if held_bytes > self._held_limit:
            turn.warn("held_limit", "", "deleted files that sinks have not finished take more space than held_limit; they are kept")
        else:
            turn.warned.discard(("held_limit", ""))
        return Scan(
            tuple(turn.changed), tuple(turn.added), tuple(turn.losses), tuple(turn.warnings),
            len(parts.files), len(parts.takeovers.waiting), turn.refused, held_bytes,
        )  # fmt: skip
