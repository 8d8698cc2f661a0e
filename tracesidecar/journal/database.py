"""The journal's file: opened by its one writer or beside it, and changed one transaction at a time.

Opening it for writing creates the schema, or upgrades that of an earlier version, and repairs
damaged indexes. No method lets an error of SQLite out: each raises StateUnavailable for what is
temporary, and StateError for damage.
"""

from __future__ import annotations

import math
import os
import secrets
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TypeVar

import msgspec
import structlog

from tracesidecar.errors import JournalMissing, StateError, StateUnavailable
from tracesidecar.journal import schema
from tracesidecar.journal.own_files import FilesOpenedSince, narrow_mode
from tracesidecar.journal.trouble import explain_damage, explain_os, explain_sqlite

log = structlog.get_logger()

FILE_NAME = "journal.sqlite"
KEY_BYTES = 32
WAL_LIMIT_BYTES = 16 << 20
"""To what size the write-ahead log is cut back after a checkpoint."""

LOCK_SECONDS = 5.0
"""How long a statement waits for the lock of another process (a backup, an SQLite shell)."""

LOCK_PIECE_MILLISECONDS = 100
"""How long it waits at a time, between two looks at whether it still may."""

IDS_AT_A_TIME = 500
_READ_BYTES = 1 << 20
PAGES_KEPT = 250
"""How many free pages stay in the file, for what comes next."""

Row = TypeVar("Row")


