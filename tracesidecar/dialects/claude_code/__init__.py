"""Transcripts of Claude Code, and of programs that write the same lines.

Nothing is exported: the registry imports the module of a dialect when it is first used.
"""

__all__: list[str] = []
