"""Sessions of GitHub Copilot, and its OpenTelemetry file (`copilot_otel`).

Nothing is exported: the registry imports the module of a dialect when it is first used.
"""

__all__: list[str] = []
