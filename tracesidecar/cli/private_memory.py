"""Keep this process's memory from other processes of its user.

It holds lines before their redaction, and credentials. An agent may well run as the same user.
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_DUMPABLE = 4  # linux/prctl.h


def make_memory_private() -> str:
    """Forbid core dumps of this process, and reading its memory and environment, to its own user.

    Root still may. The children of `exec` are not affected: a program that is started gets its own
    setting. Return what is wrong if the kernel rejects it, else an empty text. Elsewhere than on
    Linux, where there is no such call, nothing is done.
    """
    if sys.platform != "linux":
        return ""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0:
        return ""
    return (
        "other processes of this user can read this one's memory: prctl(PR_SET_DUMPABLE) ended "
        f"with {os.strerror(ctypes.get_errno())!r}; allow prctl in the seccomp filter"
    )
