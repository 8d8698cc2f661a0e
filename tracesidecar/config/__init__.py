"""The configuration: what a person wrote, as one checked value, or every mistake with its line."""

from tracesidecar.config.exposures import exposures
from tracesidecar.config.json_schema import configuration_schema
from tracesidecar.config.known_agents import find_agents
from tracesidecar.config.load import (
    EMBEDDED,
    ConfigurationReport,
    LoadedConfiguration,
    guess_state_directory,
    inspect,
    load,
    load_to_read,
)
from tracesidecar.config.own_paths import list_own_paths
from tracesidecar.config.paths import default_lake, default_state_directory, rules_cache
from tracesidecar.config.problems import join_key_path
from tracesidecar.config.schema import Configuration, DaemonOptions

__all__ = [
    "EMBEDDED",
    "Configuration",
    "ConfigurationReport",
    "DaemonOptions",
    "LoadedConfiguration",
    "configuration_schema",
    "default_lake",
    "default_state_directory",
    "exposures",
    "find_agents",
    "guess_state_directory",
    "inspect",
    "join_key_path",
    "list_own_paths",
    "load",
    "load_to_read",
    "rules_cache",
]
