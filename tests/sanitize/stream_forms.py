"""Formats that stream a text over several lines: invented lines in the shapes that agents write."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, NamedTuple

Path = tuple[str | int, ...]


def as_text(value: Any) -> str:
    """Return a piece that is a string."""
    return str(value)


def from_base64(value: Any) -> str:
    """Return what a piece in base64 means."""
    return base64.b64decode(value).decode()


def from_numbers(value: Any) -> str:
    """Return what a list of bytes means."""
    return bytes(value).decode()


class Form(NamedTuple):
    """How a format carries a piece: the line, where the piece is in it, and what it means."""

    line: Callable[[str, int], dict[str, Any]]
    path: Path
    decode: Callable[[Any], str] = as_text


def b64(text: str) -> str:
    """Encode a piece."""
    return base64.b64encode(text.encode()).decode()


def delta(**members: Any) -> dict[str, Any]:
    """Return a chunk of a chat completion with one choice."""
    return {"id": "c1", "object": "chat.completion.chunk", "choices": [{"index": 0, **members}]}


FORMS: dict[str, Form] = {
    "Attocode": Form(
        lambda t, i: {
            "event_id": f"{i:012x}",
            "kind": "llm_response",
            "timestamp": 1795198818.6 + i,
            "session_id": "trace-1",
            "data": {"metadata": {"chunk_type": "text", "content": t}},
        },
        ("data", "metadata", "content"),
    ),
    "Attocode, thinking": Form(
        lambda t, i: {
            "event_id": f"{i:012x}",
            "kind": "llm_response",
            "data": {"metadata": {"chunk_type": "thinking", "content": t}},
        },
        ("data", "metadata", "content"),
    ),
    "Copilot, message": Form(
        lambda t, i: {
            "type": "assistant.message_delta",
            "id": f"00000000-0000-4000-8000-{i:012d}",
            "timestamp": f"2026-09-01T10:{i // 60:02d}:{i % 60:02d}.000Z",
            "data": {"messageId": "m", "deltaContent": t},
        },
        ("data", "deltaContent"),
    ),
    "Copilot, reasoning": Form(
        lambda t, i: {
            "type": "assistant.reasoning_delta",
            "id": f"{i}",
            "data": {"reasoningId": "r", "deltaContent": t},
        },
        ("data", "deltaContent"),
    ),
    "Copilot, output of a tool": Form(
        lambda t, i: {
            "type": "tool.execution_partial_result",
            "id": f"{i}",
            "data": {"toolCallId": "c", "partialOutput": t},
        },
        ("data", "partialOutput"),
    ),
    "Kimi, text": Form(
        lambda t, i: {
            "timestamp": 1788250000.0 + i,
            "message": {"type": "ContentPart", "payload": {"type": "text", "text": t}},
        },
        ("message", "payload", "text"),
    ),
    "Kimi, thinking": Form(
        lambda t, i: {
            "timestamp": 1788250000.0 + i,
            "message": {"type": "ContentPart", "payload": {"type": "think", "think": t}},
        },
        ("message", "payload", "think"),
    ),
    "Kimi, arguments": Form(
        lambda t, i: {
            "timestamp": 1788250000.0 + i,
            "message": {"type": "ToolCallPart", "payload": {"arguments_part": t}},
        },
        ("message", "payload", "arguments_part"),
    ),
    "Gemini API": Form(
        lambda t, i: {
            "candidates": [{"content": {"role": "model", "parts": [{"text": t}]}, "index": 0}],
            "responseId": "r",
        },
        ("candidates", 0, "content", "parts", 0, "text"),
    ),
    "Gemini API in a response": Form(
        lambda t, i: {
            "response": {"candidates": [{"content": {"parts": [{"text": t}], "role": "model"}}]},
            "n": i,
        },
        ("response", "candidates", 0, "content", "parts", 0, "text"),
    ),
    "Gemini CLI": Form(
        lambda t, i: {
            "type": "message",
            "timestamp": f"2026-09-01T10:00:00.{i:03d}Z",
            "role": "assistant",
            "content": t,
            "delta": True,
        },
        ("content",),
    ),
    "Cursor": Form(
        lambda t, i: {
            "type": "assistant",
            "message": {"role": "assistant", "content": [{"type": "text", "text": t}]},
            "session_id": "s",
            "timestamp_ms": 1788250000000 + i,
        },
        ("message", "content", 0, "text"),
    ),
    "Cursor, thinking": Form(
        lambda t, i: {
            "type": "thinking",
            "subtype": "delta",
            "text": t,
            "session_id": "s",
            "timestamp_ms": 1788250000000 + i,
        },
        ("text",),
    ),
    "pi, text": Form(
        lambda t, i: {
            "type": "message_update",
            "assistantMessageEvent": {"type": "text_delta", "contentIndex": 0, "delta": t},
            "message": {"role": "assistant"},
        },
        ("assistantMessageEvent", "delta"),
    ),
    "pi, tool call": Form(
        lambda t, i: {
            "type": "message_update",
            "assistantMessageEvent": {"type": "toolcall_delta", "contentIndex": 1, "delta": t},
            "message": {"role": "assistant"},
        },
        ("assistantMessageEvent", "delta"),
    ),
    "Codex, text": Form(
        lambda t, i: {
            "timestamp": f"T{i}",
            "type": "event_msg",
            "payload": {"type": "agent_message_delta", "delta": t},
        },
        ("payload", "delta"),
    ),
    "Codex, output as base64": Form(
        lambda t, i: {
            "timestamp": f"T{i}",
            "type": "event_msg",
            "payload": {
                "type": "exec_command_output_delta",
                "call_id": "c",
                "stream": "stdout",
                "chunk": b64(t),
            },
        },
        ("payload", "chunk"),
        from_base64,
    ),
    "Codex, output as numbers": Form(
        lambda t, i: {
            "id": "1",
            "msg": {
                "type": "exec_command_output_delta",
                "call_id": "c",
                "stream": "stdout",
                "chunk": list(t.encode()),
            },
        },
        ("msg", "chunk"),
        from_numbers,
    ),
    "Codex app server": Form(
        lambda t, i: {
            "method": "item/commandExecution/outputDelta",
            "params": {"threadId": "t", "itemId": "i", "delta": t},
        },
        ("params", "delta"),
    ),
    "Codex app server, output as base64": Form(
        lambda t, i: {
            "method": "command/exec/outputDelta",
            "params": {"processId": "p", "stream": "stdout", "deltaBase64": b64(t)},
        },
        ("params", "deltaBase64"),
        from_base64,
    ),
    "OpenAI, second choice": Form(
        lambda t, i: {
            "id": "c1",
            "object": "chat.completion.chunk",
            "choices": [
                {"index": 0, "delta": {"content": "word "}},
                {"index": 1, "delta": {"content": t}},
            ],
        },
        ("choices", 1, "delta", "content"),
    ),
    "OpenAI, second tool call": Form(
        lambda t, i: delta(
            delta={
                "tool_calls": [
                    {"index": 0, "function": {"arguments": ""}},
                    {"index": 1, "function": {"arguments": t}},
                ]
            }
        ),
        ("choices", 0, "delta", "tool_calls", 1, "function", "arguments"),
    ),
    "OpenAI, reasoning": Form(
        lambda t, i: delta(delta={"reasoning": t}), ("choices", 0, "delta", "reasoning")
    ),
    "DeepSeek, reasoning": Form(
        lambda t, i: delta(delta={"reasoning_content": t, "content": None}),
        ("choices", 0, "delta", "reasoning_content"),
    ),
    "OpenRouter, reasoning": Form(
        lambda t, i: delta(
            delta={"reasoning_details": [{"type": "reasoning.text", "text": t, "index": 0}]}
        ),
        ("choices", 0, "delta", "reasoning_details", 0, "text"),
    ),
    "OpenAI, completion": Form(
        lambda t, i: {
            "id": "c1",
            "object": "text_completion",
            "choices": [{"text": t, "index": 0, "finish_reason": None}],
        },
        ("choices", 0, "text"),
    ),
    "OpenAI, function call": Form(
        lambda t, i: delta(delta={"function_call": {"arguments": t}}),
        ("choices", 0, "delta", "function_call", "arguments"),
    ),
    "OpenAI, assistants": Form(
        lambda t, i: {
            "object": "thread.message.delta",
            "id": "m1",
            "delta": {"content": [{"index": 0, "type": "text", "text": {"value": t}}]},
        },
        ("delta", "content", 0, "text", "value"),
    ),
    "OpenAI Responses, reasoning": Form(
        lambda t, i: {
            "type": "response.reasoning_summary_text.delta",
            "item_id": "r1",
            "output_index": 0,
            "summary_index": 0,
            "sequence_number": i,
            "delta": t,
        },
        ("delta",),
    ),
    "OpenAI realtime": Form(
        lambda t, i: {
            "type": "response.audio_transcript.delta",
            "event_id": f"event_{i}",
            "item_id": "i1",
            "delta": t,
        },
        ("delta",),
    ),
    "Anthropic, thinking": Form(
        lambda t, i: {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "thinking_delta", "thinking": t},
        },
        ("delta", "thinking"),
    ),
    "Anthropic, event of a stream": Form(
        lambda t, i: {
            "event": "content_block_delta",
            "data": {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": t},
            },
        },
        ("data", "delta", "text"),
    ),
    "Ollama, chat": Form(
        lambda t, i: {
            "model": "m",
            "created_at": f"2026-09-01T10:00:00.{i:03d}Z",
            "message": {"role": "assistant", "content": t},
            "done": False,
        },
        ("message", "content"),
    ),
    "Ollama, thinking": Form(
        lambda t, i: {
            "model": "m",
            "message": {"role": "assistant", "content": "", "thinking": t},
            "done": False,
        },
        ("message", "thinking"),
    ),
    "Ollama, generate": Form(
        lambda t, i: {"model": "m", "response": t, "done": False}, ("response",)
    ),
    "Bedrock, text": Form(
        lambda t, i: {"contentBlockDelta": {"delta": {"text": t}, "contentBlockIndex": 0}},
        ("contentBlockDelta", "delta", "text"),
    ),
    "Bedrock, tool input": Form(
        lambda t, i: {
            "contentBlockDelta": {"delta": {"toolUse": {"input": t}}, "contentBlockIndex": 1}
        },
        ("contentBlockDelta", "delta", "toolUse", "input"),
    ),
    "Bedrock, reasoning": Form(
        lambda t, i: {
            "event": {
                "contentBlockDelta": {
                    "delta": {"reasoningContent": {"text": t}},
                    "contentBlockIndex": 0,
                }
            }
        },
        ("event", "contentBlockDelta", "delta", "reasoningContent", "text"),
    ),
    "Bedrock agent, parts as base64": Form(
        lambda t, i: {"chunk": {"bytes": b64(t)}}, ("chunk", "bytes"), from_base64
    ),
    "LangChain, events": Form(
        lambda t, i: {
            "event": "on_chat_model_stream",
            "run_id": "r",
            "name": "model",
            "data": {"chunk": {"content": t, "type": "AIMessageChunk"}},
        },
        ("data", "chunk", "content"),
    ),
    "LangChain, serialised": Form(
        lambda t, i: {
            "lc": 1,
            "type": "constructor",
            "id": ["langchain", "schema", "messages", "AIMessageChunk"],
            "kwargs": {"content": t, "type": "AIMessageChunk"},
        },
        ("kwargs", "content"),
    ),
    "LangChain, text of a chain": Form(
        lambda t, i: {"event": "on_chain_stream", "run_id": "r", "data": {"chunk": t}},
        ("data", "chunk"),
    ),
    "LangChain, arguments": Form(
        lambda t, i: {
            "event": "on_chat_model_stream",
            "run_id": "r",
            "data": {"chunk": {"content": "", "tool_call_chunks": [{"args": t, "index": 0}]}},
        },
        ("data", "chunk", "tool_call_chunks", 0, "args"),
    ),
    "opencode, delta": Form(
        lambda t, i: {
            "type": "message.part.delta",
            "properties": {
                "sessionID": "ses",
                "messageID": "m",
                "partID": "p",
                "field": "text",
                "delta": t,
            },
        },
        ("properties", "delta"),
    ),
    "opencode, updated part": Form(
        lambda t, i: {
            "type": "message.part.updated",
            "properties": {"part": {"id": "p", "type": "text"}, "delta": t},
        },
        ("properties", "delta"),
    ),
    "Cohere v1": Form(
        lambda t, i: {"is_finished": False, "event_type": "text-generation", "text": t}, ("text",)
    ),
    "Cohere v2": Form(
        lambda t, i: {
            "type": "content-delta",
            "index": 0,
            "delta": {"message": {"content": {"text": t}}},
        },
        ("delta", "message", "content", "text"),
    ),
    "Cohere v2, arguments": Form(
        lambda t, i: {
            "type": "tool-call-delta",
            "index": 0,
            "delta": {"message": {"tool_calls": {"function": {"arguments": t}}}},
        },
        ("delta", "message", "tool_calls", "function", "arguments"),
    ),
    "Vercel AI SDK 5": Form(lambda t, i: {"type": "text-delta", "id": "0", "delta": t}, ("delta",)),
    "Vercel AI SDK 4": Form(lambda t, i: {"type": "text-delta", "textDelta": t}, ("textDelta",)),
    "Vercel AI SDK, tool input": Form(
        lambda t, i: {"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": t},
        ("inputTextDelta",),
    ),
    "AG-UI": Form(
        lambda t, i: {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": t}, ("delta",)
    ),
    "AG-UI, arguments": Form(
        lambda t, i: {"type": "TOOL_CALL_ARGS", "toolCallId": "c", "delta": t}, ("delta",)
    ),
    "A2A": Form(
        lambda t, i: {
            "kind": "artifact-update",
            "taskId": "t",
            "append": True,
            "artifact": {"artifactId": "a", "parts": [{"kind": "text", "text": t}]},
        },
        ("artifact", "parts", 0, "text"),
    ),
    "Mistral conversations": Form(
        lambda t, i: {"type": "message.output.delta", "id": "m", "output_index": 0, "content": t},
        ("content",),
    ),
    "llama.cpp": Form(
        lambda t, i: {"index": 0, "content": t, "tokens": [i], "stop": False, "id_slot": 0},
        ("content",),
    ),
    "Hugging Face": Form(
        lambda t, i: {
            "index": i,
            "token": {"id": i, "text": t, "logprob": -0.25 * i, "special": False},
            "generated_text": None,
        },
        ("token", "text"),
    ),
    "ACP": Form(
        lambda t, i: {
            "jsonrpc": "2.0",
            "method": "session/update",
            "params": {
                "sessionId": "s",
                "update": {
                    "sessionUpdate": "agent_thought_chunk",
                    "content": {"type": "text", "text": t},
                },
            },
        },
        ("params", "update", "content", "text"),
    ),
}
"""Formats that are in the table, or use the names that are usual for a delta."""


def sse(t: str) -> str:
    """Return an event of a stream as text."""
    return f"data: {json.dumps({'choices': [{'delta': {'content': t}}]})}\n\n"


def from_sse(value: Any) -> str:
    """Return the text of an event of a stream."""
    return str(json.loads(value.removeprefix("data: "))["choices"][0]["delta"]["content"])


UNKNOWN: dict[str, Form] = {
    "a bare text": Form(lambda t, i: {"t": t, "n": i}, ("t",)),
    "an id for each": Form(
        lambda t, i: {"uuid": f"6f1c2d3e-4b5a-4978-8a6b-{i:012x}", "seq": i, "said": t}, ("said",)
    ),
    "deep in a list": Form(
        lambda t, i: {"at": f"2026-09-01T10:00:{i % 60:02d}Z", "out": [{"k": "x"}, {"v": [t]}]},
        ("out", 1, "v", 0),
    ),
    "SSE text in a string": Form(lambda t, i: {"ts": i, "raw": sse(t)}, ("raw",), from_sse),
    "JSON in a string": Form(
        lambda t, i: {"ts": i, "body": json.dumps({"o": {"d": t}})},
        ("body",),
        lambda value: str(json.loads(value)["o"]["d"]),
    ),
    "numbers beside it": Form(
        lambda t, i: {"w": t, "p": -0.5 * i, "offset": 10 * i, "last": False}, ("w",)
    ),
}
"""Formats that nobody has described to us."""
