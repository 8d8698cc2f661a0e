"""Change events of the operating system: they make things faster, polling makes them complete.

Importing this module imports watchdog, so it is imported only where change events are wanted.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import sys
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterable

from watchdog.events import (
    DirAttribEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from tracesidecar.tail.discovery.mounts import MountNotices
from tracesidecar.tail.discovery.tree import Tree

if sys.platform == "linux":
    from tracesidecar.tail.discovery.inotify import Emitter, NewFileListener, NoticingObserver

_EVENTS: list[type[FileSystemEvent]] = [
    DirAttribEvent,  # a directory that may no longer be listed, or may be again
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]


RETRY_SECONDS = 60.0
"""How long after a failure everything is set up once more: a limit may have been raised, or other
programs may have given their watches back.
"""

_REMEDIES = {
    errno.EMFILE: "no inotify instance is left: raise fs.inotify.max_user_instances",
    errno.ENOSPC: "no inotify watch is left: raise fs.inotify.max_user_watches",
    errno.ENOMEM: "the kernel has no memory for more inotify watches",
}

ROOT_SECONDS = 1.0
"""How often the watched directories themselves are looked at: no event says that one was moved, is
back, or has another file system on it.
"""

_MOST_MOVES = 10_000
"""How many moves are remembered between two scans."""

_Identity = tuple[int, int, int]
"""The device, the inode, and the id of the file system."""


class Watcher(FileSystemEventHandler):
    """Watches directories with everything below them.

    If that fails, also later for a new directory below, `is_working` is false and `trouble` says
    why. It is tried again every `RETRY_SECONDS`. That a directory is gone, or another one, is no
    failure: it is watched again once it is there.
    """

    def __init__(
        self,
        directories: Iterable[str],
        *,
        wake: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`wake` is called from the observer's thread when something has changed.

        `clock` is in seconds and never goes back.
        """
        self._wake = wake
        self._clock = clock
        self._lock = threading.Lock()
        self._dirty: set[str] = set()
        self._covered: set[str] = set()
        self._has_missed = False
        self._failure = ""
        self._failed_at: float | None = None
        self._observer: BaseObserver | None = None
        self._moves: dict[str, str] = {}
        self._first: NewFileListener | None = None
        self._watched: dict[str, tuple[_Identity, ObservedWatch]] = {}
        self._directories = list(directories)
        self._closing = threading.Event()
        self._sentinel: threading.Thread | None = None
        # A directory that fills while it is being added: watchdog warns at length, and then watches
        # it correctly.
        warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
        # Its log lines have paths as they are, and are not in our format.
        logging.getLogger("watchdog").addHandler(logging.NullHandler())
        logging.getLogger("watchdog").propagate = False
        self._open()

    @property
    def is_working(self) -> bool:
        """Return whether every directory that exists is watched."""
        return not self.trouble

    @property
    def trouble(self) -> str:
        """Why changes may go unnoticed; empty while all is well."""
        observer = self._observer
        if self._failure or observer is None:
            return self._failure
        gone = _list_ended(observer)
        threads = [observer, *(each for each in observer.emitters if each.watch not in gone)]
        if sys.platform == "linux" and isinstance(observer, NoticingObserver):
            threads.append(observer.inotify)
        return "" if all(thread.is_alive() for thread in threads) else "a thread of it has ended"

    def drain(self) -> set[str]:
        """Return the paths announced since the last call."""
        self.renew()
        with self._lock:
            dirty, self._dirty = self._dirty, set()
        return dirty

    def announce_to(self, first: NewFileListener) -> None:
        """Tell somebody of new files at once, in the observer's thread."""
        self._first = first

    def take_missed(self) -> bool:
        """Return whether events were dropped since the last call: look at everything then."""
        with self._lock:
            missed, self._has_missed = self._has_missed, False
        return missed

    def drain_moves(self) -> dict[str, str]:
        """Return the files announced as moved since the last call: first name to last name."""
        with self._lock:
            moves, self._moves = self._moves, {}
        return {first: last for last, first in moves.items()}

    def find_announced_time(self) -> float:
        """Return a time before which all that happened was announced, by the monotonic clock.

        Where nothing is announced, that is now.
        """
        observer = self._observer
        if (
            sys.platform == "linux"
            and isinstance(observer, NoticingObserver)
            and observer.inotify.is_alive()
        ):
            return observer.inotify.find_announced_time()
        return time.monotonic()

    def renew(self) -> None:
        """Watch the directories that have appeared, or were replaced, since the last call.

        After a failure, set everything up again once it is time.
        """
        if self.trouble:
            now = self._clock()
            if self._failed_at is None:
                self._failed_at = now
            if now - self._failed_at < RETRY_SECONDS:
                return
            self.close()
            self._open()
            return
        self._watch_all()

    def close(self) -> None:
        """Stop watching."""
        self._closing.set()
        if self._sentinel is not None:
            self._sentinel.join(ROOT_SECONDS)  # a file system that does not answer holds it up
        observer, self._observer = self._observer, None
        self._watched.clear()
        if observer is not None:
            observer.stop()
            observer.join()

    def dispatch(self, event: FileSystemEvent) -> None:
        """Note the paths of a change event. Called in the observer's thread."""
        paths = {os.fsdecode(path) for path in (event.src_path, event.dest_path) if path}
        with self._lock:
            is_news = not self._dirty
            self._dirty |= paths
            if isinstance(event, FileMovedEvent) and event.src_path and event.dest_path:
                source, target = os.fsdecode(event.src_path), os.fsdecode(event.dest_path)
                if len(self._moves) < _MOST_MOVES:
                    self._moves[target] = self._moves.pop(source, source)
        if is_news and self._wake is not None:
            self._wake()

    def _open(self) -> None:
        self._failure, self._failed_at = "", None
        try:
            self._observer = self._make_observer()
            self._observer.start()
        except (OSError, RuntimeError) as error:  # RuntimeError: no thread can be started
            self._fail(error)
            return
        self._watch_all()
        with self._lock:
            self._has_missed = True  # also where no directory is there yet
        self._begin_looking()

    def _begin_looking(self) -> None:
        self._closing = threading.Event()
        self._sentinel = threading.Thread(
            target=self._look_at_roots,
            args=(self._closing, MountNotices(self._directories)),
            name="watched roots",
            daemon=True,
        )
        try:
            self._sentinel.start()
        except RuntimeError as error:
            self._sentinel = None
            self._fail(error)

    def _look_at_roots(self, closing: threading.Event, mounts: MountNotices) -> None:
        """Wake the caller as long as a directory is another one than is watched.

        Also if something was mounted or unmounted below: there, other directories are to be
        watched than before, and no event says so.
        """
        with contextlib.closing(mounts):
            while not closing.wait(ROOT_SECONDS):
                if self._failure or self._wake is None:
                    continue
                with self._lock:
                    self._covered |= mounts.take_changed()
                    is_other = bool(self._covered)
                for path in self._directories:
                    found, (watched, _) = _identify(path), self._watched.get(path, (None, None))
                    is_other |= found != watched
                if is_other and not closing.is_set():
                    self._wake()

    def _make_observer(self) -> BaseObserver:
        if sys.platform == "linux":
            return NoticingObserver(
                fail=self._fail,
                miss=self._miss,
                first=lambda: self._first,
                tree=Tree.below(self._directories),
            )
        return Observer()

    def _watch_all(self) -> None:
        observer = self._observer
        if observer is None:
            return
        ended = _list_ended(observer)
        with self._lock:
            covered, self._covered = self._covered, set()
        for path in self._directories:
            found = _identify(path)
            watched, watch = self._watched.get(path, (None, None))
            if found == watched and watch not in ended and path not in covered:
                continue
            if watch is not None:
                observer.unschedule(watch)
                del self._watched[path]
            if found is not None:
                self._watch(observer, path, found)

    def _watch(self, observer: BaseObserver, path: str, found: _Identity) -> None:
        try:
            watch = observer.schedule(self, path, recursive=True, event_filter=_EVENTS)
        except (FileNotFoundError, NotADirectoryError):
            return  # it is gone again
        except (OSError, RuntimeError) as error:
            self._fail(error)
            return
        self._watched[path] = (found, watch)
        with self._lock:
            self._dirty.add(path)
            self._has_missed = True  # what happened before

    def _fail(self, error: Exception) -> None:
        """Note that not everything is watched. Called in any thread."""
        is_news = not self._failure
        number = error.errno if isinstance(error, OSError) else None
        self._failure = _REMEDIES.get(
            number or 0,
            os.strerror(number) if number else "change events are not available",
        )
        if is_news:
            self._miss()

    def _miss(self) -> None:
        """Note that changes were not announced. Called in any thread."""
        with self._lock:
            self._has_missed = True
        if self._wake is not None:
            self._wake()


def _list_ended(observer: BaseObserver) -> Collection[ObservedWatch]:
    """Return the watches of directories that were deleted: another one may be there by now."""
    if sys.platform != "linux":
        return ()
    return [
        each.watch
        for each in observer.emitters
        if isinstance(each, Emitter) and each.has_lost_directory
    ]


def _identify(path: str) -> _Identity | None:
    """Return what tells a directory from one that is mounted over it, None if it is not there.

    A fresh file system can have the device and inode numbers of the one before.
    """
    try:
        status, file_system = os.stat(path), os.statvfs(path)
    except OSError:
        return None
    if not stat.S_ISDIR(status.st_mode):
        return None
    return status.st_dev, status.st_ino, file_system.f_fsid
