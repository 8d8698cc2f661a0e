"""What people see of the daemon: a progress line that stays one line, and where a bug is."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios

from tracesidecar.daemon.progress import ProgressLine
from tracesidecar.logs import frames


def test_a_progress_line_never_wraps() -> None:
    master, slave = pty.openpty()
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
        with os.fdopen(slave, "w") as terminal:
            ProgressLine(terminal).show("x" * 200)
            assert os.read(master, 1000).count(b"x") == 39
    finally:
        os.close(master)


def failing_part() -> None:
    raise ValueError("trace content")


def test_the_frames_of_a_group_of_errors_name_where_each_began() -> None:
    try:
        try:
            failing_part()
        except ValueError as error:
            raise ExceptionGroup("several", [error]) from None
    except ExceptionGroup as group:
        reported = frames(group)
    assert any("failing_part" in frame for frame in reported)
    assert not any("trace content" in frame for frame in reported)
