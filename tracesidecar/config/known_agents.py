"""Where known agents write their traces, from their documentation and source code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tracesidecar.config.paths import find_watched_directory, home
from tracesidecar.tail import escape_glob


@dataclass(frozen=True, slots=True)
class KnownAgent:
    """An agent and the patterns of its trace files.

    `include` is relative to the directory in the environment variable `variable`, else to
    `~/default`; `also` is relative to the home directory.
    """

    name: str
    default: str
    include: tuple[str, ...]
    variable: str = ""
    also: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    documents: bool = False

    def patterns(self, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Return all patterns of this agent for this user."""
        root = (environ.get(self.variable) if self.variable else None) or os.path.join(
            home(environ), self.default
        )
        found = [os.path.join(escape_glob(root), pattern) for pattern in self.include]
        at_home = escape_glob(home(environ))
        return (*found, *(os.path.join(at_home, pattern) for pattern in self.also))

    def existing_patterns(self, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Return the patterns whose directory exists and can be read."""
        return tuple(
            pattern
            for pattern in self.patterns(environ)
            if os.access(find_watched_directory(pattern), os.R_OK | os.X_OK)
        )


KNOWN_AGENTS = (
    KnownAgent(
        "claude-code",
        ".claude",
        ("projects/**/*.jsonl",),
        variable="CLAUDE_CONFIG_DIR",
        also=(
            ".config/claude/projects/**/*.jsonl",
            ".config/Claude/local-agent-mode-sessions/**/projects/**/*.jsonl",
            "Library/Application Support/Claude/local-agent-mode-sessions/**/projects/**/*.jsonl",
        ),
        exclude=("**/history.jsonl", "**/journal.jsonl"),
    ),
    KnownAgent(
        "codex",
        ".codex",
        (
            "sessions/**/rollout-*.jsonl",
            "sessions/**/rollout-*.jsonl.zst",
            "archived_sessions/rollout-*.jsonl",
            "archived_sessions/rollout-*.jsonl.zst",
        ),
        variable="CODEX_HOME",
    ),
    KnownAgent(
        "copilot",
        ".copilot",
        ("session-state/*/events.jsonl", "history-session-state/*/events.jsonl", "otel/*.jsonl"),
        also=(
            ".config/Code/User/workspaceStorage/*/chatSessions/*.jsonl",
            ".config/Code/User/globalStorage/emptyWindowChatSessions/*.jsonl",
            "Library/Application Support/Code/User/workspaceStorage/*/chatSessions/*.jsonl",
            "Library/Application Support/Code/User/globalStorage/emptyWindowChatSessions/*.jsonl",
            ".cache/VSGitHubCopilotLogs/traces/*_VSGitHubCopilot_traces.jsonl",
            "Library/Caches/VSGitHubCopilotLogs/traces/*_VSGitHubCopilot_traces.jsonl",
        ),
    ),
    KnownAgent("gemini", "", (".gemini/tmp/*/chats/**/*.jsonl",), variable="GEMINI_CLI_HOME"),
    KnownAgent(
        "antigravity",
        ".gemini",
        (
            "antigravity/brain/*/.system_generated/logs/transcript.jsonl",
            "antigravity-cli/brain/*/.system_generated/logs/transcript.jsonl",
        ),
    ),
    KnownAgent("qwen", ".qwen", ("projects/*/chats/*.jsonl", "tmp/*/chats/*.jsonl")),
    KnownAgent("cursor", ".cursor", ("projects/*/agent-transcripts/**/*.jsonl",)),
    KnownAgent(
        "pi", ".pi/agent", ("sessions/**/*.jsonl",), also=(".omp/agent/sessions/**/*.jsonl",)
    ),
    KnownAgent(
        "openclaw",
        ".openclaw",
        ("agents/*/sessions/*.jsonl",),
        exclude=("**/*.deleted.*", "**/*.reset.*", "**/*.checkpoint.*"),
    ),
    KnownAgent(
        "kimi",
        ".kimi",
        ("sessions/*/*/wire.jsonl",),
        also=(".kimi-code/sessions/*/*/agents/*/wire.jsonl",),
    ),
    KnownAgent("droid", ".factory", ("sessions/**/*.jsonl",)),
    KnownAgent("grok", ".grok", ("sessions/*/*/updates.jsonl",)),
    KnownAgent("vibe", ".vibe", ("logs/session/*/messages.jsonl",)),
    KnownAgent("iflow", ".iflow", ("projects/**/*.jsonl",)),
    KnownAgent("gptme", ".local/share/gptme", ("logs/*/conversation.jsonl",)),
    KnownAgent("openhands", ".openhands", ("conversations/*/events/event-*.json",), documents=True),
    KnownAgent("goose", ".local/share/goose", ("sessions/*.jsonl",)),
)

WORKING_DIRECTORY = (
    KnownAgent("attocode", "", (".attocode/traces/*.jsonl", ".traces/trace-session-*.jsonl")),
    KnownAgent("attoswarm", "", (".agent/hybrid-swarm/**/*.jsonl",)),
    KnownAgent("swe-agent", "", ("trajectories/**/*.traj",), documents=True),
)
"""Agents that write below the directory in which they are started.

Machina and ai-trace do so too: into `./traces`.
"""


def find_agents(environ: Mapping[str, str], folder: str) -> dict[str, KnownAgent]:
    """Return the agents whose traces are on this machine, by name, with absolute patterns.

    `folder` is the working directory.
    """
    local = (replace(agent, default=folder) for agent in WORKING_DIRECTORY)
    machina = (
        (KnownAgent("machina", "", ("**/*.jsonl",), variable="MACHINA_TRACE_DIR"),)
        if environ.get("MACHINA_TRACE_DIR")
        else ()
    )
    found = {}
    for agent in (*KNOWN_AGENTS, *machina, *local):
        if patterns := agent.existing_patterns(environ):
            found[agent.name] = replace(agent, include=patterns, also=())
    return found
