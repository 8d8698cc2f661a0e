"""What all events of a Copilot session share: envelope, state, and the columns that follow."""

from __future__ import annotations

import msgspec

from tracesidecar.dialects.event import Event, EventKind
from tracesidecar.dialects.parsing import at, text, utc


class Line(msgspec.Struct, rename="camel"):
    """The envelope; the members of `data` depend on the type."""

    type: object = None
    id: object = None
    parent_id: object = None
    timestamp: object = None
    agent_id: object = None
    data: object = None


class State(msgspec.Struct):
    """What earlier lines said.

    Name, MCP server and start of a tool call are kept until its result comes.
    """

    conversation: str
    model: str | None = None
    cwd: str | None = None
    branch: str | None = None
    repository: str | None = None
    version: str | None = None
    tools: dict[str, str] = {}
    servers: dict[str, str] = {}
    started: dict[str, str] = {}


def make_event(kind: EventKind, line: Line, state: State) -> Event:
    """Return an event with what its envelope and earlier lines say."""
    event_time = utc(line.timestamp)
    agent = text(line.agent_id)
    return Event(
        event_kind=kind,
        native_id=text(line.id),
        parent_id=text(line.parent_id),
        conversation_id=state.conversation,
        agent_id=agent,
        is_subagent=True if agent else None,
        event_time=event_time,
        event_time_source="line" if event_time else None,
        agent_name="copilot",
        agent_version=state.version,
        cwd=state.cwd,
        git_branch=state.branch,
        git_repository=state.repository,
    )


def set_error(event: Event, error: object) -> None:
    """Set the error, which is text or has code and message."""
    event.error_type = text(at(error, "code"))
    event.error_message = text(error) or text(at(error, "message"))
