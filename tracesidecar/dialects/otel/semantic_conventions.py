"""Which attribute of which convention determines which column, by order of preference.

Sources: OpenTelemetry GenAI (semantic-conventions-genai, and what it deprecated), OpenInference
(spec/semantic_conventions.md), OpenLLMetry (semconv_ai), Vercel AI SDK (telemetry, v4 to v6),
Pydantic AI and Logfire, MLflow (attribute mapping), Langfuse over OTLP, codeburn (sync/otlp.ts),
Claude Code, Codex and Gemini CLI (log events).
"""

from __future__ import annotations

from tracesidecar.dialects.event import EventKind

COLUMNS: dict[str, tuple[str, ...]] = {
    "conversation_id": (
        "gen_ai.conversation.id",
        "session.id",
        "conversation.id",
        "langfuse.session.id",
        "traceloop.association.properties.session_id",
        "traceloop.association.properties.thread_id",
        "ai.telemetry.metadata.sessionId",
        "mlflow.trace.session",
        "langsmith.metadata.thread_id",
        "langsmith.metadata.session_id",
        "ai.session_id",
    ),
    "agent_id": ("gen_ai.agent.id", "agent.id"),
    "agent_name": ("gen_ai.agent.name", "agent_name", "agent.name", "ai.provider", "service.name"),
    "agent_version": ("gen_ai.agent.version", "app.version", "service.version"),
    "operation_name": ("gen_ai.operation.name",),
    "provider_name": (
        "gen_ai.provider.name",
        "gen_ai.system",
        "llm.provider",
        "llm.system",
        "ai.model.provider",
        "mlflow.llm.provider",
    ),
    "model": (
        "gen_ai.response.model",
        "ai.response.model",
        "gen_ai.request.model",
        "llm.model_name",
        "llm.response.model",
        "llm.request.model",
        "embedding.model_name",
        "ai.model.id",
        "mlflow.llm.model",
        "langfuse.observation.model.name",
        "model_name",
        "ai.model",
        "model",
    ),
    "api_call_id": (
        "gen_ai.response.id",
        "ai.response.id",
        "llm.response.id",
        "response_id",
    ),
    "request_id": (
        "request_id",
        "gen_ai.response.request_id",
        "http.response.header.request-id",
        "http.response.header.x-request-id",
    ),
    "service_tier": (
        "gen_ai.response.service_tier",
        "openai.response.service_tier",
        "gen_ai.openai.response.service_tier",
        "gen_ai.request.service_tier",
        "openai.request.service_tier",
        "gen_ai.openai.request.service_tier",
        "service_tier",
    ),
    "finish_reason": (
        "gen_ai.response.finish_reasons",
        "ai.response.finishReason",
        "llm.finish_reason",
        "llm.response.finish_reason",
        "llm.response.stop_reason",
        "gen_ai.completion.0.finish_reason",
        "stop_reason",
    ),
    "input_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        "llm.usage.prompt_tokens",
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
        "ai.usage.tokens",
        "ai.input_tokens",
        "input_tokens",
        "input_token_count",
    ),
    "cache_read_input_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.details.cache_read_tokens",
        "gen_ai.usage.details.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
        "ai.usage.inputTokenDetails.cacheReadTokens",
        "ai.usage.cachedInputTokens",
        "cache_read_tokens",
        "cached_content_token_count",
        "cached_token_count",
    ),
    "cache_creation_input_tokens": (
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.details.cache_write_tokens",
        "gen_ai.usage.details.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
        "ai.usage.inputTokenDetails.cacheWriteTokens",
        "cache_creation_tokens",
        "cache_write_token_count",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
        "ai.output_tokens",
        "output_tokens",
        "output_token_count",
    ),
    "reasoning_output_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
        "llm.usage.reasoning_tokens",
        "ai.usage.outputTokenDetails.reasoningTokens",
        "ai.usage.reasoningTokens",
        "thoughts_token_count",
        "reasoning_token_count",
    ),
    "cost_usd": (
        "operation.cost",
        "llm.cost.total",
        "gen_ai.usage.cost",
        "gen_ai.cost.total_cost",
        "cost_usd",
        "ai.cost_usd",
    ),
    "tool_name": (
        "gen_ai.tool.name",
        "tool.name",
        "ai.toolCall.name",
        "tool_name",
        "function_name",
    ),
    "tool_type": ("gen_ai.tool.type", "tool_type"),
    "tool_call_id": (
        "gen_ai.tool.call.id",
        "tool_call.id",
        "tool.id",
        "ai.toolCall.id",
        "tool_use_id",
        "call_id",
    ),
    "tool_arguments": (
        "gen_ai.tool.call.arguments",
        "tool.parameters",
        "ai.toolCall.args",
        "tool_arguments",
        "tool_input",
        "tool_parameters",
        "function_args",
        "arguments",
    ),
    "tool_result": ("gen_ai.tool.call.result", "ai.toolCall.result", "tool_response", "output"),
    "duration_ms": ("duration_ms",),
    "error_type": (
        "error.type",
        "exception.type",
        "error_type",
        "status_code",
        "http.response.status_code",
    ),
    "error_message": ("exception.message", "error.message", "error"),
    "user_id": (
        "user.id",
        "enduser.id",
        "langfuse.user.id",
        "user.account_uuid",
        "user.email",
        "traceloop.association.properties.user_id",
    ),
    "cwd": ("process.working_directory",),
    "git_repository": ("vcs.repository.url.full", "git.repo"),
    "git_branch": ("vcs.ref.head.name",),
}

