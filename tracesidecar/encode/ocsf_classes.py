"""The class and activity of OCSF 1.8.0 that an event becomes: the one table of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tracesidecar.dialects import Event

OTHER = 99
"""The activity for which the class has no name; `activity_name` names it."""


@dataclass(frozen=True, slots=True)
class EventClass:
    """A class, the profiles that its records declare, and the names of the activities in use."""

    uid: int
    name: str
    category_uid: int
    category_name: str
    profiles: tuple[str, ...]
    activities: dict[int, str]


API = EventClass(
    6003,
    "API Activity",
    6,
    "Application Activity",
    ("ai_operation", "host", "trace"),
    {1: "Create", 2: "Read", 3: "Update"},
)
PROCESS = EventClass(
    1007, "Process Activity", 1, "System Activity", ("ai_operation",), {1: "Launch"}
)
FILE = EventClass(
    1001,
    "File System Activity",
    1,
    "System Activity",
    (),
    {1: "Create", 2: "Read", 3: "Update", 4: "Delete"},
)
HTTP = EventClass(4002, "HTTP Activity", 4, "Network Activity", ("host", "trace"), {3: "Get"})
ERROR = EventClass(
    6008, "Application Error", 6, "Application Activity", ("host",), {1: "General Error"}
)

BY_TOOL_TYPE: dict[str, tuple[EventClass, int]] = {
    "shell": (PROCESS, 1),
    "edit": (FILE, 3),
    "read": (FILE, 2),
    "web": (HTTP, 3),
    "search": (API, 2),
    "datastore": (API, 2),
}
"""Type of the tool → class, and the activity of its call. Other types become API Activity."""

BY_TOOL_NAME: dict[str, int] = {"create": 1, "create_file": 1, "delete_file": 4}
"""Name of an editing tool → activity in File System Activity, if it is more precise."""

BY_KIND: dict[str, int] = {
    "session_start": 1,
    "user_message": 1,
    "model_message": 1,
    "model_call": 1,
    "reasoning": 1,
    "agent_run": 1,
    "usage_summary": 2,
    "compaction": 3,
    "state": 3,
}
"""Kind of event → activity in API Activity, for events that belong to no tool."""

_ACTION_KINDS = ("tool_call", "span")
"""Kinds that are the action itself: its result or permission must not count as a second launch."""


class Classification(NamedTuple):
    """The class and activity of an event."""

    event_class: EventClass
    activity_id: int
    activity_name: str


def classify(event: Event) -> Classification:
    """Return the class and activity of an event.

    Errors are Application Error; events of a tool go by the type of the tool; all others are API
    Activity.
    """
    if event.event_kind == "error":
        return Classification(ERROR, 1, ERROR.activities[1])
    event_class, activity = (
        _classify_tool(event) if event.tool_type else (API, BY_KIND.get(event.event_kind, OTHER))
    )
    return Classification(
        event_class, activity, event_class.activities.get(activity, event.event_kind)
    )


def _classify_tool(event: Event) -> tuple[EventClass, int]:
    event_class, activity = BY_TOOL_TYPE.get(event.tool_type or "", (API, OTHER))
    if event.event_kind not in _ACTION_KINDS:
        return event_class, OTHER
    if event.tool_type == "edit":
        activity = BY_TOOL_NAME.get((event.tool_name or "").lower(), activity)
    return event_class, activity


def class_table() -> str:
    """Return a Markdown table that shows which class each event becomes."""
    tools = [
        f"| tool `{kind}` | {_describe(event_class, activity)} |"
        for kind, (event_class, activity) in BY_TOOL_TYPE.items()
    ]
    tools += [
        f"| tool `edit` named `{name}` | {_describe(FILE, activity)} |"
        for name, activity in BY_TOOL_NAME.items()
    ]
    kinds = [f"| `{kind}` | {_describe(API, activity)} |" for kind, activity in BY_KIND.items()]
    rest = [
        f"| any other tool or kind | {_describe(API, OTHER)} |",
        "| a `tool_result` or `permission` of a tool | class of the tool · Other (99) |",
    ]
    return (
        "\n".join(
            (
                "| event | class · activity |",
                "|---|---|",
                f"| `error` | {_describe(ERROR, 1)} |",
                *tools,
                *kinds,
                *rest,
            )
        )
        + "\n"
    )


def _describe(event_class: EventClass, activity: int) -> str:
    name = event_class.activities.get(activity, "Other")
    return f"{event_class.name} {event_class.uid} · {name} ({activity})"
