"""Change notices of the operating system: they make things faster, polling makes them complete.

Importing this module imports watchdog.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterable

from watchdog.events import (
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

_EVENTS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]

_Identity = tuple[int, int, int]
"""The device, the inode, and the id of the file system."""


class Watcher(FileSystemEventHandler):
    """Watches directories with everything below them.

    If that fails, `is_working` is false and `trouble` says why.
    """

    def __init__(
        self, directories: Iterable[str], *, wake: Callable[[], None] | None = None
    ) -> None:
        """`wake` is called from the observer's thread when something has changed."""
        self._wake = wake
        self._lock = threading.Lock()
        self._dirty: set[str] = set()
        self._observer: BaseObserver = Observer()
        self._watched: dict[str, tuple[_Identity, ObservedWatch]] = {}
        self._directories = list(directories)
        self.trouble = ""
        # A directory that fills while it is being added: watchdog warns at length, and then watches
        # it correctly.
        warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
        self._observer.start()
        self.renew()

    @property
    def is_working(self) -> bool:
        """Return whether every directory that exists is watched."""
        return (
            not self.trouble
            and self._observer.is_alive()
            and all(emitter.is_alive() for emitter in self._observer.emitters)
        )

    def drain(self) -> set[str]:
        """Return the paths announced since the last call."""
        self.renew()
        with self._lock:
            dirty, self._dirty = self._dirty, set()
        return dirty

    def renew(self) -> None:
        """Watch the directories that have appeared, or were replaced, since the last call."""
        for path in self._directories:
            found = _identify(path)
            watched, watch = self._watched.get(path, (None, None))
            if found == watched:
                continue
            if watch is not None:
                self._observer.unschedule(watch)
                del self._watched[path]
            if found is not None:
                self._watch(path, found)

    def close(self) -> None:
        """Stop watching."""
        self._observer.stop()
        self._observer.join()

    def dispatch(self, event: FileSystemEvent) -> None:
        """Note the paths of a notice. Called in the observer's thread."""
        paths = {os.fsdecode(path) for path in (event.src_path, event.dest_path) if path}
        with self._lock:
            is_news = not self._dirty
            self._dirty |= paths
        if is_news and self._wake is not None:
            self._wake()

    def _watch(self, path: str, found: _Identity) -> None:
        try:
            watch = self._observer.schedule(self, path, recursive=True, event_filter=_EVENTS)
        except OSError as error:  # max_user_watches, or a file system without notices
            self.trouble = error.strerror or "change notices are not available"
            return
        self._watched[path] = (found, watch)
        with self._lock:
            self._dirty.add(path)


def _identify(path: str) -> _Identity | None:
    """Return what tells a directory from one that is mounted over it, None if it is not there.

    A fresh file system can have the device and inode numbers of the one before.
    """
    try:
        status, file_system = os.stat(path), os.statvfs(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, file_system.f_fsid
