"""Types of Copilot's events that are bookkeeping: known, and shipped as `state`."""

from __future__ import annotations

_SESSION = (
    "auto_mode_resolved autopilot_objective_changed background_tasks_changed binary_asset "
    "canvas.closed canvas.opened canvas.recorded canvas.registry_changed canvas.removed "
    "canvas.unavailable compaction_start context_cleared custom_agents_updated "
    "custom_notification extensions.attachments_pushed extensions_loaded handoff idle info "
    "limits_changed managed_settings_enforced managed_settings_resolved mcp_server_status_changed "
    "mcp_servers_loaded mode_changed mode_notice_delivered permissions_changed plan_changed "
    "remote_steerable_changed schedule_cancelled schedule_created schedule_rearmed "
    "session_limits_changed skills_loaded snapshot_rewind task_complete title_changed "
    "todos_changed tools_updated truncation usage_checkpoint usage_info warning "
    "workspace_file_changed"
)
_ASSISTANT = (
    "idle intent message_delta message_start reasoning_delta streaming_delta tool_call_delta "
    "turn_end turn_start"
)
_OTHERS = (
    "abort auto_mode_switch.completed auto_mode_switch.requested capabilities.changed "
    "command.completed command.execute command.queued commands.changed elicitation.completed "
    "elicitation.requested exit_plan_mode.completed exit_plan_mode.requested "
    "external_tool.completed external_tool.requested hook.end hook.progress hook.start "
    "mcp.headers_refresh_completed mcp.headers_refresh_required mcp.oauth_completed "
    "mcp.oauth_required model.call_finished pending_messages.modified sampling.completed "
    "sampling.requested skill.invoked subagent.configured subagent.deselected subagent.selected "
    "system.message system.notification tool.execution_partial_result tool.execution_progress "
    "tool.user_requested user_input.completed user_input.requested"
)

BOOKKEEPING: frozenset[str] = frozenset(
    (
        *_OTHERS.split(),
        *(f"session.{name}" for name in _SESSION.split()),
        *(f"assistant.{name}" for name in _ASSISTANT.split()),
    )
)
"""From the enumeration of github/copilot-sdk; a newer type is `unknown`, and counted."""
