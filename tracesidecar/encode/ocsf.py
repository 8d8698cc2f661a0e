"""Records of format `ocsf`: events of the Open Cybersecurity Schema Framework 1.8.0."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from tracesidecar.dialects import COLUMNS, Event
from tracesidecar.encode.event_fields import count_duration, epoch_microseconds, parse_labels
from tracesidecar.encode.ocsf_classes import (
    API,
    ERROR,
    FILE,
    HTTP,
    PROCESS,
    Classification,
    EventClass,
    classify,
)
from tracesidecar.encode.severity import severity_of
from tracesidecar.model import Severity

VERSION = "1.8.0"
UNKNOWN = "unknown"
"""The value if the schema requires a name and the line has none."""

SEVERITIES: dict[Severity, tuple[int, str]] = {
    "informational": (1, "Informational"),
    "low": (2, "Low"),
    "medium": (3, "Medium"),
}
STATUSES: dict[str, tuple[int, str]] = {
    "success": (1, "Success"),
    "failure": (2, "Failure"),
    "unknown": (0, "Unknown"),
}
ROLES: dict[str, tuple[int, str]] = {
    "user": (1, "User"),
    "assistant": (2, "Assistant"),
    "tool": (3, "Tool"),
    "agent": (4, "Agent"),
}
SHA_256 = 3

_NAMES = {column.name: column.ocsf for column in COLUMNS}

COLUMN_MAPPING: Mapping[str, str] = {column: f"`{name}`" for column, name in _NAMES.items()} | {
    "schema_version": "`unmapped.schema_version`; `metadata.version` is that of OCSF",
    "event_id": "`metadata.uid`",
    "native_id": "`metadata.original_event_uid`; with a trace also `trace.span.uid`",
    "parent_id": "`trace.span.parent_uid` with a trace, else `unmapped.parent_id`",
    "trace_id": "`trace.uid` in API and HTTP Activity, else `unmapped.trace_id`",
    "conversation_id": "`actor.session.uid`, and `message_context.uid` in API and Process Activity",
    "event_time": "`time`, in milliseconds",
    "duration_ms": "`duration`, whole milliseconds",
    "ingest_time": "`metadata.logged_time`, in milliseconds",
    "event_kind": "`unmapped.event_kind`; decides class and `activity_id`",
    "operation_name": "`unmapped.operation_name`; `api.operation` where there is no tool",
    "role": "`message_context.ai_role_id` in API and Process Activity, else `unmapped.role`",
    "provider_name": (
        "`ai_model.ai_provider` in API and Process Activity with a model, else "
        "`unmapped.provider_name`"
    ),
    "model": "`ai_model.name` in API and Process Activity, else `unmapped.model`",
    "api_call_id": "`api.request.uid` where there is no tool call; `unmapped.api_call_id`",
    "finish_reason": "`unmapped.finish_reason`; `status_detail` where there is no error",
    "input_tokens": (
        "`message_context.prompt_tokens` in API and Process Activity, else `unmapped.input_tokens`"
    ),
    "output_tokens": (
        "`message_context.completion_tokens` in API and Process Activity, else "
        "`unmapped.output_tokens`"
    ),
    "tool_name": "`api.operation`, `process.name`, else `unmapped.tool_name`",
    "tool_type": "`unmapped.tool_type`; decides the class",
    "tool_call_id": (
        "`api.request.uid`, `process.uid`, `http_request.uid`, else `unmapped.tool_call_id`"
    ),
    "tool_arguments": ("`api.request.data`, else `unmapped.tool_arguments`"),
    "tool_result": "`api.response.data`, else `unmapped.tool_result`",
    "outcome": "`status_id`",
    "error_message": "`status_detail`; `message` of an error without text",
    "agent_name": (
        "`metadata.product.name`, `actor.app_name`, and "
        "`message_context.application.name` in API and Process Activity"
    ),
    "host_name": "`device.hostname`, and `src_endpoint.hostname` in API and HTTP Activity",
    "line_sha256": "`raw_data_hash.value`",
    "labels": '`metadata.labels`, as "key:value"',
    "command": "`process.cmd_line` in Process Activity, else `unmapped.command`",
    "file_path": "`file.path` in File System Activity, else `unmapped.file_path`",
    "url": "`http_request.url.url_string` in HTTP Activity, else `unmapped.url`",
    "exit_code": "`exit_code` in Process Activity, else `unmapped.exit_code`",
}

_UNMAPPED: tuple[str, ...] = (
    *(column for column, name in _NAMES.items() if name.startswith("unmapped.")),
    *(
        "schema_version",
        "event_kind",
        "operation_name",
        "api_call_id",
        "finish_reason",
        "tool_type",
        "command",
        "file_path",
        "url",
    ),
)
_MODEL_COLUMNS = ("role", "provider_name", "model", "input_tokens", "output_tokens")
_TOOL_COLUMNS = ("tool_name", "tool_call_id", "tool_arguments", "tool_result")

_encode = msgspec.json.Encoder().encode
Fields = dict[str, object]


def encode(event: Event, dialect: str) -> bytes:
    """Return an event as an OCSF event of its class."""
    return _encode(build_event(event, dialect))


def build_event(event: Event, dialect: str) -> Fields:
    """Return the OCSF event.

    Columns for which its class has no attribute are in `unmapped`, by their own names.
    """
    route = classify(event)
    unmapped = _columns(event, _UNMAPPED)
    found = _classification(event, route) | {
        "time": epoch_microseconds(event.event_time) // 1000,
        "duration": count_duration(event.duration_ms),
        "status_code": event.error_type,
        "status_detail": event.error_message or event.finish_reason,
        "message": event.text
        if event.text is not None or route.event_class is not ERROR
        else event.error_message,
        "metadata": _metadata(event, dialect, route.event_class),
        "actor": _actor(event),
        "device": _present(
            hostname=event.host_name, name=None if event.host_name else UNKNOWN, type_id=0
        ),
        "raw_data": event.raw,
        "raw_data_size": event.line_bytes,
        "raw_data_hash": {
            "algorithm_id": SHA_256,
            "algorithm": "SHA-256",
            "value": event.line_sha256,
        }
        if event.line_sha256
        else None,
    }
    _CLASS_FIELDS[route.event_class.uid](event, found, unmapped)
    found["unmapped"] = unmapped
    return _present(**found)


def _classification(event: Event, route: Classification) -> Fields:
    event_class = route.event_class
    severity_id, severity_name = SEVERITIES[severity_of(event)]
    activity = event_class.activities.get(route.activity_id, "Other")
    status_id, status = STATUSES.get(event.outcome or "", (None, None))
    return {
        "class_uid": event_class.uid,
        "class_name": event_class.name,
        "category_uid": event_class.category_uid,
        "category_name": event_class.category_name,
        "activity_id": route.activity_id,
        "activity_name": route.activity_name,
        "type_uid": event_class.uid * 100 + route.activity_id,
        "type_name": f"{event_class.name}: {activity}",
        "severity_id": severity_id,
        "severity": severity_name,
        "status_id": status_id,
        "status": status,
    }


def _present(**fields: object) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}


def _columns(event: Event, columns: tuple[str, ...]) -> Fields:
    return {column: value for column in columns if (value := getattr(event, column)) is not None}


def _metadata(event: Event, dialect: str, event_class: EventClass) -> Fields:
    return _present(
        version=VERSION,
        uid=event.event_id,
        product=_present(name=event.agent_name or UNKNOWN, version=event.agent_version),
        profiles=event_class.profiles or None,
        log_name=dialect,
        log_provider="tracesidecar",
        log_source=event.source_file,
        logged_time=epoch_microseconds(event.ingest_time) // 1000 if event.ingest_time else None,
        original_event_uid=event.native_id,
        correlation_uid=event.parent_conversation_id,
        is_truncated=event.truncated,
        labels=[f"{key}:{value}" for key, value in parse_labels(event.labels).items()] or None,
    )


def _actor(event: Event) -> Fields:
    return _present(
        app_name=event.agent_name or UNKNOWN,
        session={"uid": event.conversation_id} if event.conversation_id else None,
        user={"name": event.user_id} if event.user_id else None,
    )


def _endpoint(event: Event) -> Fields:
    return {"hostname": event.host_name} if event.host_name else {"name": UNKNOWN}


def _api_activity(event: Event, found: Fields, unmapped: Fields) -> None:
    uid = event.tool_call_id or event.api_call_id or event.event_id
    has_response = event.tool_result is not None or event.error_message is not None
    found["api"] = _present(
        operation=event.tool_name or event.operation_name or event.event_kind,
        request=_present(uid=uid, data=event.tool_arguments),
        response=_present(
            data=event.tool_result, error=event.error_type, error_message=event.error_message
        )
        if has_response
        else None,
    )
    found["src_endpoint"] = _endpoint(event)
    _add_model(event, found, unmapped)
    _add_trace(event, found, unmapped)


def _process_activity(event: Event, found: Fields, unmapped: Fields) -> None:
    found["process"] = _present(
        uid=event.tool_call_id or event.event_id,
        name=event.tool_name,
        cmd_line=unmapped.pop("command", None),
        working_directory=event.cwd,
    )
    found["exit_code"] = unmapped.pop("exit_code", None)
    unmapped |= _columns(event, ("tool_arguments", "tool_result", "trace_id", "parent_id"))
    _add_model(event, found, unmapped)


def _file_activity(event: Event, found: Fields, unmapped: Fields) -> None:
    unmapped.pop("file_path", None)
    path = event.file_path
    name = path.replace("\\", "/").rstrip("/").rpartition("/")[2] if path else ""
    found["file"] = _present(name=name or UNKNOWN, path=path, type_id=1 if name else 0)
    unmapped |= _columns(event, (*_TOOL_COLUMNS, *_MODEL_COLUMNS, "trace_id", "parent_id"))


def _http_activity(event: Event, found: Fields, unmapped: Fields) -> None:
    url = unmapped.pop("url", None)
    found["http_request"] = _present(
        uid=event.tool_call_id or event.event_id,
        http_method="GET",
        url={"url_string": url} if url else None,
    )
    found["src_endpoint"] = _endpoint(event)
    unmapped |= _columns(event, ("tool_name", "tool_arguments", "tool_result", *_MODEL_COLUMNS))
    _add_trace(event, found, unmapped)


def _application_error(event: Event, found: Fields, unmapped: Fields) -> None:  # noqa: ARG001 - all share one signature
    unmapped |= _columns(event, (*_TOOL_COLUMNS, *_MODEL_COLUMNS, "trace_id", "parent_id"))


def _add_model(event: Event, found: Fields, unmapped: Fields) -> None:
    """Add the attributes of the profile `ai_operation`."""
    role_id, role = ROLES.get(event.role or "", (99, event.role) if event.role else (None, None))
    tokens = [count for count in (event.input_tokens, event.output_tokens) if count is not None]
    found["message_context"] = _present(
        uid=event.conversation_id,
        application={"name": event.agent_name or UNKNOWN},
        ai_role_id=role_id,
        ai_role=role,
        prompt_tokens=event.input_tokens,
        completion_tokens=event.output_tokens,
        total_tokens=sum(tokens) if tokens else None,
    )
    if event.model is not None:
        found["ai_model"] = {"name": event.model, "ai_provider": event.provider_name or UNKNOWN}
    else:
        unmapped |= _columns(event, ("provider_name",))


def _add_trace(event: Event, found: Fields, unmapped: Fields) -> None:
    """Add the attributes of the profile `trace`: a span needs its trace, start and end."""
    if event.trace_id is None or event.native_id is None:
        unmapped |= _columns(event, ("trace_id", "parent_id"))
        return
    start = epoch_microseconds(event.event_time) // 1000
    span = _present(
        uid=event.native_id,
        parent_uid=event.parent_id,
        start_time=start,
        end_time=start + (count_duration(event.duration_ms) or 0),
    )
    found["trace"] = {"uid": event.trace_id, "span": span}


_CLASS_FIELDS: dict[int, Callable[[Event, Fields, Fields], None]] = {
    API.uid: _api_activity,
    PROCESS.uid: _process_activity,
    FILE.uid: _file_activity,
    HTTP.uid: _http_activity,
    ERROR.uid: _application_error,
}
