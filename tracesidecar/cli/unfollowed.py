"""Show which files beside the followed ones look like traces and are not taken."""

from __future__ import annotations

from dataclasses import asdict

from tracesidecar.cli.output import print_line
from tracesidecar.config import Configuration, list_own_paths
from tracesidecar.sanitize import printable
from tracesidecar.tail import LeftOut, find_left_out

_MOST_SHOWN = 10


def describe_left_out(configuration: Configuration) -> list[dict[str, object]]:
    """Return what is left out, as `--json` has it."""
    return [
        asdict(each)
        | {"directory": printable(each.directory), "beside": printable(each.beside)}
        | {"sentence": printable(each.describe())}
        for each in _find(configuration)
    ]


def print_left_out(configuration: Configuration) -> None:
    """Print a sentence for each directory in which files are left out."""
    found = _find(configuration)
    for each in found[:_MOST_SHOWN]:
        print_line(f"not followed: {printable(each.describe())}")
    if len(found) > _MOST_SHOWN:
        print_line(f"not followed: more in {len(found) - _MOST_SHOWN} other places (see --json)")


def _find(configuration: Configuration) -> list[LeftOut]:
    return find_left_out(configuration.source, own=list_own_paths(configuration))
