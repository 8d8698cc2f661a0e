"""Where the agents that we know write their traces (their makers' documentation and code; design
page dialects.md, section 1).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tracesidecar.config.paths import home, watched_directory


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent: `include` is relative to the directory that `variable` names, else to `~/default`;
    `also` is relative to the home.
    """

    name: str
    default: str
    include: tuple[str, ...]
    variable: str = ""
    also: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    documents: bool = False

    def patterns(self, environ: Mapping[str, str]) -> tuple[str, ...]:
        """All patterns of this agent for this user."""
        root = (environ.get(self.variable) if self.variable else None) or os.path.join(
            home(environ), self.default
        )
        found = [os.path.join(root, pattern) for pattern in self.include]
        return (*found, *(os.path.join(home(environ), pattern) for pattern in self.also))

    def present(self, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Those of its patterns whose directory exists and can be read."""
        return tuple(
            pattern
            for pattern in self.patterns(environ)
            if os.access(watched_directory(pattern), os.R_OK | os.X_OK)
        )


AGENTS = (
    Agent(
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
    Agent(
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
    Agent(
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
    Agent("gemini", "", (".gemini/tmp/*/chats/**/*.jsonl",), variable="GEMINI_CLI_HOME"),
    Agent(
        "antigravity",
        ".gemini",
        (
            "antigravity/brain/*/.system_generated/logs/transcript.jsonl",
            "antigravity-cli/brain/*/.system_generated/logs/transcript.jsonl",
        ),
    ),
    Agent("qwen", ".qwen", ("projects/*/chats/*.jsonl", "tmp/*/chats/*.jsonl")),
    Agent("cursor", ".cursor", ("projects/*/agent-transcripts/**/*.jsonl",)),
    Agent("pi", ".pi/agent", ("sessions/**/*.jsonl",), also=(".omp/agent/sessions/**/*.jsonl",)),
    Agent(
        "openclaw",
        ".openclaw",
        ("agents/*/sessions/*.jsonl",),
        exclude=("**/*.deleted.*", "**/*.reset.*", "**/*.checkpoint.*"),
    ),
    Agent(
        "kimi",
        ".kimi",
        ("sessions/*/*/wire.jsonl",),
        also=(".kimi-code/sessions/*/*/agents/*/wire.jsonl",),
    ),
    Agent("droid", ".factory", ("sessions/**/*.jsonl",)),
    Agent("grok", ".grok", ("sessions/*/*/updates.jsonl",)),
    Agent("vibe", ".vibe", ("logs/session/*/messages.jsonl",)),
    Agent("iflow", ".iflow", ("projects/**/*.jsonl",)),
    Agent("gptme", ".local/share/gptme", ("logs/*/conversation.jsonl",)),
    Agent("openhands", ".openhands", ("conversations/*/events/event-*.json",), documents=True),
    Agent("goose", ".local/share/goose", ("sessions/*.jsonl",)),
)

WORKING_DIRECTORY = {
    "attocode": (".attocode/traces/*.jsonl", ".traces/trace-session-*.jsonl"),
    "attoswarm": (".agent/hybrid-swarm/**/*.jsonl",),
}
"""Agents that write below the directory they are started in (Machina and ai-trace do too: into
`./traces`).
"""


def found_agents(environ: Mapping[str, str], folder: str) -> dict[str, Agent]:
    """Name the agents whose traces are on this machine, each with absolute patterns; `folder` is
    the working directory.
    """
    local = (Agent(name, folder, include) for name, include in WORKING_DIRECTORY.items())
    machina = (
        (Agent("machina", "", ("**/*.jsonl",), variable="MACHINA_TRACE_DIR"),)
        if environ.get("MACHINA_TRACE_DIR")
        else ()
    )
    found = {}
    for agent in (*AGENTS, *machina, *local):
        if present := agent.present(environ):
            found[agent.name] = replace(agent, include=present, also=())
    return found
