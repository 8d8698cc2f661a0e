"""What a tool does, by its name: security teams sort by this."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

ToolType = Literal["function", "mcp", "shell", "edit", "read", "search", "web"]

_NAMES: dict[ToolType, frozenset[str]] = {
    "shell": frozenset(
        (
            "bash",
            "bashoutput",
            "killbash",
            "killshell",
            "shell",
            "exec",
            "exec_command",
            "write_stdin",
            "local_shell",
            "local_shell_call",
            "shell_command",
            "run_command",
            "run_shell_command",
            "execute_command",
            "execute_bash",
            "run_terminal_cmd",
            "run_terminal_command",
            "run_in_terminal",
            "run_command_in_terminal",
            "terminal",
            "bash_command",
            "powershell",
            "cmd",
            "container.exec",
            "cmdrunaction",
        )
    ),
    "edit": frozenset(
        (
            "write",
            "edit",
            "multiedit",
            "notebookedit",
            "apply_patch",
            "write_file",
            "edit_file",
            "replace",
            "str_replace",
            "str_replace_editor",
            "str_replace_based_edit_tool",
            "create_file",
            "insert_edit_into_file",
            "applypatch",
            "strreplace",
            "delete",
            "search_replace",
            "delete_file",
            "file_editor",
            "writefile",
            "editfile",
            "create",
            "save_file",
            "fileeditaction",
            "filewriteaction",
        )
    ),
    "read": frozenset(
        (
            "read",
            "read_file",
            "view",
            "cat",
            "notebookread",
            "read_many_files",
            "readfile",
            "open_file",
            "view_image",
            "filereadaction",
        )
    ),
    "search": frozenset(
        (
            "grep",
            "glob",
            "ls",
            "list",
            "list_directory",
            "list_dir",
            "find",
            "search_file_content",
            "codebase_search",
            "grep_search",
            "file_search",
            "toolsearch",
            "search",
            "ripgrep",
            "search_files",
            "glob_file_search",
        )
    ),
    "web": frozenset(
        (
            "webfetch",
            "websearch",
            "web_fetch",
            "web_search",
            "web_search_call",
            "fetch",
            "google_web_search",
            "browser",
            "browse",
            "fetch_url",
            "http_request",
            "read_url_content",
            "browseurlaction",
        )
    ),
}
_OF_ACP: dict[str, ToolType] = {
    "execute": "shell",
    "edit": "edit",
    "delete": "edit",
    "move": "edit",
    "read": "read",
    "search": "search",
    "fetch": "web",
}
_IDENTIFIER = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*|mcp__[A-Za-z0-9_-]+")
_BY_NAME: dict[str, ToolType] = {name: kind for kind, names in _NAMES.items() for name in names}


def tool_type(name: str | None) -> ToolType | None:
    """Return the type of a tool, None if its name is None.

    `shell`, `edit`, `read`, `search` and `web` are for tools that agents are known to have,
    `mcp` is for names of that form, and every other tool is a `function`.
    """
    if name is None:
        return None
    if name.startswith(("mcp__", "mcp_", "mcp.")):
        return "mcp"
    return _BY_NAME.get(name.lower(), "function")


class AcpTool(NamedTuple):
    """Name and type of the tool that a call of the Agent Client Protocol is of."""

    name: str | None
    type: ToolType | None


def acp_tool(title: str | None, kind: str | None) -> AcpTool:
    """Return the tool of a call: its title if that is an identifier, else its kind.

    A title is written for people, and says what is done, with paths and names.
    """
    name = title if title is not None and _IDENTIFIER.fullmatch(title) else kind
    return AcpTool(name, _OF_ACP.get(kind or "") or tool_type(name))