INPUTS = (
    "traceloop.entity.input",
    "input.value",
    "mlflow.spanInputs",
    "langfuse.observation.input",
)
"""The input of a span, in conventions with one name for all kinds: the arguments of a tool."""
OUTPUTS = (
    "traceloop.entity.output",
    "output.value",
    "mlflow.spanOutputs",
    "langfuse.observation.output",
)
"""The output of a span: the result of a tool, else its text."""
ANSWERS = (
    "gen_ai.output.messages",
    "gen_ai.completion",
    "gen_ai.completion.0.content",
    "llm.output_messages.0.message.content",
    "llm.output_messages.0.message.contents.0.message_content.text",
    "ai.response.text",
    "ai.response.object",
    "response_text",
    "final_result",
    *OUTPUTS,
)
"""What a model or an agent said."""
PROMPTS = ("prompt", "user_prompt", "content")
"""What a user said, in log events."""

ENTITY_NAME = "traceloop.entity.name"
USAGE_OBJECT = "mlflow.chat.tokenUsage"
COST_OBJECT = "mlflow.llm.cost"

KIND_ATTRIBUTES = (
    "gen_ai.operation.name",
    "openinference.span.kind",
    "traceloop.span.kind",
    "llm.request.type",
    "ai.operationId",
    "mlflow.spanType",
    "langfuse.observation.type",
    "langsmith.span.kind",
    "span.type",
)
"""The attributes that say what kind of span it is.

The first that has a value of SPAN_KINDS decides.
"""

