"""Where the state is: in a directory that belongs to this user alone, the same for every command.

Kubernetes makes a volume for the group of a Pod: root owns it, and its mode is 2777 or 2770. Such a
directory is shared, and so is one that holds other things, such as /var/lib. In a shared directory
the state is in `tracesidecar-<uid>`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from tracesidecar.directories import LISTED, LinkRule, open_name, open_trusted_directory
from tracesidecar.errors import StateError
from tracesidecar.journal import deliveries
from tracesidecar.journal.database import FILE_NAME
from tracesidecar.journal.trouble import explain_os, passes

log = structlog.get_logger(__name__)

PRIVATE = 0o700
_OTHERS = 0o077
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
STATE_NAMES = frozenset(
    {
        *(FILE_NAME + ending for ending in ("", "-wal", "-shm", "-journal")),
        *(deliveries.FILE_NAME, f"{deliveries.FILE_NAME}.new"),
        *("lock", "compact.lock", "status.sock", "held", "quarantine", "cache"),
    }
)
"""What is in a state directory."""

_UNSHARED_NAMES = STATE_NAMES | {"lost+found"}
"""A directory with nothing else is not shared; every ext4 file system has the last."""

_REMAINS = ("lock", "held", "quarantine", "cache")
"""What every run makes beside the journal, or may make."""


def find_state_directory(given: str) -> str:
    """Return the directory that has the state, or will have it, if `given` is configured.

    That is `given` itself if it is missing, or belongs to this user alone; and `tracesidecar-<uid>`
    in it if it is shared. State that is there already is found where it is. Nothing is created.
    Root finds the state of the only user who has some there.
    """
    try:
        status = os.stat(given)
    except OSError:  # it is created later; or its use says what is wrong
        return given
    user = os.geteuid()
    own = os.path.join(given, _name_for(user))
    if _has_state(given, user) and (status.st_uid == user or not _is_open_to_all(status)):
        return given
    if _has_state(own, user):
        return own
    if user == 0 and (others := _with_state_of_others(given)):
        return others[0] if len(others) == 1 else given
    if status.st_uid == user:
        return own if _is_shared(given, status) else given
    may_write = os.access(given, os.W_OK | os.X_OK, effective_ids=True)
    return own if may_write or os.path.isdir(own) else given


def prepare_state_directory(directory: str) -> None:
    """Create the state directory with mode 0700, or make sure that it belongs to this user alone.

    `directory` is what `find_state_directory` returned. Owner and mode are those of the open
    directory, not of its name. If it is ours and others may use it, its mode becomes 0700, and the
    log says so. Raise StateUnavailable if it cannot be created now. Raise StateError if it never
    can be, if it is not ours, or if it holds what somebody else left there while it was open to
    others.
    """
    try:
        with _open(directory) as descriptor:
            status = os.fstat(descriptor)
            if status.st_uid == os.geteuid():
                _tighten(directory, descriptor, status)
            elif not _is_usable(directory, status):
                raise StateError(_not_ours(directory, status))
    except OSError as error:
        if passes(error):
            raise explain_os("create or open the state directory", directory, error, "") from error
        raise StateError(
            f"cannot create or open the state directory {directory}: {_meaning(error)}; "
            "set state_directory to a place that you may write to, "
            "or give this user the right (Kubernetes: securityContext.fsGroup)"
        ) from error


def find_remains(directory: str) -> list[str]:
    """Return what an earlier run has left in a state directory without a journal.

    Call this before anything is created there. Nothing is returned if there is a journal.
    """
    journal = os.path.join(directory, FILE_NAME)
    if os.path.lexists(journal) and (not os.path.isfile(journal) or os.path.getsize(journal)):
        return []
    return [name for name in _REMAINS if os.path.lexists(os.path.join(directory, name))]


@contextmanager
def _open(directory: str) -> Iterator[int]:
    """Open the state directory, which is created if it is missing.

    Its path may have links of root and of this user, and of nobody else. Where somebody else may
    have chosen what has the name, a symbolic link is not followed at all.
    """
    parent, name = os.path.split(directory)
    folder = open_trusted_directory(parent, makes_missing=True)
    try:
        is_planted = name == _name_for(os.geteuid()) or _is_open_to_all(os.fstat(folder))
        # systemd makes /var/lib/NAME a link of root's, with DynamicUser=
        rule = LinkRule.NEVER if is_planted else LinkRule.TRUSTED
        descriptor = open_name(folder, name or ".", LISTED, rule, mode=PRIVATE)
    finally:
        os.close(folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _tighten(directory: str, descriptor: int, status: os.stat_result) -> None:
    """Take the rights of others away, on a directory of ours."""
    if stat.S_IMODE(status.st_mode) == PRIVATE:
        return
    os.fchmod(descriptor, PRIVATE)
    if not status.st_mode & _OTHERS:
        return  # just made, in a directory that passes on its setgid bit
    # CIFS and FAT have one mode for all files, and take every chmod without an effect
    if os.fstat(descriptor).st_mode & _OTHERS:
        raise StateError(
            f"the state directory {directory} has mode {_mode(status)}, and its file system does "
            "not change it to 0700: set state_directory to a place on another file system"
        )
    log.warning(
        "state.tightened",
        path=directory,
        mode_before=_mode(status),
        mode="0700",
        meaning="other users could use the state directory; now only this one can",
    )
    if status.st_mode & _OTHERS_WRITE:
        try:
            _check_owners(directory, descriptor)
        except StateError:
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode))  # so that the next start looks, too
            raise


def _check_owners(directory: str, descriptor: int) -> None:
    with os.scandir(descriptor) as entries:
        for entry in entries:
            owner = entry.stat(follow_symlinks=False).st_uid
            if owner not in {0, os.geteuid()} and entry.name in STATE_NAMES:
                raise StateError(
                    f"the state directory {directory} was writable by others, and user {owner} "
                    f"has put {entry.name} there: look at it, and remove it"
                )


def _is_usable(directory: str, status: os.stat_result) -> bool:
    """Return whether the state may be in a directory of another user.

    Anybody may go on where their own journal has been all along, if nobody else can make files
    there; root, whose rights the directory's owner would borrow, only if the journal is root's.
    """
    name, user = os.path.basename(directory), os.geteuid()
    if name in {_name_for(user), _name_for(status.st_uid)}:
        return False  # it says whose it is; root would follow links that its owner makes in it
    if user == 0:
        return not status.st_mode & _OTHERS_WRITE and _has_own_journal(directory)
    return not _is_open_to_all(status) and _has_state(directory, user)


def _is_shared(given: str, status: os.stat_result) -> bool:
    """Return whether a directory of ours is for other things too, so that it keeps its mode."""
    if not status.st_mode & _OTHERS:
        return False
    try:
        return _is_sticky(status) or not _UNSHARED_NAMES.issuperset(os.listdir(given))
    except OSError:
        return False


def _has_state(directory: str, user: int) -> bool:
    """Return whether the user has a journal there, or had one; for root, anybody's."""
    for name in (FILE_NAME, deliveries.FILE_NAME):  # the journal may be moved away: not the place
        try:
            status = os.lstat(os.path.join(directory, name))
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode) and user in {0, status.st_uid}:
            return True
    return False


