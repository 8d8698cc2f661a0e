"""What the daemon says first: what it found, where the result lies, how to look at it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tracesidecar import __version__
from tracesidecar.config.schema import Configuration
from tracesidecar.encode.jsonl import EXTENSIONS
from tracesidecar.encode.lake_layout import lake_root
from tracesidecar.logs import printable
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.registry import destination_of
from tracesidecar.tail.segments import SegmentView


@dataclass(frozen=True, slots=True)
class Findings:
    """What the first look found: files per source, and where each sink delivers to."""

    files: dict[str, int]
    destinations: dict[str, str]


def findings(configuration: Configuration, views: Mapping[int, SegmentView]) -> Findings:
    """Take stock after the first look at the files."""
    count = Counter(view.segment.source for view in views.values())
    destinations = {sink.name: destination_of(sink) for sink in configuration.sink}
    return Findings(
        {source.name: count[source.name] for source in configuration.source}, destinations
    )


def greeting(configuration: Configuration, path: str | None, found: Findings) -> list[str]:
    """Lines for a person."""
    lines = [
        f"tracesidecar {__version__} · {'configuration ' + path if path else 'no configuration: the embedded default, nothing leaves this machine'}"
    ]
    for source in configuration.source:
        count = found.files[source.name]
        lines.append(
            f"  {'follows' if count else 'watches'}  {source.name:<12} {count:>6} files   {', '.join(map(_short, source.include))}"
        )
    for sink in configuration.sink:
        lines.append(
            f"  ships to {sink.name:<12} {_short(found.destinations[sink.name].removeprefix('directory:'))}"
        )
        folder = getattr(sink, "path", None)
        if isinstance(folder, str):
            lines.append(f"  look:    {_look(folder, sink)}")
    if not any(found.files.values()):
        lines.append(
            f"  nothing there yet: what is written is shipped at once. To see it work, in another terminal here: {_program()} demo"
        )
    return lines


def _look(folder: str, sink: SinkOptions) -> str:
    """The command that shows what has arrived."""
    place = f"{_short(folder) if shlex.quote(folder) == folder else shlex.quote(folder)}/{lake_root(sink.format)}/dt=*"
    if sink.format == "parquet":
        return f"duckdb -c \"FROM read_parquet('{folder}/{lake_root(sink.format)}/*/*/*.parquet') LIMIT 10\""
    tool = {"gzip": "gzip -dc", "zstd": "zstd -dc", "none": "cat"}[sink.compression]
    return f"{tool} {place}{'' if sink.format == 'raw' else '/dialect=*'}/*{EXTENSIONS[sink.compression]} | head"


def _program() -> str:
    """How this program is called from this folder."""
    if shutil.which("tracesidecar"):
        return "tracesidecar"
    return shlex.quote(os.path.relpath(sys.argv[0]))


def _short(path: str) -> str:
    home = os.path.expanduser("~")
    text = printable(path)
    return "~" + text.removeprefix(home) if home != "/" and text.startswith(home + "/") else text
