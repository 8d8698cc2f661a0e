"""Log at each start what the configuration exposes."""

from __future__ import annotations

from collections.abc import Container

import structlog

from tracesidecar.config import Configuration, exposures, join_key_path

log = structlog.get_logger()


def warn_of_exposures(configuration: Configuration, only: Container[str] | None = None) -> None:
    """Log a warning for each exposure; with `only`, for those of sinks with these names."""
    for each in exposures(configuration):
        index = each.path[1]
        sink = configuration.sink[index].name if isinstance(index, int) else None
        if only is None or sink in only:
            named = {} if sink is None else {"sink": sink}
            log.warning(
                "configuration.exposed",
                **named,
                key=join_key_path(each.path),
                problem=each.message,
            )