def _has_own_journal(directory: str) -> bool:
    try:
        status = os.lstat(os.path.join(directory, FILE_NAME))
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()


def _with_state_of_others(given: str) -> list[str]:
    """Return the directories below a shared one in which their owners have a journal."""
    try:
        with os.scandir(given) as entries:
            return [
                entry.path
                for entry in entries
                if entry.is_dir(follow_symlinks=False)
                and entry.name == _name_for(owner := entry.stat(follow_symlinks=False).st_uid)
                and _has_state(entry.path, owner)
            ]
    except OSError:
        return []


def _is_open_to_all(status: os.stat_result) -> bool:
    return bool(status.st_mode & stat.S_IWOTH)


def _is_sticky(status: os.stat_result) -> bool:
    """Return whether everyone may create files there, as in /tmp."""
    return bool(status.st_mode & stat.S_ISVTX) and _is_open_to_all(status)


def _name_for(user: int) -> str:
    return f"tracesidecar-{user}"


def _not_ours(directory: str, status: os.stat_result) -> str:
    return (
        f"the state directory {directory} belongs to user {status.st_uid} (mode {_mode(status)}), "
        f"and this is user {os.geteuid()}: run this as its owner, remove it if nobody needs it, "
        "or set state_directory to another place"
    )


def _meaning(error: OSError) -> str:
    if isinstance(error, NotADirectoryError):
        return "it, or a parent of it, is a symbolic link or no directory"
    return error.strerror or type(error).__name__


def _mode(status: os.stat_result) -> str:
    return f"{stat.S_IMODE(status.st_mode):04o}"
