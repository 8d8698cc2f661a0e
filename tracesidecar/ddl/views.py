"""The two views that give correct totals, in the SQL that all engines share."""

from __future__ import annotations

from tracesidecar.ddl.distinct import KEPT_ID, DeriveId, indent, select_identified
from tracesidecar.ddl.statement import Statement

_DESCRIPTION = (
    "dt, dialect, conversation_id, parent_conversation_id, agent_id, is_subagent, "
    "agent_name, user_id, host_name, git_repository,\n"
    "  event_time, provider_name, model"
)
_USAGE = (
    "input_tokens, cache_read_input_tokens, cache_creation_input_tokens, output_tokens, "
    "reasoning_output_tokens"
)
_MEASURES = f"{_USAGE},\n  cost_usd, cost_source, duration_ms, outcome, error_type"
_ADDED = "git_branch, project, cwd, request_id, service_tier, web_search_requests"
"""Columns that came later: PostgreSQL replaces a view only if they are at the end."""


def total_views(
    qualifier: str,
    *,
    events: str = "events",
    view_prefix: str = "",
    create: str = "CREATE OR REPLACE VIEW",
    derive_id: DeriveId | None = None,
) -> tuple[Statement, ...]:
    """Return both views over a table or view of events.

    `qualifier` is put before each name (`agent_traces.`), and `view_prefix` begins the names of
    the views. `derive_id` is None if the event id is the table's key.
    """
    source = f"{qualifier}{events}"
    calls, sessions = f"{view_prefix}model_calls", f"{view_prefix}session_totals"
    return (
        Statement(
            calls,
            "one row for each model call: sum tokens and cost over this",
            f"{create} {qualifier}{calls} AS\n{_model_calls(source, derive_id)}",
        ),
        Statement(
            sessions,
            f"conversations with totals only; they have no row in {calls}, so both may be added up",
            f"{create} {qualifier}{sessions} AS\n{_session_totals(source, derive_id)}",
        ),
    )


def _rows(events: str, scope: str, derive_id: DeriveId | None) -> tuple[str, str]:
    """Return the rows of a scope, as the end of a query for `e`, and the column with their ids."""
    condition = f"e.usage_scope = '{scope}'"
    if derive_id is None:
        return f"FROM {events} AS e\n  WHERE {condition}", "e.event_id"
    query = indent(select_identified(events, derive_id, condition), 4)
    return f"FROM (\n{query}\n  ) AS e\n  WHERE {condition}", f"e.{KEPT_ID}"


def _model_calls(events: str, derive_id: DeriveId | None) -> str:
    """Return the calls, each once.

    A call may have several rows, in one file or in a fork's. The row with the most output wins:
    earlier ones are written while it streams. If two recorders have the call, they share its
    request: then the row counts that also knows the directory, with cost and duration of the other.
    """
    rows, event_id = _rows(events, "call", derive_id)
    same = (
        "PARTITION BY CASE WHEN c.request_id IS NULL THEN c.dialect END, "
        "COALESCE(c.request_id, c.call_key)"
    )
    recorded = "CASE WHEN c.cost_source = 'recorded' THEN c.cost_usd END"
    return f"""SELECT {_DESCRIPTION}, call_key AS api_call_id,
  {_USAGE},
  COALESCE(recorded_cost, cost_usd) AS cost_usd,
  CASE WHEN recorded_cost IS NULL THEN cost_source ELSE 'recorded' END AS cost_source,
  COALESCE(duration_ms, recorded_duration) AS duration_ms, outcome, error_type,
  {_ADDED}
FROM (
  SELECT c.*,
    MAX({recorded}) OVER ({same}) AS recorded_cost,
    MAX(c.duration_ms) OVER ({same}) AS recorded_duration,
    ROW_NUMBER() OVER (
      {same}
      ORDER BY c.output_tokens DESC NULLS LAST, CASE WHEN c.cwd IS NULL THEN 1 ELSE 0 END,
        c.event_time DESC, c.row_id
    ) AS recorder
  FROM (
    SELECT e.*, {event_id} AS row_id, COALESCE(e.api_call_id, {event_id}) AS call_key,
      ROW_NUMBER() OVER (
        PARTITION BY e.dialect, COALESCE(e.api_call_id, {event_id})
        ORDER BY e.output_tokens DESC NULLS LAST, e.event_time DESC, {event_id}
      ) AS place
    {indent(rows, 2).lstrip()}
  ) AS c
  WHERE c.place = 1
) AS calls
WHERE recorder = 1"""


def _session_totals(events: str, derive_id: DeriveId | None) -> str:
    rows, event_id = _rows(events, "session_total", derive_id)
    is_same = "c.dialect = e.dialect AND c.conversation_id = e.conversation_id"
    return f"""SELECT {_DESCRIPTION},
  {_MEASURES},
  {_ADDED}
FROM (
  SELECT e.*,
    ROW_NUMBER() OVER (
      PARTITION BY e.dialect, e.conversation_id, COALESCE(e.api_call_id, {event_id}), e.model
      ORDER BY e.output_tokens DESC NULLS LAST, e.event_time DESC, {event_id}
    ) AS place
  {rows}
    AND NOT EXISTS (
      SELECT 1 FROM {events} AS c
      WHERE c.usage_scope = 'call' AND {is_same}
    )
) AS totals
WHERE place = 1"""
