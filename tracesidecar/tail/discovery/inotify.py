"""An inotify observer that says what it could not watch.

watchdog keeps quiet where a watch for a directory below the root cannot be added, and where the
kernel has dropped notices. Both mean that files change unnoticed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Protocol

from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter, InotifyObserver
from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchCallback,
    WatchDescriptor,
)

_LIMITS = frozenset({errno.ENOSPC, errno.ENOMEM, errno.EMFILE})
"""What inotify_add_watch(2) fails with where it is not for the directory itself.

A directory that is gone, or that may not be read, is noticed by the walk.
"""


class FirstNotices(Protocol):
    """Who hears of new files at once, in the thread that reads the notices.

    watchdog passes notices on later, through two threads, and holds back those of files that leave
    for half a second.
    """

    def note_created(self, path: str) -> None:
        """Note that a file was made."""
        ...

    def note_written(self, path: str) -> None:
        """Note that a file was written to."""
        ...

    def note_deleted(self, path: str) -> None:
        """Note that a file was deleted."""
        ...

    def note_left(self, path: str, cookie: int) -> None:
        """Note that a file left a path; where it is now, if announced, has the same cookie."""
        ...

    def note_entered(self, path: str, cookie: int) -> None:
        """Note that a file came to a path from another one."""
        ...

    def note_directory(self, path: str, *, is_new: bool) -> None:
        """Note that a directory appeared, perhaps with files in it.

        `is_new` if it was not moved from another place that is watched.
        """
        ...


class ReportingInotify(InotifyFD):
    """One inotify instance and the thread that reads it."""

    def __init__(
        self,
        *,
        fail: Callable[[Exception], None],
        miss: Callable[[], None],
        first: Callable[[], FirstNotices | None],
    ) -> None:
        """Raise OSError if there is no instance left. `first` returns who hears of them at once."""
        super().__init__()
        self._fail = fail
        self._miss = miss
        self._first = first
        self._paths: dict[WatchDescriptor, str] = {}
        self._leaving: tuple[int, dict[WatchDescriptor, str]] = 0, {}

    def add_callback(
        self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId
    ) -> WatchDescriptor:
        """Watch a path; report a limit that is reached."""
        try:
            watch = super().add_callback(path, mask, callback, id_)
        except OSError as error:
            if error.errno in _LIMITS:
                self._fail(error)
            raise
        self._paths[watch] = os.fsdecode(path)
        return watch

    def handle_event(self, event: InotifyEvent) -> None:
        """Pass on an event; report that the queue has overflowed."""
        first = self._first()
        path = self._path(event)
        if first is not None and path and not event.is_directory:
            _announce(event, path, first)
        super().handle_event(event)
        if event.is_queue_overflow:  # fs.inotify.max_queued_events
            self._miss()
        elif event.is_ignored:
            self._paths.pop(event.wd, None)
        elif path and event.is_directory:
            self._follow_directory(event, path)
            if first is not None and (event.is_create or event.is_moved_to):
                # watched by now: what comes later is announced
                is_new = event.is_create or self._leaving[0] != event.cookie
                first.note_directory(path, is_new=is_new)

    def _path(self, event: InotifyEvent) -> str:
        """Return the path of an event; empty if its directory is no longer watched."""
        folder = self._paths.get(event.wd)
        return os.path.join(folder, os.fsdecode(event.name)) if folder and event.name else ""

    def _follow_directory(self, event: InotifyEvent, path: str) -> None:
        """Know the watches below a directory that was moved by their new paths.

        Those of one that left go on, but what happens there is not ours.
        """
        if event.is_moved_from:
            below = {
                watch: folder[len(path) :]
                for watch, folder in list(self._paths.items())
                if folder == path or folder.startswith(f"{path}/")
            }
            for watch in below:
                del self._paths[watch]
            self._leaving = event.cookie, below
        elif event.is_moved_to and self._leaving[0] == event.cookie:
            for watch, rest in self._leaving[1].items():
                self._paths.setdefault(watch, path + rest)


def _announce(event: InotifyEvent, path: str, first: FirstNotices) -> None:
    if event.is_create:
        first.note_created(path)
    elif event.is_modify:
        first.note_written(path)
    elif event.is_delete:
        first.note_deleted(path)
    elif event.is_moved_from:
        first.note_left(path, event.cookie)
    elif event.is_moved_to:
        first.note_entered(path, event.cookie)


class NoticingObserver(InotifyObserver):
    """Calls `fail` for what cannot be watched, and `miss` after dropped notices, in any thread."""

    def __init__(
        self,
        *,
        fail: Callable[[Exception], None],
        miss: Callable[[], None],
        first: Callable[[], FirstNotices | None],
    ) -> None:
        """Raise OSError if there is no inotify instance left."""
        # not that of InotifyObserver, which would make an instance of its own
        self.inotify = self._inotify_fd = ReportingInotify(fail=fail, miss=miss, first=first)
        self.inotify.start()
        BaseObserver.__init__(self, InotifyEmitter, inotify_fd=self.inotify)
