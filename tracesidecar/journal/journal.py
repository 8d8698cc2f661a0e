"""The journal: segments, offsets, plans and quarantine in one SQLite file (WAL, synchronous=FULL).

It has one writer, the process that holds the state directory's lock. Beside it, the command line
may request that quarantined lines be redriven or dropped.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from msgspec.structs import replace

from tracesidecar.errors import StateError, StateUnavailable
from tracesidecar.journal.counters import CounterTable
from tracesidecar.journal.database import JournalDatabase
from tracesidecar.journal.deliveries import load_deliveries, save_deliveries
from tracesidecar.journal.file import JournalFile
from tracesidecar.journal.identities import IdentityTable
from tracesidecar.journal.losses import LossTable, LostBytes
from tracesidecar.journal.notices import Notices, RewriteCounts
from tracesidecar.journal.plan import PlanTable
from tracesidecar.journal.quarantine import QuarantinedLine, QuarantineTable
from tracesidecar.journal.redrive_requests import RedriveRequests
from tracesidecar.journal.repeats import RepeatedBytes, RepeatTable
from tracesidecar.journal.segments import SegmentTable
from tracesidecar.journal.sinks import SinkTable
from tracesidecar.journal.sources import SourceNames
from tracesidecar.metrics import CounterKey
from tracesidecar.model import Checkpoint

log = structlog.get_logger()

PAGES_AT_ONCE = 1000
"""How many free pages leave the file in a second: a commit waits no longer than for these."""

NOTE_SECONDS = 60.0
"""How often is noted beside the journal how much it has, while there are commits."""

LAST_PAGES_AT_ONCE = 10_000
LAST_SHRINK_SECONDS = 2.0
"""How long they leave it at the end: a run that delivers once has no other time for that."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What a delivered batch changes.

    `reached` is the furthest checkpoint for each segment; `redriven` are the quarantine entries
    that the batch was made of, if any. `lost` is passed over: it can no longer be delivered.
    `repeats` had arrived, and are delivered once more.
    `counts` are added to the saved counters of the metrics, and others are raised to `totals`.
    """

    sink: str
    plan_id: str | None
    reached: dict[int, Checkpoint]
    quarantined: tuple[QuarantinedLine, ...]
    lines: int = 0
    bytes: int = 0
    redriven: tuple[int, ...] = ()
    lost: tuple[LostBytes, ...] = ()
    repeats: tuple[RepeatedBytes, ...] = ()
    counts: Mapping[CounterKey, float] = field(default_factory=dict)
    totals: Mapping[CounterKey, float] = field(default_factory=dict)


class Journal:
    """The open journal of one state directory: its tables, and the commit that spans them.

    Every write is one durable transaction. Any thread may call; calls take turns.
    """

    def __init__(self, database: JournalDatabase, *, is_writer: bool = False) -> None:
        self._database = database
        self._is_writer = is_writer
        self._newly_rejected = 0
        self._noted: set[str] = set()
        self._noting = threading.Lock()
        self._note_at = math.inf
        self.losses = LossTable(database)
        self.identities = IdentityTable(database)
        self.segments = SegmentTable(database, self.losses, self.identities)
        self.sinks = SinkTable(database)
        self.plans = PlanTable(database)
        self.quarantine = QuarantineTable(database)
        self.redrive_requests = RedriveRequests(database)
        self.sources = SourceNames(database, self.segments)
        self.notices = Notices(database)
        self.rewrites = RewriteCounts(database)
        self.repeats = RepeatTable(database)
        self.file = JournalFile(database)
        self.counters = CounterTable(database)

    @classmethod
    def open(cls, state_directory: str) -> Journal:
        """Open for writing, creating the journal if there is none.

        Raise StateError if it cannot be used.
        """
        return cls(JournalDatabase.open(state_directory), is_writer=True)

    @classmethod
    def open_to_read(cls, state_directory: str) -> Journal:
        """Open for reading beside a running daemon; raise StateError if there is no journal."""
        return cls(JournalDatabase.open_beside(state_directory, "query_only=ON"))

    @classmethod
    def open_to_request(cls, state_directory: str) -> Journal:
        """Open beside a running daemon, to request redrives and to drop quarantined lines.

        Raise StateError if there is no journal.
        """
        pragmas = ("synchronous=FULL", "foreign_keys=ON")
        return cls(JournalDatabase.open_beside(state_directory, *pragmas))

    def close(self) -> None:
        """Make the file smaller, and close it; nothing is lost if this is not called."""
        if self._is_writer:
            with suppress(StateError, OSError):  # the next start can compare less
                self.file.require()
                self.note_deliveries({})
            until = time.monotonic() + LAST_SHRINK_SECONDS
            while self.shrink(LAST_PAGES_AT_ONCE) and time.monotonic() < until:
                pass
        self.file.close()
        self._database.close()

    def shrink(self, pages: int = PAGES_AT_ONCE) -> bool:
        """Give so many free pages back to the file system; return whether there may be more.

        What cannot be given back now stays for the next call.
        """
        try:
            return self._database.give_back_pages(pages)
        except StateUnavailable:
            return False

    def limit_waiting(self, seconds: float | None) -> None:
        """Wait for other processes' locks for this many seconds from now at most.

        None: the usual time for each lock. Any thread may call.
        """
        self._database.limit_waiting(seconds)

    @property
    def patience_seconds(self) -> float:
        """How long it is until no lock is waited for any more; infinite without a limit."""
        return self._database.patience_seconds

    @property
    def key(self) -> bytes:
        """Return this installation's key, for digests that never leave the state directory."""
        return self._database.meta("key")

    @property
    def newly_rejected(self) -> int:
        """Return how many lines were rejected since the journal was opened."""
        return self._newly_rejected

    def has_changed(self) -> bool:
        """Return whether another process has written since the last call."""
        return self._database.has_changed()

    def commit(self, commit: Commit, at: Callable[[str], None]) -> int:
        """Move a sink's offsets and record its rejected lines, in one transaction.

        `at` is called in the middle of it, at the point "committing". Return how many rejected
        lines are new.
        """
        now = time.time()
        self.file.require()
        with self._database.transaction() as db:
            self.redrive_requests.complete_passed(
                db, commit.sink, commit.reached, commit.quarantined
            )
            self.sinks.advance(db, commit.sink, commit.reached)
            at("committing")
            if commit.redriven:
                rejected = self.redrive_requests.complete(
                    db, commit.sink, commit.redriven, commit.quarantined, now
                )
            else:
                rejected = self.quarantine.insert(db, commit.quarantined, now)
            self.losses.insert(db, commit.lost, now)
            self.losses.retract(db, commit.sink, commit.reached)
            self.repeats.insert(db, commit.repeats)
            if commit.plan_id is not None:
                self.plans.remove(db, commit.plan_id)
            self.sinks.count_batch(
                db, commit.sink, lines=commit.lines, size_bytes=commit.bytes, now=now
            )
            self.counters.add(db, commit.counts)
            self.counters.raise_to(db, commit.totals)
        self._newly_rejected += rejected
        if commit.lines and (commit.sink not in self._noted or time.monotonic() >= self._note_at):
            destination = self.sinks.find_destination(commit.sink)
            self.note_deliveries({commit.sink: destination} if destination else {})
        return rejected

    def note_deliveries(self, sinks: Mapping[str, str]) -> None:
        """Note beside the journal which sinks (name → destination) have delivered, and how much.

        These sinks are added to those that are noted there. It is for the case that the journal is
        lost, or replaced by an older one. If it cannot be written, it is tried again at the next
        commit.
        """
        directory = os.path.dirname(self._database.path)
        with self._noting:  # sinks commit side by side
            known, place = load_deliveries(directory), self.file.describe_place()
            noted = known.sinks | dict(sinks)
            batches = {row.name: row.batches for row in self.sinks.load() if row.name in noted}
            fresh = replace(place, sinks=noted, batches=batches)
            try:
                if noted and fresh != known:
                    save_deliveries(directory, fresh)
            except OSError as error:
                log.warning("journal.unwritable", problem=error.strerror)
            else:
                self._noted |= sinks.keys()
                self._note_at = time.monotonic() + NOTE_SECONDS
