"""The embedded default: follow the agents found on this machine and `./traces`, ship to a lake
directory of this user.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from tracesidecar.config.known_agents import found_agents
from tracesidecar.config.paths import absolute, default_lake, default_state_directory
from tracesidecar.config.schema import Configuration
from tracesidecar.sinks import BatchLimits
from tracesidecar.tail import SourceOptions
from tracesidecar.units import Seconds

NEWCOMER_BATCH = BatchLimits(age=Seconds(10.0), idle=Seconds(2.0))
"""Small batches: whoever tries this out sees the first object within seconds."""


def embedded_default(environ: Mapping[str, str], folder: str) -> Configuration:
    """Make the configuration for this user and this working directory; nothing leaves the machine
    by it.
    """
    from tracesidecar.sinks.directory import Options as LakeOptions  # only this default needs it

    agents = found_agents(environ, folder).values()
    sources = [
        SourceOptions(
            name=agent.name,
            include=agent.include,
            exclude=agent.exclude,
            repair=True,
            documents=agent.documents,
        )
        for agent in agents
    ]
    sources.append(
        SourceOptions(
            name="traces", include=(os.path.join(folder, "traces/**/*.jsonl"),), repair=True
        )
    )
    path = absolute(default_lake(environ), folder, environ)
    return Configuration(
        state_directory=absolute(default_state_directory(environ), folder, environ),
        source=tuple(sources),
        sink=(
            LakeOptions(
                name="lake", type="directory", path=path, format="event", batch=NEWCOMER_BATCH
            ),
        ),
    )