class JournalDatabase:
    """An open connection. Any thread may call; calls take turns."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._db = connection
        self._path = path
        self._turn = threading.Lock()
        self._seen_version = 0
        self._companions: list[Callable[[sqlite3.Connection], Callable[[], None] | None]] = []
        self._ended: StateError | None = None
        self._waits_until = math.inf

    @classmethod
    def open(cls, state_directory: str) -> JournalDatabase:
        """Open for writing, creating or upgrading the schema, and repairing damaged indexes.

        Raise StateUnavailable if the file cannot be used now, and StateError if it never can.
        """
        path = os.path.join(state_directory, FILE_NAME)
        if not _require_regular_files(path):
            _create_privately(path)
        journal = _narrow_modes(path)

        def prepare(database: JournalDatabase) -> None:
            files.require(path, journal)
            database._prepare()
            files.require(path, journal)  # with the write-ahead log

        files = FilesOpenedSince()
        return cls._open_surely(path, prepare)

    @classmethod
    def open_beside(cls, state_directory: str, *pragmas: str) -> JournalDatabase:
        """Open an existing file beside the process that holds the state directory.

        Raise JournalMissing if there is none, StateUnavailable if it cannot be used now, and
        StateError if it never can, or has another schema.
        """
        path = os.path.join(state_directory, FILE_NAME)
        if not _require_regular_files(path):
            raise JournalMissing(
                f"there is no journal at {path}: nothing has run with this state directory yet"
            )

        def prepare(database: JournalDatabase) -> None:
            for pragma in (f"busy_timeout={LOCK_PIECE_MILLISECONDS}", *pragmas):
                database._execute(f"PRAGMA {pragma}")
            database._check(database.meta("schema"))
            database._require_whole_schema()

        return cls._open_surely(path, prepare)

    @classmethod
    def _open_surely(cls, path: str, prepare: Callable[[JournalDatabase], None]) -> JournalDatabase:
        """Open a file, and call it unusable only if it is so twice and can be read to its end.

        If the disk cannot read a page of the schema, SQLite calls that malformed (3.40).
        """
        try:
            return cls._open(path, prepare)
        except StateUnavailable:
            raise
        except StateError:
            _require_readable(path)
            return cls._open(path, prepare)

    @classmethod
    def _open(cls, path: str, prepare: Callable[[JournalDatabase], None]) -> JournalDatabase:
        with _explain_errors(path, is_open=False):
            db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            database = cls(db, path)
            try:
                prepare(database)
            except BaseException:
                db.close()
                raise
        return database

    def close(self) -> None:
        """Close the file; nothing is lost if this is not called."""
        with self._turn, _explain_errors(self._path, is_open=True):
            self._db.close()

    def meta(self, key: str) -> bytes:
        """Return the value that was stored under a key when the journal was created."""
        with _explain_errors(self._path, is_open=True):
            row = self._execute("SELECT value FROM meta WHERE key = ?", key).fetchone()
        if row is None or not isinstance(row[0], bytes):
            raise self.explain_damage(f"meta has no {key}")
        return row[0]

    def explain_damage(self, problem: str) -> StateError:
        """Return the error to raise for a row that is not as it was written."""
        return explain_damage(self._path, problem)

    def find_meta(self, key: str) -> bytes | None:
        """Return the value that was stored under a key, None if there is none."""
        rows = self.read(tuple[bytes], "SELECT value FROM meta WHERE key = ?", key)
        return rows[0][0] if rows else None

    def set_meta(self, key: str, value: bytes) -> None:
        """Store a value under a key, in a durable transaction."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    @property
    def path(self) -> str:
        """The path of the file."""
        return self._path

    def end(self, error: StateError) -> None:
        """Raise this error in every later transaction: what it would write would be lost."""
        self._ended = error

    def rewrite_file(self) -> None:
        """Write the open file again under its path, from which somebody has removed it.

        Raise sqlite3.DatabaseError or OSError if that fails, or something else stands there.
        """
        with self._turn:
            for suffix in ("-wal", "-shm"):
                # they belong to the removed file: a new one must not be taken for theirs
                with suppress(FileNotFoundError):
                    os.unlink(f"{self._path}{suffix}")
            _make_private_file(self._path)  # SQLite fills an empty file, but no other
            try:
                self._db.execute("VACUUM INTO ?", (self._path,))
            except sqlite3.Error:
                os.unlink(self._path)  # half a journal is worse than none
                raise

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run one durable transaction; if the block raises, nothing is changed."""
        with self._turn, _explain_errors(self._path, is_open=True):
            if self._ended is not None:
                raise self._ended
            self._execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                written = [write(self._db) for write in self._companions]
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            for note_written in written:
                if note_written is not None:
                    note_written()

    def accompany(self, write: Callable[[sqlite3.Connection], Callable[[], None] | None]) -> None:
        """Have `write` called at the end of each transaction; what it returns, once it is durable.

        It is for what must not be missing beside anything that is written later.
        """
        self._companions.append(write)

    def read(self, shape: type[Row], query: str, *values: object) -> list[Row]:
        """Return the rows of a query, each converted to `shape` (a tuple type).

        Raise StateError if a row does not have that shape.
        """
        with self._turn, _explain_errors(self._path, is_open=True):
            rows = self._execute(query, *values).fetchall()
        try:
            return msgspec.convert(rows, list[shape])  # type: ignore[valid-type]  # a runtime type
        except msgspec.ValidationError as error:
            raise self.explain_damage(f"a row is not as expected: {error}") from error

    def give_back_pages(self, pages: int) -> bool:
        """Return so many free pages to the file system; return whether there may be more."""
        with self._turn, _explain_errors(self._path, is_open=True):
            (free,) = self._execute("PRAGMA freelist_count").fetchone()
            if free <= PAGES_KEPT:
                return False
            # not `execute`: the statement has to be stepped on, and its rows have no columns
            self._db.executescript(f"PRAGMA incremental_vacuum({pages})")
            return True

    def has_changed(self) -> bool:
        """Return whether another process has written since the last call."""
        with self._turn, _explain_errors(self._path, is_open=True):
            (version,) = self._execute("PRAGMA data_version").fetchone()
        before, self._seen_version = self._seen_version, version
        return bool(before != version)

    def limit_waiting(self, seconds: float | None) -> None:
        """Wait for other processes' locks for this many seconds from now at most.

        None: `LOCK_SECONDS` each time. Any thread may call, also while others
        wait.
        """
        self._waits_until = math.inf if seconds is None else time.monotonic() + seconds

    @property
    def patience_seconds(self) -> float:
        """How long it is until no lock is waited for any more; infinite without a limit."""
        return max(self._waits_until - time.monotonic(), 0.0)

    def _execute(self, query: str, *values: object) -> sqlite3.Cursor:
        """Execute a statement that may meet the lock of another process: wait for it."""
        began = time.monotonic()
        while True:
            try:
                return self._db.execute(query, values)
            except sqlite3.OperationalError as error:
                until = min(began + LOCK_SECONDS, self._waits_until)
                if not _is_locked(error) or time.monotonic() >= until:
                    raise

    def _prepare(self) -> None:
        for pragma in (
            f"busy_timeout={LOCK_PIECE_MILLISECONDS}",
            "auto_vacuum=INCREMENTAL",  # of effect only before the first table is made
            "journal_mode=WAL",
            f"journal_size_limit={WAL_LIMIT_BYTES}",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            self._execute(f"PRAGMA {pragma}")
        self._create_or_upgrade()

    def _create_or_upgrade(self) -> None:
        if self._execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            self._create()
            return
        self._repair_indexes()
        version = self.meta("schema")
        if version in schema.UPGRADES:
            try:
                with self.transaction() as db:
                    schema.upgrade(db, version)
            except (msgspec.DecodeError, ValueError) as error:
                raise self.explain_damage("the record of a segment cannot be read") from error
        self._check(self.meta("schema"))
        self._require_whole_schema()
        if self._db.execute("PRAGMA auto_vacuum").fetchone() == (0,):
            self._shrink_wholly()

    def _shrink_wholly(self) -> None:
        """Rewrite a file of an earlier version once: from then on it can give back pages."""
        try:
            self._db.execute("VACUUM")
        except sqlite3.Error as error:  # no room for a copy: it stays as large as it is
            log.warning("journal.not_shrunk", path=self._path, problem=str(error))

    def _create(self) -> None:
        with self.transaction() as db:
            schema.create(db)
            values = [
                ("schema", schema.SCHEMA_VERSION),
                ("key", secrets.token_bytes(KEY_BYTES)),
                ("installation", secrets.token_hex(8).encode()),
            ]
            db.executemany("INSERT INTO meta VALUES (?, ?)", values)

    def _repair_indexes(self) -> None:
        """Rebuild the indexes if the file is damaged, and keep that if nothing else was."""
        problem = self._find_problem()
        # a page that could not be read once is a problem, too, but no damage
        if not problem or not self._find_problem():
            return
        try:
            with self.transaction() as db:
                db.execute("REINDEX")
                if self._find_problem():
                    raise self.explain_damage(problem)
        except StateError as error:
            raise self.explain_damage(problem) from error
        log.warning("journal.repaired", path=self._path, problem=problem)

    def _find_problem(self) -> str:
        """Return what SQLite's own check finds wrong first, empty if nothing."""
        (found,) = self._execute("PRAGMA integrity_check(1)").fetchone()
        return "" if found == "ok" else " ".join(str(found).split())

    def _require_whole_schema(self) -> None:
        """Raise StateError if a table or a column is missing, or meta is not as it was written."""
        if missing := schema.find_missing(self._db):
            raise self.explain_damage(f"{missing} is missing")
        if len(self.meta("key")) != KEY_BYTES:
            raise self.explain_damage("meta has no usable key")

    def _check(self, version: bytes) -> None:
        if version in schema.UPGRADES:
            raise StateError(
                f"the journal {self._path} was written by an earlier version: "
                "the next run or ship --once brings it up to date"
            )
        if not version.isdigit():
            raise self.explain_damage("meta has no schema")
        if version != schema.SCHEMA_VERSION:
            raise StateError(
                f"the journal {self._path} has schema {version.decode()}, "
                f"but this program knows {schema.SCHEMA_VERSION.decode()}: "
                "run the version of tracesidecar that wrote it, "
                "or give this one a state directory of its own"
            )


