"""The two views that give correct totals, in the SQL that all engines share."""

from __future__ import annotations

from tracesidecar.ddl.statement import Statement

_DESCRIPTION = (
    "dt, dialect, conversation_id, parent_conversation_id, agent_id, is_subagent, "
    "agent_name, user_id, host_name, git_repository,\n"
    "  event_time, provider_name, model"
)
_MEASURES = (
    "input_tokens, cache_read_input_tokens, cache_creation_input_tokens, output_tokens, "
    "reasoning_output_tokens,\n"
    "  cost_usd, cost_source, duration_ms, outcome, error_type"
)


def total_views(
    qualifier: str,
    *,
    events: str = "events",
    view_prefix: str = "",
    create: str = "CREATE OR REPLACE VIEW",
) -> tuple[Statement, ...]:
    """Return both views over a table or view of events.

    `qualifier` is put before each name (`agent_traces.`), and `view_prefix` begins the names of
    the views.
    """
    source = f"{qualifier}{events}"
    calls, sessions = f"{view_prefix}model_calls", f"{view_prefix}session_totals"
    return (
        Statement(
            calls,
            "one row for each model call: sum tokens and cost over this",
            f"{create} {qualifier}{calls} AS\n{_model_calls(source)}",
        ),
        Statement(
            sessions,
            f"conversations with totals only; they have no row in {calls}, so both may be added up",
            f"{create} {qualifier}{sessions} AS\n{_session_totals(source)}",
        ),
    )


def _model_calls(events: str) -> str:
    """Return the calls, each once.

    A call may have several rows, in one file or in a fork's. The row with the most output wins:
    earlier ones are written while it streams.
    """
    return f"""SELECT {_DESCRIPTION}, call_key AS api_call_id,
  {_MEASURES}
FROM (
  SELECT e.*, COALESCE(e.api_call_id, e.event_id) AS call_key,
    ROW_NUMBER() OVER (
      PARTITION BY e.dialect, COALESCE(e.api_call_id, e.event_id)
      ORDER BY e.output_tokens DESC NULLS LAST, e.event_time DESC, e.event_id
    ) AS place
  FROM {events} AS e
  WHERE e.usage_scope = 'call'
) AS calls
WHERE place = 1"""


def _session_totals(events: str) -> str:
    is_same = "c.dialect = e.dialect AND c.conversation_id = e.conversation_id"
    return f"""SELECT {_DESCRIPTION},
  {_MEASURES}
FROM (
  SELECT e.*,
    ROW_NUMBER() OVER (
      PARTITION BY e.dialect, e.conversation_id, COALESCE(e.api_call_id, e.event_id), e.model
      ORDER BY e.output_tokens DESC NULLS LAST, e.event_time DESC, e.event_id
    ) AS place
  FROM {events} AS e
  WHERE e.usage_scope = 'session_total'
    AND NOT EXISTS (
      SELECT 1 FROM {events} AS c
      WHERE c.usage_scope = 'call' AND {is_same}
    )
) AS totals
WHERE place = 1"""
