"""An inotify observer that says what it could not watch.

watchdog keeps quiet where a watch for a directory below the root cannot be added, and where the
kernel has dropped notices. Both mean that files change unnoticed.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

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


class ReportingInotify(InotifyFD):
    """One inotify instance and the thread that reads it."""

    def __init__(self, *, fail: Callable[[Exception], None], miss: Callable[[], None]) -> None:
        """Raise OSError if there is no instance left."""
        super().__init__()
        self._fail = fail
        self._miss = miss

    def add_callback(
        self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId
    ) -> WatchDescriptor:
        """Watch a path; report a limit that is reached."""
        try:
            return super().add_callback(path, mask, callback, id_)
        except OSError as error:
            if error.errno in _LIMITS:
                self._fail(error)
            raise

    def handle_event(self, event: InotifyEvent) -> None:
        """Pass on an event; report that the queue has overflowed."""
        super().handle_event(event)
        if event.is_queue_overflow:  # fs.inotify.max_queued_events
            self._miss()


class NoticingObserver(InotifyObserver):
    """Calls `fail` for what cannot be watched, and `miss` after dropped notices, in any thread."""

    def __init__(self, *, fail: Callable[[Exception], None], miss: Callable[[], None]) -> None:
        """Raise OSError if there is no inotify instance left."""
        # not that of InotifyObserver, which would make an instance of its own
        self.inotify = self._inotify_fd = ReportingInotify(fail=fail, miss=miss)
        self.inotify.start()
        BaseObserver.__init__(self, InotifyEmitter, inotify_fd=self.inotify)
