"""To which destinations this state directory has delivered, in a file beside the journal.

The journal itself knows more, but it may be lost while the rest of the directory is there. Without
this file, the next start would take that for the first one and deliver everything again.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable

import msgspec

from tracesidecar.directories import open_regular, open_trusted_directory
from tracesidecar.journal.private_file import make_private_file
from tracesidecar.journal.sinks import SinkRow

FILE_NAME = "deliveries.json"
_NEW_NAME = f"{FILE_NAME}.new"
_MOST_BYTES = 16 << 20


class Deliveries(msgspec.Struct, frozen=True):
    """`sinks` is sink → destination, `batches` how many batches of each the journal had at least.

    The rest says where the journal was when this was written: `machine` is /etc/machine-id, empty
    where there is none; `inode` is that of the journal.
    """

    sinks: dict[str, str] = {}
    machine: str = ""
    host: str = ""
    inode: int = 0
    batches: dict[str, int] = {}

    def is_elsewhere(self, now: Deliveries) -> bool:
        """Return whether the directory was copied from another machine.

        Another host name alone says nothing if the file is the same: a Pod has a new one on each
        node, and its volume moves with it.
        """
        if self.machine and now.machine and self.machine != now.machine:
            return True
        return bool(self.inode) and self.host != now.host and self.inode != now.inode

    def is_ahead(self, sinks: Iterable[SinkRow]) -> bool:
        """Return whether the journal, which has these sinks, has had more of one of them before.

        A backup that is copied over the journal leaves it the same file.
        """
        return any(
            row.destination == self.sinks.get(row.name)
            and row.batches < self.batches.get(row.name, 0)
            for row in sinks
        )


def load_deliveries(state_directory: str) -> Deliveries:
    """Return what the file says; nothing if it is missing or no such file."""
    try:
        # what is no regular file is not opened: a FIFO would be waited for
        with open(open_regular(os.path.join(state_directory, FILE_NAME)), "rb") as file:
            return msgspec.json.decode(file.read(_MOST_BYTES), type=Deliveries)
    except (OSError, msgspec.DecodeError, RecursionError):
        return Deliveries()


def save_deliveries(state_directory: str, deliveries: Deliveries) -> None:
    """Replace the file, durably.

    Raise OSError if that is not possible, or if a link of somebody else leads to the directory: who
    may rename it may put a link in its place.
    """
    folder = open_trusted_directory(state_directory)
    try:
        descriptor = make_private_file(_NEW_NAME, dir_fd=folder)
        try:
            os.write(descriptor, msgspec.json.encode(deliveries) + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(_NEW_NAME, FILE_NAME, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)


def describe_place(journal_path: str) -> Deliveries:
    """Return on which machine the journal is, and which file it is, without any sink."""
    try:
        with open("/etc/machine-id", encoding="ascii") as file:
            machine = file.read().strip()
    except (OSError, UnicodeDecodeError):
        machine = ""
    return Deliveries({}, machine, socket.gethostname(), os.stat(journal_path).st_ino)
