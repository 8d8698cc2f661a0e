"""An inotify observer that says what it could not watch.

watchdog keeps quiet where a watch for a directory below the root cannot be added, and where the
kernel has dropped events. Both mean that files change unnoticed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import termios
import time
from collections.abc import Callable
from typing import Protocol

from watchdog.events import DirCreatedEvent, DirMovedEvent, FileCreatedEvent, FileMovedEvent
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter, InotifyObserver, InotifyWatchGroup
from watchdog.observers.inotify_c import (
    DEFAULT_EVENT_BUFFER_SIZE,
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchCallback,
    WatchDescriptor,
)
from watchdog.observers.inotify_move_event_grouper import GroupedInotifyEvent, PathedInotifyEvent

from tracesidecar.tail.discovery.tree import Tree

_LIMITS = frozenset({errno.ENOSPC, errno.ENOMEM, errno.EMFILE})
"""What inotify_add_watch(2) fails with where it is not for the directory itself.

A directory that is gone, or that may not be read, is noticed by the walk.
"""


class NewFileListener(Protocol):
    """Who hears of new files at once, in the thread that reads the events.

    watchdog passes events on later, through two threads, and holds back those of files that leave
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
        first: Callable[[], NewFileListener | None],
        tree: Tree,
    ) -> None:
        """Raise OSError if there is no instance left. `first` returns who hears of them at once."""
        super().__init__()
        self.tree = tree
        self._fail = fail
        self._miss = miss
        self._first = first
        self._paths: dict[WatchDescriptor, str] = {}
        self._leaving: tuple[int, dict[WatchDescriptor, str]] = 0, {}
        self._is_handling = False
        self._read_until = self._handled_until = float("-inf")

    def find_announced_time(self) -> float:
        """Return a time before which every event was passed on, by the monotonic clock.

        Called in any thread. Of a file that was made before that, `first` has heard.
        """
        now = time.monotonic()
        try:
            # in this order: what is read no longer counts as waiting, but as being handled
            is_idle = not self._count_waiting() and not self._is_handling
        except OSError:
            return now  # it was closed in this moment
        return now if is_idle else self._handled_until

    def _check_inotify_fd(self) -> bool:
        """Wait for events, once those that were read before have been handled."""
        self._handled_until, self._is_handling = self._read_until, False
        self._is_handling = super()._check_inotify_fd()
        now = time.monotonic()
        if self._count_waiting() <= DEFAULT_EVENT_BUFFER_SIZE:
            self._read_until = now  # they are read at once
        return self._is_handling

    def _count_waiting(self) -> int:
        """Return the bytes of the events that wait in the kernel."""
        count = fcntl.ioctl(self._inotify_fd, termios.FIONREAD, bytes(4))
        return int.from_bytes(count, sys.byteorder)

    def add_callback(
        self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId
    ) -> WatchDescriptor:
        """Watch a directory, and none that a link leads to; report a limit that is reached."""
        followed = Mask(mask & ~InotifyConstants.IN_DONT_FOLLOW)  # the entry in /proc is a link
        try:
            with self.tree.directory(os.fsdecode(path)) as directory:
                entry = b"/proc/self/fd/%d" % directory
                watch = super().add_callback(entry, followed, callback, id_)
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


def _announce(event: InotifyEvent, path: str, first: NewFileListener) -> None:
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


class _WatchGroup(InotifyWatchGroup):
    """Finds the directories below a watched one without following a link that was swapped in.

    watchdog asks first whether a name is a link, and lists it then.
    """

    def _add_all_callbacks(self, path: bytes) -> None:
        self._add_callback(path)
        if not isinstance(self._inotify_fd, ReportingInotify) or not self.is_recursive:
            return
        for folder, entries in self._inotify_fd.tree.walk(os.fsdecode(path)):
            for entry in entries:
                if entry.is_directory:
                    self._add_callback(os.fsencode(os.path.join(folder, entry.name)))

    def _remove_watch_internally(self, wd: WatchDescriptor) -> None:
        """Forget a watch, and its path unless that belongs to another one by now.

        Two directories that were exchanged (RENAME_EXCHANGE) had one path for a moment: the first
        move took it from the second, and watchdog ends with a KeyError.
        """
        path = self._active_callbacks_by_watch.pop(wd, None)
        if path is not None and self._active_callbacks_by_path.get(path) == wd:
            del self._active_callbacks_by_path[path]

    def _recursive_simulate(self, src_path: bytes) -> list[InotifyEvent]:
        events: list[InotifyEvent] = []
        if not isinstance(self._inotify_fd, ReportingInotify):
            return events
        for folder, entries in self._inotify_fd.tree.walk(os.fsdecode(src_path)):
            watch = self._active_callbacks_by_path.get(os.fsencode(folder))
            if watch is None:
                continue  # what is in it is announced once it is watched
            for entry in entries:
                kind = InotifyConstants.IN_ISDIR if entry.is_directory else 0
                mask = Mask(InotifyConstants.IN_CREATE | kind)
                events.append(InotifyEvent(watch, mask, 0, os.fsencode(entry.name)))
        return events


class Emitter(InotifyEmitter):
    """Announces what happens below a directory, and ends by itself when that is deleted."""

    has_lost_directory = False

    def on_thread_start(self) -> None:
        """Add the watches."""
        self._inotify = _WatchGroup(
            self._inotify_fd,
            os.fsencode(self.watch.path),
            is_recursive=self.watch.is_recursive,
            event_mask=self.get_event_mask_from_filter(),
            follow_symlink=self.watch.follow_symlink,
        )

    def build_and_queue_event(
        self, event: GroupedInotifyEvent, *, full_events: bool = False
    ) -> None:
        """Announce what is in a directory that was moved, by a walk that follows no link."""
        if isinstance(event, PathedInotifyEvent) and event.ev.is_delete_self:
            self.has_lost_directory |= os.fsdecode(event.path) == self.watch.path
        if isinstance(event, PathedInotifyEvent):
            moved_from, moved_to = None, event
        else:
            moved_from, moved_to = event
        if not (moved_to.ev.is_moved_to and moved_to.ev.is_directory):
            super().build_and_queue_event(event, full_events=full_events)
            return
        target = os.fsdecode(moved_to.path)
        former = "" if moved_from is None else os.fsdecode(moved_from.path)
        self.queue_event(DirMovedEvent(former, target) if former else DirCreatedEvent(target))
        if not isinstance(self._inotify_fd, ReportingInotify):
            return
        for folder, entries in self._inotify_fd.tree.walk(target):
            for entry in entries:
                path = os.path.join(folder, entry.name)
                if not former:
                    kind = DirCreatedEvent if entry.is_directory else FileCreatedEvent
                    self.queue_event(kind(path, is_synthetic=True))
                    continue
                before = former + path[len(target) :]
                moved = DirMovedEvent if entry.is_directory else FileMovedEvent
                self.queue_event(moved(before, path, is_synthetic=True))


class NoticingObserver(InotifyObserver):
    """Calls `fail` for what cannot be watched, and `miss` after dropped events, in any thread."""

    def __init__(
        self,
        *,
        fail: Callable[[Exception], None],
        miss: Callable[[], None],
        first: Callable[[], NewFileListener | None],
        tree: Tree,
    ) -> None:
        """Raise OSError if there is no inotify instance left."""
        # not that of InotifyObserver, which would make an instance of its own
        self.inotify = self._inotify_fd = ReportingInotify(
            fail=fail, miss=miss, first=first, tree=tree
        )
        self.inotify.start()
        BaseObserver.__init__(self, Emitter, inotify_fd=self.inotify)
