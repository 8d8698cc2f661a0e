"""Which class and activity of OCSF 1.8.0 an event is: the one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tracesidecar.dialects import Event

OTHER = 99
"""The activity of what the class has no word for: `activity_name` says it then."""


@dataclass(frozen=True, slots=True)
class EventClass:
    """A class, the profiles that its records say they have, and the names of the activities used."""

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
"""Type of the tool → class, and the activity of its call.

Types that are not here are API Activity.
"""

BY_TOOL_NAME: dict[str, int] = {"create": 1, "create_file": 1, "delete_file": 4}
"""Activity in File System Activity, where the name of an editing tool says more than its type."""

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
"""Kind of event → activity in API Activity, for what is no tool's."""

_ACTS = ("tool_call", "span")
"""Only these are the act itself: what a result or a permission tells of must not be counted as a
second launch.
"""


class Routed(NamedTuple):
    """Class and activity of one event."""

    event_class: EventClass
    activity_id: int
    activity_name: str


def routed(event: Event) -> Routed:
    """Errors are Application Error; what is about a tool goes by the type of the tool; the rest is
    API Activity.
    """
    if event.event_kind == "error":
        return Routed(ERROR, 1, ERROR.activities[1])
    event_class, activity = (
        _of_tool(event) if event.tool_type else (API, BY_KIND.get(event.event_kind, OTHER))
    )
    return Routed(event_class, activity, event_class.activities.get(activity, event.event_kind))


def _of_tool(event: Event) -> tuple[EventClass, int]:
    event_class, activity = BY_TOOL_TYPE.get(event.tool_type or "", (API, OTHER))
    if event.event_kind not in _ACTS:
        return event_class, OTHER
    if event.tool_type == "edit":
        activity = BY_TOOL_NAME.get((event.tool_name or "").lower(), activity)
    return event_class, activity


def class_table() -> str:
    """Write how events become classes, as a Markdown table."""
    tools = [
        f"| tool `{kind}` | {_named(event_class, activity)} |"
        for kind, (event_class, activity) in BY_TOOL_TYPE.items()
    ]
    tools += [
        f"| tool `edit` named `{name}` | {_named(FILE, activity)} |"
        for name, activity in BY_TOOL_NAME.items()
    ]
    kinds = [f"| `{kind}` | {_named(API, activity)} |" for kind, activity in BY_KIND.items()]
    rest = [
        f"| any other tool or kind | {_named(API, OTHER)} |",
        "| a `tool_result` or `permission` of a tool | class of the tool · Other (99) |",
    ]
    return (
        "\n".join(
            (
                "| event | class · activity |",
                "|---|---|",
                f"| `error` | {_named(ERROR, 1)} |",
                *tools,
                *kinds,
                *rest,
            )
        )
        + "\n"
    )


def _named(event_class: EventClass, activity: int) -> str:
    return f"{event_class.name} {event_class.uid} · {event_class.activities.get(activity, 'Other')} ({activity})"
