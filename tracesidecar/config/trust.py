"""Is a configuration that lies in the current directory one of ours?

Its settings decide what is read, redacted and sent, and where. In the folder of an agent, the agent
may have written it. One that somebody names with a path (`--config ./tracesidecar.toml`,
`$TRACESIDECAR_CONFIG`) is taken as it is.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat


class NotTrusted(Exception):
    """Somebody else may have written the file. The text is a sentence with a remedy."""


def read_found(path: str) -> str:
    """Return the text of a file that was found, not named.

    Raise NotTrusted unless it, and a link to it, belongs to this user or to root, and nobody else
    may write to it. Raise OSError or UnicodeDecodeError if it cannot be read.
    """
    _require_owner(path, os.lstat(path))
    # without O_NONBLOCK, a FIFO of that name would be waited for
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, encoding="utf-8") as file:
        status = os.fstat(descriptor)
        _require_owner(path, status)
        if not stat.S_ISREG(status.st_mode):
            raise NotTrusted(f"it is not a regular file{_remedy(path)}")
        if status.st_nlink != 1:  # a file of ours from elsewhere, which others gave this name
            raise NotTrusted(f"it has {status.st_nlink} hard links{_remedy(path)}")
        if others := _list_writers(status):
            raise NotTrusted(f"{others} may write to it{_remedy(path)}, or take that right away")
        return file.read()


def _require_owner(path: str, status: os.stat_result) -> None:
    if status.st_uid not in {0, os.geteuid()}:
        raise NotTrusted(
            f"it belongs to user {status.st_uid}, and this is user {os.geteuid()}{_remedy(path)}"
        )


def _list_writers(status: os.stat_result) -> str:
    """Say who else may write: others, or a group that is not this user's alone."""
    if status.st_mode & stat.S_IWOTH:
        return "everybody"
    if status.st_mode & stat.S_IWGRP and not _is_private_group(status.st_gid):
        return f"group {status.st_gid}"
    return ""


def _is_private_group(number: int) -> bool:
    """Return whether a group is this user's alone: of the same name, and without other members."""
    try:
        user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(number)
    except KeyError:
        return False
    return group.gr_name == user and {user}.issuperset(group.gr_mem)


def _remedy(path: str) -> str:
    return (
        f": in a folder that others may write to, it may be theirs; if you trust it, name it with "
        f"--config ./{path}"
    )
