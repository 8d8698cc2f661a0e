"""Events that become no record: one is over the limit, or what makes the record fails on it."""

from __future__ import annotations

from typing import NamedTuple

from tracesidecar.dialects import Event
from tracesidecar.logs import frames
from tracesidecar.sanitize import RejectionReason

TOO_LARGE = "too_large"
"""The reason of an event whose record is over the limit."""


class RejectedEvent(NamedTuple):
    """An event that becomes no record, and why.

    `problem` is the kind of the error and where in this program it was raised, without its message:
    that may quote the event.
    """

    event: Event
    reason: str = TOO_LARGE
    problem: str = ""


def reject_event(event: Event, error: Exception) -> RejectedEvent:
    """Return the rejection of an event on which its encoder fails.

    Raise the error again if it says nothing about the event: of memory, or of the system.
    """
    if isinstance(error, MemoryError | OSError):
        raise error
    problem = f"{type(error).__name__} in {frames(error)[-1]}"
    return RejectedEvent(event, RejectionReason.NOT_ENCODABLE.value, problem)
