"""The canonical event: one flat row with a fixed set of columns.

This is the one schema from which tables, JSON Schema and documentation are generated.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

SCHEMA_VERSION = 3
"""1: ids without source and place of the file, no `generation` and no `processed_by`. 2: without
the columns from `request_id` on; some lines were of another kind.
"""

IDS_BY_PLACE = 2
"""The first version whose ids have the source and the place of the file."""

EventKind = Literal[
    "session_start",
    "session_end",
    "user_message",
    "model_message",
    "model_call",
    "reasoning",
    "tool_call",
    "tool_result",
    "permission",
    "agent_run",
    "compaction",
    "error",
    "usage_summary",
    "state",
    "span",
    "unknown",
]
"""What kind of event a row is.

A `model_call` has usage or is the API call itself, a `model_message` is text without usage, and
`state` is bookkeeping or text that another line has too.
"""

TimeSource = Literal["line", "carried", "file", "ingest", "beyond_limit"]
UsageScope = Literal[
    "call", "partial", "repeat", "cumulative", "agent_total", "session_total", "implausible"
]
Outcome = Literal["success", "failure", "unknown"]
LineState = Literal["ok", "repaired"]
UserSource = Literal["line", "home"]


def _column(
    doc: str,
    *,
    unit: str = "",
    otel: str = "",
    ecs: str = "",
    ocsf: str = "",
    required: bool = False,
) -> Meta:
    return Meta(
        description=doc,
        extra={"unit": unit, "otel": otel, "ecs": ecs, "ocsf": ocsf, "required": required},
    )


class Event(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One canonical event.

    None means that the source does not say; 0 is a measured zero. Nested values are JSON
    strings.

    A mapper sets the columns that its line determines; the interpreter, the batch and the
    encoder set the others. Columns are only ever added, at the end, and never change their
    type. `dt` and `dialect` are partitions: they are in the path in a lake, and in the row
    everywhere else.
    """

    schema_version: Annotated[
        int | None,
        _column(
            "Version of this schema", ecs="ecs.version", ocsf="metadata.version", required=True
        ),
    ] = None
    event_id: Annotated[
        str | None,
        _column(
            "Key of the event: the same whenever the line is read again, on any host",
            otel="log.record.uid",
            ecs="event.id",
            ocsf="metadata.uid",
            required=True,
        ),
    ] = None
    native_id: Annotated[
        str | None,
        _column(
            "The line's own id, or span id",
            otel="span_id",
            ecs="span.id",
            ocsf="metadata.original_event_uid",
        ),
    ] = None
    parent_id: Annotated[
        str | None,
        _column(
            "native_id of the parent",
            otel="parent_span_id",
            ecs="parent.id",
            ocsf="trace.span.parent_uid",
        ),
    ] = None
    trace_id: Annotated[
        str | None,
        _column(
            "Trace that the event belongs to", otel="trace_id", ecs="trace.id", ocsf="trace.uid"
        ),
    ] = None
    conversation_id: Annotated[
        str | None,
        _column(
            "Conversation (session, thread); from name and place of the file if no line has it",
            otel="gen_ai.conversation.id",
            ecs="tracesidecar.conversation_id",
            ocsf="actor.session.uid",
            required=True,
        ),
    ] = None
    parent_conversation_id: Annotated[
        str | None,
        _column(
            "Conversation this one was forked or spawned from",
            ecs="labels.parent_conversation_id",
            ocsf="metadata.correlation_uid",
        ),
    ] = None
    agent_id: Annotated[
        str | None,
        _column(
            "Agent within the conversation",
            otel="gen_ai.agent.id",
            ecs="gen_ai.agent.id",
            ocsf="unmapped.agent_id",
        ),
    ] = None
    is_subagent: Annotated[
        bool | None,
        _column(
            "The agent was started by another",
            ecs="tracesidecar.is_subagent",
            ocsf="unmapped.is_subagent",
        ),
    ] = None
    event_time: Annotated[
        str | None,
        _column(
            "When it happened, RFC 3339 with microseconds and Z",
            otel="timeUnixNano",
            ecs="@timestamp",
            ocsf="time",
            required=True,
        ),
    ] = None
    event_time_source: Annotated[
        TimeSource | None,
        _column(
            "Where event_time comes from: the line, an earlier line, the file, "
            "or the time of shipping; beyond_limit: the row is in the partition of the day of "
            "arrival, because its batch had too many days (limits.partitions)",
            ecs="tracesidecar.event_time_source",
            ocsf="unmapped.event_time_source",
            required=True,
        ),
    ] = None
    duration_ms: Annotated[
        float | None,
        _column(
            "How long it took: as recorded, or end minus start (of a tool, result minus call)",
            unit="ms",
            otel="span duration",
            ecs="event.duration",
            ocsf="duration",
        ),
    ] = None
    ingest_time: Annotated[
        str | None,
        _column(
            "When the batch was planned",
            otel="observedTimeUnixNano",
            ecs="event.ingested",
            ocsf="metadata.logged_time",
            required=True,
        ),
    ] = None
    event_kind: Annotated[
        EventKind,
        _column(
            "What kind of event it is",
            otel="event name",
            ecs="event.action",
            ocsf="activity_id",
            required=True,
        ),
    ]
    operation_name: Annotated[
        str | None,
        _column(
            "chat, execute_tool, invoke_agent, …",
            otel="gen_ai.operation.name",
            ecs="gen_ai.operation.name",
            ocsf="api.operation",
        ),
    ] = None
    role: Annotated[
        str | None,
        _column(
            "user, assistant, tool or system", ecs="labels.role", ocsf="message_context.ai_role_id"
        ),
    ] = None
    text: Annotated[
        str | None,
        _column(
            "What was said, at most 32 KiB",
            otel="gen_ai.input.messages / gen_ai.output.messages",
            ecs="message",
            ocsf="message",
        ),
    ] = None
    provider_name: Annotated[
        str | None,
        _column(
            "Provider that serves the model",
            otel="gen_ai.provider.name",
            ecs="gen_ai.provider.name",
            ocsf="ai_model.ai_provider",
        ),
    ] = None
    model: Annotated[
        str | None,
        _column(
            "Model of the response, else of the request",
            otel="gen_ai.response.model",
            ecs="gen_ai.response.model",
            ocsf="ai_model.name",
        ),
    ] = None
    api_call_id: Annotated[
        str | None,
        _column(
            "Key of one model call: rows with the same key are one call",
            otel="gen_ai.response.id",
            ecs="gen_ai.response.id",
            ocsf="api.request.uid",
        ),
    ] = None
    finish_reason: Annotated[
        str | None,
        _column(
            "Why the model stopped",
            otel="gen_ai.response.finish_reasons",
            ecs="tracesidecar.finish_reason",
            ocsf="status_detail",
        ),
    ] = None
    input_tokens: Annotated[
        int | None,
        _column(
            "Tokens read, cache included",
            unit="tokens",
            otel="gen_ai.usage.input_tokens",
            ecs="gen_ai.usage.input_tokens",
            ocsf="message_context.prompt_tokens",
        ),
    ] = None
    cache_read_input_tokens: Annotated[
        int | None,
        _column(
            "Part of input_tokens that came from a cache",
            unit="tokens",
            otel="gen_ai.usage.cache_read.input_tokens",
            ecs="tracesidecar.usage.cache_read_input_tokens",
            ocsf="unmapped.cache_read_input_tokens",
        ),
    ] = None
    cache_creation_input_tokens: Annotated[
        int | None,
        _column(
            "Part of input_tokens that was written to a cache",
            unit="tokens",
            otel="gen_ai.usage.cache_creation.input_tokens",
            ecs="tracesidecar.usage.cache_creation_input_tokens",
            ocsf="unmapped.cache_creation_input_tokens",
        ),
    ] = None
    output_tokens: Annotated[
        int | None,
        _column(
            "Tokens written, reasoning included",
            unit="tokens",
            otel="gen_ai.usage.output_tokens",
            ecs="gen_ai.usage.output_tokens",
            ocsf="message_context.completion_tokens",
        ),
    ] = None
    reasoning_output_tokens: Annotated[
        int | None,
        _column(
            "Part of output_tokens that was reasoning",
            unit="tokens",
            otel="gen_ai.usage.reasoning.output_tokens",
            ecs="tracesidecar.usage.reasoning_output_tokens",
            ocsf="unmapped.reasoning_output_tokens",
        ),
    ] = None
    usage_scope: Annotated[
        UsageScope | None,
        _column(
            "What the token columns cover; only `call` may be summed, one row for each "
            "api_call_id; others contradict what is `implausible`",
            ecs="tracesidecar.usage_scope",
            ocsf="unmapped.usage_scope",
        ),
    ] = None
    cost_usd: Annotated[
        float | None,
        _column(
            "Cost of the call", unit="USD", ecs="tracesidecar.cost_usd", ocsf="unmapped.cost_usd"
        ),
    ] = None
    cost_source: Annotated[
        str | None,
        _column(
            "`recorded`, or `computed:<version of the price table>`",
            ecs="tracesidecar.cost_source",
            ocsf="unmapped.cost_source",
        ),
    ] = None
    tool_name: Annotated[
        str | None,
        _column(
            "Tool that was called; found by tool_call_id if the line does not name it",
            otel="gen_ai.tool.name",
            ecs="gen_ai.tool.name",
            ocsf="api.operation",
        ),
    ] = None
    tool_type: Annotated[
        str | None,
        _column(
            "function, extension, datastore, mcp, shell, edit, read, search or web; "
            "decides the class in OCSF",
            otel="gen_ai.tool.type",
            ecs="gen_ai.tool.type",
            ocsf="class_uid",
        ),
    ] = None
    tool_call_id: Annotated[
        str | None,
        _column(
            "Connects a call and its result",
            otel="gen_ai.tool.call.id",
            ecs="gen_ai.tool.call.id",
            ocsf="api.request.uid",
        ),
    ] = None
    tool_arguments: Annotated[
        str | None,
        _column(
            "Arguments as a JSON string, at most 32 KiB; JSON also if truncated",
            otel="gen_ai.tool.call.arguments",
            ecs="gen_ai.tool.call.arguments",
            ocsf="api.request.data",
        ),
    ] = None
    tool_result: Annotated[
        str | None,
        _column(
            "Result as text or a JSON string, at most 32 KiB; JSON also if truncated",
            otel="gen_ai.tool.call.result",
            ecs="gen_ai.tool.call.result",
            ocsf="api.response.data",
        ),
    ] = None
    outcome: Annotated[
        Outcome | None,
        _column(
            "success, failure or unknown", otel="span status", ecs="event.outcome", ocsf="status_id"
        ),
    ] = None
    error_type: Annotated[
        str | None,
        _column(
            "Kind of error, one of few values",
            otel="error.type",
            ecs="error.type",
            ocsf="status_code",
        ),
    ] = None
    error_message: Annotated[
        str | None,
        _column(
            "What the error said",
            otel="exception.message",
            ecs="error.message",
            ocsf="status_detail",
        ),
    ] = None
    agent_name: Annotated[
        str | None,
        _column(
            "Program that wrote the trace",
            otel="gen_ai.agent.name",
            ecs="gen_ai.agent.name",
            ocsf="metadata.product.name",
        ),
    ] = None
    agent_version: Annotated[
        str | None,
        _column(
            "Its version",
            otel="gen_ai.agent.version",
            ecs="service.version",
            ocsf="metadata.product.version",
        ),
    ] = None
    user_id: Annotated[
        str | None,
        _column(
            "User that the line names, else the one whose home folder the file is in",
            otel="user.id",
            ecs="user.id",
            ocsf="actor.user.name",
        ),
    ] = None
    host_name: Annotated[
        str | None,
        _column(
            "Host that shipped it", otel="host.name", ecs="host.name", ocsf="src_endpoint.hostname"
        ),
    ] = None
    cwd: Annotated[
        str | None,
        _column(
            "Working directory of the agent", ecs="process.working_directory", ocsf="unmapped.cwd"
        ),
    ] = None
    git_repository: Annotated[
        str | None,
        _column(
            "Repository",
            otel="vcs.repository.url.full",
            ecs="labels.git_repository",
            ocsf="unmapped.git_repository",
        ),
    ] = None
    git_branch: Annotated[
        str | None,
        _column(
            "Branch", otel="vcs.ref.head.name", ecs="labels.git_branch", ocsf="unmapped.git_branch"
        ),
    ] = None
    source_file: Annotated[
        str | None,
        _column(
            "Path of the trace file, redacted",
            otel="log.file.path",
            ecs="log.file.path",
            ocsf="metadata.log_source",
            required=True,
        ),
    ] = None
    source_line: Annotated[
        int | None,
        _column(
            "Line of the file, from 1",
            ecs="tracesidecar.source_line",
            ocsf="unmapped.source_line",
            required=True,
        ),
    ] = None
    source_offset: Annotated[
        int | None,
        _column(
            "Where the line begins in the (decompressed) file",
            unit="bytes",
            ecs="log.offset",
            ocsf="unmapped.source_offset",
            required=True,
        ),
    ] = None
    line_bytes: Annotated[
        int | None,
        _column(
            "Length of the original line",
            unit="bytes",
            ecs="tracesidecar.line_bytes",
            ocsf="raw_data_size",
            required=True,
        ),
    ] = None
    line_sha256: Annotated[
        str | None,
        _column(
            "SHA-256 of the redacted line, hexadecimal",
            ecs="event.hash",
            ocsf="raw_data_hash",
            required=True,
        ),
    ] = None
    line_state: Annotated[
        LineState | None,
        _column(
            "ok or repaired",
            ecs="tracesidecar.line_state",
            ocsf="unmapped.line_state",
            required=True,
        ),
    ] = None
    redaction_count: Annotated[
        int | None,
        _column(
            "Redaction markers in the line",
            ecs="tracesidecar.redaction.count",
            ocsf="unmapped.redaction_count",
            required=True,
        ),
    ] = None
    redaction_kinds: Annotated[
        str | None,
        _column(
            "Rules of the redaction markers, as `rule:count,rule:count`",
            ecs="tracesidecar.redaction.kinds",
            ocsf="unmapped.redaction_kinds",
            required=True,
        ),
    ] = None
    truncated: Annotated[
        bool | None,
        _column(
            "A value of the row was truncated",
            ecs="tracesidecar.truncated",
            ocsf="metadata.is_truncated",
            required=True,
        ),
    ] = None
    supersedes: Annotated[
        bool | None,
        _column(
            "Replaces earlier rows with the same native_id",
            ecs="tracesidecar.supersedes",
            ocsf="unmapped.supersedes",
        ),
    ] = None
    raw: Annotated[
        str | None,
        _column(
            "The redacted line; stubs replace big blobs",
            otel="log.record.original",
            ecs="event.original",
            ocsf="raw_data",
        ),
    ] = None
    labels: Annotated[
        str | None,
        _column("Labels of the source, as a JSON object", ecs="labels", ocsf="metadata.labels"),
    ] = None
    exit_code: Annotated[
        int | None,
        _column(
            "Exit code of the command that a tool ran",
            otel="process.exit.code",
            ecs="process.exit_code",
            ocsf="unmapped.exit_code",
        ),
    ] = None
    generation: Annotated[
        int | None,
        _column(
            "Which of the files that had this name and the same first line, from 0",
            ecs="tracesidecar.generation",
            ocsf="unmapped.generation",
            required=True,
        ),
    ] = None
    processed_by: Annotated[
        str | None,
        _column(
            "Version of the program, and digest of the rules by which it redacted and interpreted",
            ecs="tracesidecar.processed_by",
            ocsf="unmapped.processed_by",
            required=True,
        ),
    ] = None
    request_id: Annotated[
        str | None,
        _column(
            "Id of the request, as the provider answered it: what two recorders of a call share",
            ecs="http.request.id",
            ocsf="unmapped.request_id",
        ),
    ] = None
    service_tier: Annotated[
        str | None,
        _column(
            "Tier that the call was served in: standard, batch, flex, priority, …",
            otel="openai.response.service_tier",
            ecs="tracesidecar.service_tier",
            ocsf="unmapped.service_tier",
        ),
    ] = None
    web_search_requests: Annotated[
        int | None,
        _column(
            "Searches of the web that the provider made for the call, and charges for",
            ecs="tracesidecar.usage.web_search_requests",
            ocsf="unmapped.web_search_requests",
        ),
    ] = None
    command: Annotated[
        str | None,
        _column(
            "Command line that a tool was asked to run, at most 32 KiB; of a result, the first "
            "256 bytes of it",
            otel="process.command_line",
            ecs="process.command_line",
            ocsf="process.cmd_line",
        ),
    ] = None
    file_path: Annotated[
        str | None,
        _column(
            "File that a tool was asked for, the first one of a patch",
            otel="file.path",
            ecs="file.path",
            ocsf="file.path",
        ),
    ] = None
    url: Annotated[
        str | None,
        _column(
            "Address that a tool was asked for",
            otel="url.full",
            ecs="url.original",
            ocsf="http_request.url.url_string",
        ),
    ] = None
    parent_tool_call_id: Annotated[
        str | None,
        _column(
            "tool_call_id of the call that started the subagent",
            ecs="tracesidecar.parent_tool_call_id",
            ocsf="unmapped.parent_tool_call_id",
        ),
    ] = None
    user_source: Annotated[
        UserSource | None,
        _column(
            "Where user_id comes from: the line, or the home folder that the file is in",
            ecs="tracesidecar.user_source",
            ocsf="unmapped.user_source",
        ),
    ] = None
    project: Annotated[
        str | None,
        _column(
            "Name of the repository, else of the working directory",
            ecs="labels.project",
            ocsf="unmapped.project",
        ),
    ] = None
    connector: Annotated[
        str | None,
        _column(
            "System that an action reached through a connector",
            ecs="tracesidecar.connector",
            ocsf="unmapped.connector",
        ),
    ] = None
    asset_id: Annotated[
        str | None,
        _column(
            "Machine or other asset that an action was about",
            ecs="tracesidecar.asset_id",
            ocsf="unmapped.asset_id",
        ),
    ] = None
    category: Annotated[
        str | None,
        _column(
            "Category that the agent's documentation puts the event in",
            ecs="tracesidecar.category",
            ocsf="unmapped.category",
        ),
    ] = None
    iteration: Annotated[
        int | None,
        _column(
            "Iteration of the agent's loop",
            ecs="tracesidecar.iteration",
            ocsf="unmapped.iteration",
        ),
    ] = None