def _is_locked(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_BUSY


@contextmanager
def _explain_errors(path: str, *, is_open: bool) -> Iterator[None]:
    """Raise what SQLite raises as an error of the state directory."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # a bug of ours, not of the file
    except sqlite3.Error as error:
        raise explain_sqlite(path, error, is_open=is_open) from error


def _create_privately(path: str) -> None:
    """Create an empty journal that only this user may read: it will have the installation's key.

    SQLite gives the write-ahead log and its index the mode of the journal when it makes them.
    """
    try:
        _make_private_file(path)
    except OSError as error:
        raise explain_os(
            "create the journal", path, error, "this user must be allowed to write there"
        ) from error


def _make_private_file(path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _narrow_modes(path: str) -> tuple[int, int]:
    """Take the rights of others away from the journal and from what SQLite keeps beside it.

    Return device and inode of the journal.
    """
    try:
        journal = narrow_mode(path)
        for each in (f"{path}-wal", f"{path}-shm"):
            with suppress(FileNotFoundError):
                narrow_mode(each)
    except OSError as error:
        raise explain_os(
            "set the mode of the journal", path, error, "it must belong to this user"
        ) from error
    return journal


def _require_regular_files(path: str) -> bool:
    """Return whether the journal is there.

    Raise StateError if it, or a file that SQLite keeps beside it, is of another kind or may not be
    used. SQLite would say no more than "unable to open database file".
    """
    is_there = False
    for each in (path, f"{path}-wal", f"{path}-shm"):
        try:
            mode = os.stat(each).st_mode
        except FileNotFoundError:
            if os.path.islink(each):
                raise explain_damage(
                    path,
                    f"{os.path.basename(each)} is a symbolic link to {os.readlink(each)!r}, which "
                    "does not exist",
                ) from None
            continue
        except OSError as error:
            raise explain_os(
                "read", each, error, "run this as the user of the daemon, or as root"
            ) from error
        if not stat.S_ISREG(mode):
            raise explain_damage(path, f"{os.path.basename(each)} is not a regular file")
        if not os.access(each, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
            raise StateError(
                f"the journal {each} cannot be read (Permission denied): "
                "run this as the user of the daemon, or as root"
            )
        is_there |= each == path
    return is_there


def _require_readable(path: str) -> None:
    """Raise StateUnavailable if the disk cannot read the journal, or what is kept beside it, now.

    No connection of this process may be open: to close a file drops the locks that it has there.
    """
    for each in (path, f"{path}-wal"):
        try:
            with open(each, "rb", buffering=0) as file:
                at = 0
                while read := len(os.pread(file.fileno(), _READ_BYTES, at)):
                    at += read
        except FileNotFoundError:
            continue
        except OSError as error:
            raise explain_os(
                "read the journal", each, error, "run this as the user of the daemon, or as root"
            ) from error


def list_in_parts(ids: Iterable[int]) -> Iterator[str]:
    """Return ids as lists for SQL, each of a length that a statement may have."""
    rest = iter(ids)
    while some := list(islice(rest, IDS_AT_A_TIME)):
        yield ",".join(map(str, some))
