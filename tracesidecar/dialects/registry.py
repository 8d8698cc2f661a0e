"""Find dialects by name, and in the order in which a file's first lines are shown to them.

The module of a dialect is imported when the dialect is first used.
"""

from __future__ import annotations

import importlib
from functools import cache

import msgspec

from tracesidecar.dialects.dialect import Dialect

_MODULES: dict[str, str] = {
    # These are known by a path or by names that no other program uses.
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
    "opencode": "opencode",
    "openastra": "openastra",
    "openai_agents": "openai_agents",
    "langsmith": "langsmith.dialect",
    "langfuse": "langfuse",
    "otlp": "otel.otlp",
    "openinference": "otel.openinference",
    "generic": "generic",
}
"""The module of each dialect below this package, which has it as `DIALECT`."""

DIALECT_NAMES: tuple[str, ...] = tuple(_MODULES)
"""All dialects, in the order of recognition: the first that recognises a line gets its file."""

GENERIC = "generic"
"""The dialect of files that no other dialect recognises."""


@cache
def load_dialect(name: str) -> Dialect[msgspec.Struct]:
    """Import and return the dialect of that name.

    Raise KeyError if there is none.
    """
    module = importlib.import_module(f"tracesidecar.dialects.{_MODULES[name]}")
    dialect: Dialect[msgspec.Struct] = module.DIALECT
    return dialect


@cache
def load_dialects() -> tuple[Dialect[msgspec.Struct], ...]:
    """Import and return all dialects, in the order of recognition."""
    return tuple(map(load_dialect, DIALECT_NAMES))
