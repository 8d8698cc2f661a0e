"""Runs exported from LangSmith, and managed-agent sessions that it records.

Nothing is exported: the registry imports the module of a dialect when it is first used.
"""

__all__: list[str] = []
