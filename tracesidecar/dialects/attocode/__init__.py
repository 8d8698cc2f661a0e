"""Traces of Attocode, with those of its older programs, and of attoswarm.

Nothing is exported: the registry imports the module of a dialect when it is first used.
"""

__all__: list[str] = []
