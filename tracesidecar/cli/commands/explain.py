"""`explain FILE`: where each byte range of a file is, per sink."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection
from contextlib import closing
from dataclasses import asdict, dataclass

from tracesidecar.cli.output import complain, print_json, print_line, print_table
from tracesidecar.config import Configuration, load_to_read
from tracesidecar.exit_codes import ExitCode
from tracesidecar.introspect.byte_ranges import ByteRange, cover_segment
from tracesidecar.introspect.status import measure_content
from tracesidecar.journal import Journal, LostBytes
from tracesidecar.sanitize import printable
from tracesidecar.tail import (
    READABLE_STATES,
    Exclusions,
    FormerFile,
    SegmentRecord,
    SegmentState,
    find_links,
    link_folders,
)

_NOT_READ = "it could not be read when that was last tried: it is delivered once it can be"
_REPEATED = "it had arrived before the file was rewritten, and was sent again after a gap"
_NO_RECORD = "the file is gone, and the journal does not say that this sink had any of it"


@dataclass(frozen=True, slots=True)
class Explanation:
    """One segment (a generation of the file) and its byte ranges for one sink."""

    segment: SegmentRecord
    sink: str
    ranges: list[ByteRange]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the file and `--json`."""
    parser.add_argument("file", metavar="FILE", help="a trace file, which may be gone")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def execute(arguments: argparse.Namespace) -> int:
    """Look the file up in the journal, by name and by inode."""
    configuration = load_to_read(arguments.config, os.environ)
    path = os.path.abspath(arguments.file)
    with closing(Journal.open_to_read(configuration.state_directory)) as journal:
        names = {path, os.path.realpath(path)}
        segments = _find_segments(journal, path, names)
        segments += _find_forgotten(journal, names)
        segments = segments or _find_moved(journal, configuration, names)
        former = journal.segments.find_former(path)
        links = find_links(link_folders(configuration.state_directory, configuration.source))
        explanations = [
            _explain(journal, segment, links.get(segment.id), sink.name)
            for segment in segments
            for sink in configuration.sink
            if sink.takes(segment.source)
        ]
    if not explanations:
        complain(
            f"tracesidecar explain: {printable(path)} is not in the journal: "
            f"{_why_unknown(configuration, path, former)}"
        )
        return ExitCode.USAGE
    if arguments.json:
        print_json(
            {
                "path": printable(path),
                "ranges": [_document(explanation) for explanation in explanations],
            }
        )
    else:
        _print(explanations)
    return ExitCode.DONE


def _find_segments(journal: Journal, path: str, names: Collection[str]) -> list[SegmentRecord]:
    """Return the segments that have one of these names, or are the file of that path."""
    try:
        status = os.stat(path)
    except OSError:
        return journal.segments.load_files(names, ())
    return [
        segment
        for segment in journal.segments.load_files(names, (status.st_ino,))
        if segment.path in names
        or (status.st_dev, status.st_ino) == (segment.device, segment.inode)
    ]


def _find_moved(
    journal: Journal, configuration: Configuration, names: Collection[str]
) -> list[SegmentRecord]:
    """Return the segments that were first seen under one of these names, and have another now."""
    sources = [source.name for source in configuration.source]
    return [each for each in journal.segments.read_of_sources(sources) if each.origin in names]


def _find_forgotten(journal: Journal, names: Collection[str]) -> list[SegmentRecord]:
    """Return the segments of a file of which nothing is left but the record of a loss."""
    losses = [loss for loss in journal.losses.load() if loss.path in names]
    known = {each.id for each in journal.segments.recall({loss.segment for loss in losses})}
    found: dict[int, SegmentRecord] = {}
    for loss in losses:
        if loss.segment not in known:
            size = max(
                loss.start + loss.bytes, found[loss.segment].size if loss.segment in found else 0
            )
            found[loss.segment] = SegmentRecord(
                id=loss.segment,
                source=loss.source,
                path=loss.path,
                device=0,
                inode=0,
                generation=0,
                compression="none",
                size=size,
                prefix_length=0,
                prefix_digest=b"",
                modified_ns=0,
                changed_ns=0,
                state=SegmentState.LOST,
            )
    return list(found.values())


