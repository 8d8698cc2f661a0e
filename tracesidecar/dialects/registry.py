"""Dialects by name, and in the order in which a file's first lines are shown to them."""

from __future__ import annotations

import importlib
from functools import cache
from typing import cast

import msgspec

from tracesidecar.dialects.dialect import Dialect

MODULES: dict[str, str] = {
    "claude_code": "claude_code.dialect",
    "codex": "codex.dialect",
    "copilot": "copilot.dialect",
    "copilot_otel": "copilot.otel",
    "gemini": "gemini.dialect",
    "qwen": "gemini.qwen",
    "pi": "pi",
    "kimi": "kimi.dialect",
    "machina": "machina",
    "attocode": "attocode.dialect",
    "attoswarm": "attocode.swarm",
    "ai_trace": "ai_trace",
    "grok": "grok",
    "cursor_cli": "cursor_cli",
    "openhands": "openhands",
    "aider": "aider",
    "openai_agents": "openai_agents",
    "langsmith": "langsmith.dialect",
    "langfuse": "langfuse",
    "otlp": "otel.otlp",
    "openinference": "otel.openinference",
    "generic": "generic",
}
"""Name → module, which has its `Dialect` as DIALECT.

First come the ones that are known by a path or by names that nobody else uses.
"""

GENERIC = "generic"


@cache
def dialect(name: str) -> Dialect[msgspec.Struct]:
    """The dialect of that name; KeyError where there is none."""
    return cast(
        "Dialect[msgspec.Struct]",
        importlib.import_module(f"tracesidecar.dialects.{MODULES[name]}").DIALECT,
    )


def every_dialect() -> tuple[Dialect[msgspec.Struct], ...]:
    """All of them, in the order of the registry."""
    return tuple(dialect(name) for name in MODULES)
