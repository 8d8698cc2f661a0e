"""The embedded default: ship the agents found here and `./traces` to the user's local lake."""

from __future__ import annotations

import os
from collections.abc import Mapping

from tracesidecar.config.known_agents import find_agents
from tracesidecar.config.paths import absolute, default_lake, default_state_directory
from tracesidecar.config.schema import Configuration
from tracesidecar.journal import find_state_directory
from tracesidecar.sinks import BatchLimits
from tracesidecar.tail import SourceOptions, escape_glob
from tracesidecar.units import Seconds

NEWCOMER_BATCH = BatchLimits(age=Seconds(10.0), idle=Seconds(2.0))
"""Small batches, so that a first-time user sees an object within seconds."""


def make_embedded_default(environ: Mapping[str, str], folder: str) -> Configuration:
    """Return the configuration for this user and working directory.

    With it, nothing leaves the machine.
    """
    from tracesidecar.sinks.directory import Options as LakeOptions  # only this default needs it

    agents = find_agents(environ, folder).values()
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
            name="traces",
            include=(os.path.join(escape_glob(folder), "traces/**/*.jsonl"),),
            repair=True,
        )
    )
    path = absolute(default_lake(environ), folder, environ)
    return Configuration(
        state_directory=find_state_directory(
            absolute(default_state_directory(environ), folder, environ)
        ),
        source=tuple(sources),
        sink=(
            LakeOptions(
                name="lake", type="directory", path=path, format="event", batch=NEWCOMER_BATCH
            ),
        ),
    )