def _explain(journal: Journal, segment: SegmentRecord, link: str | None, sink: str) -> Explanation:
    position = journal.sinks.load_positions(sink, [segment.id]).get(segment.id)
    delivered = position or 0
    planned = [
        (r.start, r.end)
        for plan in journal.plans.load(sink)
        for r in plan.ranges
        if r.segment == segment.id
    ]
    rejected = [
        ByteRange(entry.line.start, entry.line.end, "quarantined", entry.line.reason)
        for entry in journal.quarantine.load_of_segment(segment.id)
        if entry.line.sink in ("", sink)
    ]
    losses = [
        loss
        for loss in journal.losses.load()
        if loss.segment == segment.id and loss.sink in ("", sink)
    ]
    lost = [
        ByteRange(
            # an earlier version recorded for all sinks what one of them lacked
            min(max(loss.start, delivered), loss.start + loss.bytes),
            loss.start + loss.bytes,
            "lost",
            loss.reason if loss.is_counted else f"{loss.reason}; {_describe_unknown(loss)}",
        )
        for loss in losses
        if loss.start + loss.bytes > delivered or not loss.is_counted
    ]
    repeated = [
        ByteRange(each.start, min(each.end, delivered), "delivered", _REPEATED)
        for each in journal.repeats.load_of_segment(segment.id, sink)
        if each.start < delivered
    ]
    unknown: list[ByteRange] = []
    if segment.state is SegmentState.LOST and not segment.device and position is None:
        # forgotten, but for the loss
        delivered = min((loss.start for loss in losses if loss.sink), default=0)
        first = min((loss.start for loss in losses), default=segment.size)
        if delivered < first:
            unknown = [ByteRange(delivered, first, "unknown", _NO_RECORD)]
    size = measure_content(segment, link)
    unread: list[ByteRange] = []
    if segment.is_unread and segment.state in {*READABLE_STATES, SegmentState.NEW}:
        first = max(segment.size, delivered)
        unread = [ByteRange(first, size, "unread", _NOT_READ)] if first < size else []
    ranges = cover_segment(
        size=size,
        delivered=delivered,
        planned=planned,
        exceptions=[*rejected, *lost, *unknown, *unread, *repeated],
    )
    return Explanation(segment, sink, ranges)


def _describe_unknown(loss: LostBytes) -> str:
    if loss.reason == "gone":
        return (
            f"it had {loss.start} bytes when it was last looked at; how many more came is not known"
        )
    return "how many bytes is not known"


def _why_unknown(configuration: Configuration, path: str, former: FormerFile | None) -> str:
    if former is not None and not os.path.lexists(path):
        return (
            f"the last file of that name was delivered (up to byte {former.reach} by the sink that "
            "is farthest), and forgotten after it was deleted or moved away"
        )
    for source in configuration.source:
        if any(path in Exclusions((pattern,)) for pattern in source.include):
            is_excluded = path in Exclusions(source.exclude)
            return (
                f'source "{source.name}" excludes it'
                if is_excluded
                else f'source "{source.name}" includes it, but nothing of it has been read yet'
                if os.path.lexists(path)
                else f'source "{source.name}" includes it, but it is not there now: it was never '
                "seen, or every sink had all of it before it was deleted or moved"
            )
    return "no source includes it"


def _document(explanation: Explanation) -> dict[str, object]:
    segment = explanation.segment
    return {
        "segment": segment.id,
        "generation": segment.generation,
        "source": segment.source,
        "path": printable(segment.path),
        "state": segment.state,
        "sink": explanation.sink,
        "pieces": [asdict(each) for each in explanation.ranges],
    }


def _print(explanations: list[Explanation]) -> None:
    for explanation in explanations:
        segment = explanation.segment
        title = (
            f"{printable(segment.path)} (segment {segment.id}, generation {segment.generation}, "
            f"{segment.state}) in sink {explanation.sink}"
        )
        if explanation.ranges:
            print_table(
                title,
                ("from byte", "to byte", "state", "why"),
                [(each.start, each.end, each.state, each.detail) for each in explanation.ranges],
            )
        else:
            print_line(f"{title}: empty")