SPAN_KINDS: dict[str, tuple[EventKind, str]] = {
    # OpenTelemetry GenAI
    "chat": ("model_call", "chat"),
    "generate_content": ("model_call", "generate_content"),
    "text_completion": ("model_call", "text_completion"),
    "embeddings": ("model_call", "embeddings"),
    "fine_tuning": ("span", "fine_tuning"),
    "execute_tool": ("tool_call", "execute_tool"),
    "invoke_agent": ("agent_run", "invoke_agent"),
    "invoke_workflow": ("agent_run", "invoke_workflow"),
    "create_agent": ("state", "create_agent"),
    "retrieval": ("span", "retrieval"),
    "plan": ("span", "plan"),
    # OpenInference, MLflow, Langfuse, OpenLLMetry; lower case
    "llm": ("model_call", "chat"),
    "chat_model": ("model_call", "chat"),
    "generation": ("model_call", "chat"),
    "completion": ("model_call", "text_completion"),
    "embedding": ("model_call", "embeddings"),
    "tool": ("tool_call", "execute_tool"),
    "agent": ("agent_run", "invoke_agent"),
    "workflow": ("agent_run", "invoke_workflow"),
    "chain": ("span", "chain"),
    "task": ("span", "task"),
    "retriever": ("span", "retrieval"),
    "reranker": ("span", "rerank"),
    "rerank": ("span", "rerank"),
    "guardrail": ("span", "guardrail"),
    "evaluator": ("span", "evaluator"),
    "parser": ("span", "parser"),
    "memory": ("span", "memory"),
    "prompt": ("span", "prompt"),
    "event": ("state", "event"),
    # Vercel AI SDK: an outer span has the sum of its inner calls
    "ai.generatetext": ("agent_run", "invoke_agent"),
    "ai.streamtext": ("agent_run", "invoke_agent"),
    "ai.generateobject": ("agent_run", "invoke_agent"),
    "ai.streamobject": ("agent_run", "invoke_agent"),
    "ai.generatetext.dogenerate": ("model_call", "chat"),
    "ai.streamtext.dostream": ("model_call", "chat"),
    "ai.generateobject.dogenerate": ("model_call", "chat"),
    "ai.streamobject.dostream": ("model_call", "chat"),
    "ai.toolcall": ("tool_call", "execute_tool"),
    "ai.embed": ("agent_run", "embeddings"),
    "ai.embedmany": ("agent_run", "embeddings"),
    "ai.embed.doembed": ("model_call", "embeddings"),
    "ai.embedmany.doembed": ("model_call", "embeddings"),
    # Claude Code
    "llm_request": ("model_call", "chat"),
    "interaction": ("agent_run", "invoke_agent"),
    "tool.execution": ("span", "tool.execution"),
    "tool.blocked_on_user": ("permission", "tool.blocked_on_user"),
}

SPAN_NAMES: tuple[tuple[str, str], ...] = (
    ("chat ", "chat"),
    ("execute_tool ", "execute_tool"),
    ("running tool", "execute_tool"),
    ("invoke_agent ", "invoke_agent"),
    ("agent run", "invoke_agent"),
    ("ai.", ""),
)
"""How the names of spans begin whose attributes do not say the kind.

An empty operation stands for the name itself.
"""

BESIDE_INPUT = frozenset(("cache_read_tokens", "cache_creation_tokens"))
"""Claude Code counts these beside its input_tokens; all others count them within the input."""
BESIDE_OUTPUT = frozenset(("thoughts_token_count",))
"""Gemini CLI counts reasoning beside its output."""

TELLING_EVENTS = frozenset(
    ("exception", "gen_ai.content.completion", "gen_ai.client.inference.operation.details")
)
"""Events of a span whose attributes describe the span itself."""

LOG_KINDS: dict[str, EventKind] = {
    "gen_ai.client.inference.operation.details": "model_call",
    "gen_ai.choice": "model_message",
    # Every call sends the history again.
    "gen_ai.user.message": "state",
    "gen_ai.system.message": "state",
    "gen_ai.assistant.message": "state",
    "gen_ai.tool.message": "state",
    "gen_ai.evaluation.result": "state",
    "exception": "error",
}
AGENT_PREFIXES = ("claude_code.", "codex.", "gemini_cli.", "qwen-code.", "iflow_cli.")
AGENT_LOG_KINDS: dict[str, EventKind] = {
    "user_prompt": "user_message",
    "assistant_response": "model_message",
    "api_request": "model_call",
    "api_response": "model_call",
    "sse_event": "model_call",
    "websocket_event": "model_call",
    "api_error": "error",
    "api_refusal": "error",
    "api_retries_exhausted": "error",
    "internal_error": "error",
    "tool_result": "tool_result",
    "tool_call": "tool_result",
    "tool_decision": "permission",
    "conversation_starts": "session_start",
    "config": "session_start",
    "conversation_finished": "session_end",
    "chat_compression": "compaction",
    "compaction": "compaction",
}
"""Log events of coding agents, without the name of the program.

Gemini CLI writes a tool_call when the tool is done.
"""
LOG_OPERATIONS: dict[EventKind, str] = {"model_call": "chat", "tool_result": "execute_tool"}
