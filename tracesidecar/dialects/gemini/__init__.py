"""Sessions of Gemini CLI, and of Qwen Code, which descends from it.

Nothing is exported: the registry imports the module of a dialect when it is first used.
"""

__all__: list[str] = []
