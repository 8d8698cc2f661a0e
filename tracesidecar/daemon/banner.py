"""What the daemon prints first: what it found, where the result goes, how to look at it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tracesidecar import __version__
from tracesidecar.config import Configuration
from tracesidecar.encode import EXTENSIONS, lake_root, partition_folder
from tracesidecar.sanitize import printable
from tracesidecar.sinks import SinkOptions, destination_of
from tracesidecar.tail import SegmentView
from tracesidecar.units import Interpolated


@dataclass(frozen=True, slots=True)
class StartSummary:
    """What the first scan found: files per source, and where each sink delivers to."""

    files: dict[str, int]
    destinations: dict[str, str]


def summarize_start(configuration: Configuration, views: Mapping[int, SegmentView]) -> StartSummary:
    """Count the files of each source after the first scan."""
    count = Counter(view.segment.source for view in views.values())
    return StartSummary(
        {source.name: count[source.name] for source in configuration.source},
        {sink.name: destination_of(sink) for sink in configuration.sink},
    )


def banner(configuration: Configuration, path: str | None, summary: StartSummary) -> list[str]:
    """Return the lines for a person at a terminal."""
    origin = (
        f"configuration {path}"
        if path
        else "no configuration: the embedded default, nothing leaves this machine"
    )
    lines = [f"tracesidecar {__version__} · {origin}"]
    for source in configuration.source:
        count = summary.files[source.name]
        patterns = ", ".join(map(_short, source.include))
        verb = "follows" if count else "watches"
        lines.append(f"  {verb}  {source.name:<12} {count:>6} files   {patterns}")
    for sink in configuration.sink:
        destination = _short(summary.destinations[sink.name].removeprefix("directory:"))
        lines.append(f"  ships to {sink.name:<12} {destination}")
        folder = getattr(sink, "path", None)
        if isinstance(folder, str) and not isinstance(folder, Interpolated):
            lines.append(f"  look:    {_look(folder, sink)}")
    if not any(summary.files.values()):
        lines.append(
            "  no trace files yet: they are shipped as soon as they are written. "
            f"To see it work, run in another terminal here: {_program()} demo"
        )
    return lines


def _look(folder: str, sink: SinkOptions) -> str:
    """Return the command that shows what has been delivered."""
    root = lake_root(sink.format)
    if sink.format == "parquet":
        return f"duckdb -c \"FROM read_parquet('{folder}/{root}/*/*/*.parquet') LIMIT 10\""
    shown = _short(folder) if shlex.quote(folder) == folder else shlex.quote(folder)
    tool = {"gzip": "gzip -dc", "zstd": "zstd -dc", "none": "cat"}[sink.compression]
    folders = partition_folder(root, "*", "" if sink.format == "raw" else "*")
    return f"{tool} {shown}/{folders}/*{EXTENSIONS[sink.compression]} | head"


def _program() -> str:
    """Return how this program is called from this folder."""
    if shutil.which("tracesidecar"):
        return "tracesidecar"
    return shlex.quote(os.path.relpath(sys.argv[0]))


def _short(path: str) -> str:
    home = os.path.expanduser("~")
    text = printable(path)
    return "~" + text.removeprefix(home) if home != "/" and text.startswith(home + "/") else text
