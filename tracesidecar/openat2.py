"""Open a path in one call of the kernel, if no name on its way is a link.

Python has no binding for openat2(2), so it is called by its number.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable

_OPENAT2 = 437
"""On every architecture that Python runs on, by the kernel's tables of system calls."""

_AT_FDCWD = -100
_RESOLVE_NO_SYMLINKS = 0x04
"""Of <linux/openat2.h>."""

_NOT_ANSWERED = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENOSYS, errno.EPERM, errno.EAGAIN})
"""A link is on the way, or has the last name (ENOTDIR, where a directory is wanted); or there is no
openat2: Linux before 5.6, a seccomp profile without it.
"""


class _OpenHow(ctypes.Structure):
    """`struct open_how` of <linux/openat2.h>."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def _find_syscall() -> Callable[[int, int, bytes, _OpenHow, int], int] | None:
    """Return syscall(2) of the C library; None beside Linux."""
    if sys.platform != "linux":
        return None
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    call.argtypes = (
        ctypes.c_long,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.POINTER(_OpenHow),
        ctypes.c_size_t,
    )
    return call


_syscall = _find_syscall()


def open_without_links(path: str, flags: int) -> int | None:
    """Open what an absolute path leads to if no name on its way is a link.

    With O_PATH and O_NOFOLLOW the last name may be a link, which is opened itself. Return None if
    there is a link, or if the kernel or the container does not allow the question. Raise another
    OSError as os.open does. For any thread.
    """
    if _syscall is None:
        return None
    how = _OpenHow(flags, 0, _RESOLVE_NO_SYMLINKS)
    found = _syscall(_OPENAT2, _AT_FDCWD, os.fsencode(path), how, ctypes.sizeof(how))
    if found >= 0:
        return found
    error = ctypes.get_errno()
    if error in _NOT_ANSWERED:
        return None
    raise OSError(error, os.strerror(error), path)
