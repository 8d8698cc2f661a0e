"""Go on where the last run ended, and deliver nothing again without a word.

Offsets hang on the names of sources and sinks, and on the journal. Whoever renames, removes or
copies one of these would find everything in the destination twice: here that is noticed, and
either set right and announced, or rejected with the choice that the person has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from tracesidecar.config import Configuration
from tracesidecar.errors import ConfigurationError
from tracesidecar.journal import Journal, load_deliveries
from tracesidecar.sinks import SinkOptions, destination_of
from tracesidecar.tail import FollowedPaths, SegmentRecord, SourceOptions

log = structlog.get_logger()

JOURNAL_CHECK_SECONDS = 1.0
"""How often the journal's path is compared with the open file; each commit does that too."""


def take_over_sources(sources: Sequence[SourceOptions], journal: Journal) -> None:
    """Let files go on where they were, although their source has another name.

    A source with an `id` is renamed with all its files. Files of a source that is no longer
    configured go to the source that follows them now: unless that has an `id` of its own, which
    says that it is meant to begin anew.
    """
    before = journal.sources.load()
    names = {source.identity: source.name for source in sources}
    renamed = {before[id_]: name for id_, name in names.items() if before.get(id_, name) != name}
    gone = {name: id_ for id_, name in before.items() if id_ not in names}
    begins_anew = {
        source.name for source in sources if source.id is not None and source.id not in before
    }
    followed = FollowedPaths(sources)
    adopted: dict[tuple[str, str], int] = {}
    repeated: dict[tuple[str, str], int] = {}
    unfollowed: dict[str, int] = {}

    def new_name(record: SegmentRecord) -> str | None:
        if record.source in renamed:
            return renamed[record.source]
        if record.source not in gone:
            return None
        source = followed.find_source(record.path)
        if source is None:
            unfollowed[record.source] = unfollowed.get(record.source, 0) + 1
            return None
        move = record.source, source.name
        counted = repeated if source.name in begins_anew else adopted
        counted[move] = counted.get(move, 0) + 1
        return None if source.name in begins_anew else source.name

    if renamed or gone:
        journal.sources.reassign(new_name)
    for former, name in renamed.items():
        _announce(journal, "source.renamed", f'source "{former}" is now "{name}" and goes on')
    for (former, name), files in adopted.items():
        _announce(
            journal,
            "source.adopted",
            f'source "{name}" goes on with {files} files of source "{former}", which is no longer '
            f'configured: to say so yourself, set id = "{gone[former]}"; to deliver them again, '
            f'set an id of its own, such as id = "{name}"',
        )
    for (former, name), files in repeated.items():
        _announce(
            journal,
            "source.begins_again",
            f'source "{name}" has an id of its own, and delivers {files} files again that source '
            f'"{former}" had: set id = "{gone[former]}" to go on where that was',
        )
    begun = [name for id_, name in names.items() if id_ not in before and name not in begins_anew]
    for former, files in unfollowed.items() if begun else ():
        _announce(
            journal,
            "source.left",
            f'source "{former}" is no longer configured, and no source follows its {files} files '
            f"where they were: if a new source ({', '.join(begun)}) has them at another place, it "
            f'delivers them again; with id = "{gone[former]}" it goes on where "{former}" was',
        )
    left = {id_: name for name, id_ in gone.items()}
    if before != left | names:
        journal.sources.save(left | names)


def reject_repetition(options: SinkOptions, journal: Journal, configuration: Configuration) -> None:
    """Raise ConfigurationError if a sink would deliver what its destination has already.

    Not if the options say where to start: then it is announced.
    """
    before, now = journal.sinks.find_destination(options.name), destination_of(options)
    if before == now:
        return
    reason = _reason_to_ask(options, journal, configuration)
    if not reason:
        return
    if options.start is None:
        raise ConfigurationError(reason)
    _announce(journal, "sink.begins_again", f'{reason}: start = "{options.start}" is set')


def _reason_to_ask(options: SinkOptions, journal: Journal, configuration: Configuration) -> str:
    """Return why a person must say where a sink is to start; empty if it may simply begin."""
    rows, now = journal.sinks.load(), destination_of(options)
    before = next((row.destination for row in rows if row.name == options.name), None)
    choice = (
        'set start = "beginning" (everything that is still on disk is delivered there) or '
        'start = "now" (only what is written from now on)'
    )
    if before is not None:
        return (
            f'sink "{options.name}" used to deliver to {before} and is now to deliver to {now}: '
            f"{choice}, or give the sink another name"
        )
    configured = {sink.name for sink in configuration.sink}
    former = next(
        (row for row in rows if row.destination == now and row.name not in configured), None
    )
    if former is not None and former.batches:
        return (
            f'sink "{options.name}" is new, but {now} has {former.lines} lines already from sink '
            f'"{former.name}", which is no longer configured: name it "{former.name}" again to go '
            f"on where that was, or {choice}"
        )
    known = load_deliveries(configuration.state_directory).sinks
    if any(row.destination == now for row in rows) or now not in known.values():
        return ""
    name = next(name for name, destination in known.items() if destination == now)
    return (
        f"the journal of {configuration.state_directory} does not know sink "
        f'"{options.name}", but sink "{name}" has delivered from here to {now}: the journal was '
        "removed or replaced. Put it back, or rebuild it from what the store has "
        f'("tracesidecar recover {options.name}"), or {choice}'
    )


def announce_move(state_directory: str, journal: Journal) -> None:
    """Announce a state directory that was copied, from another machine or from a backup.

    Files that were copied with it are recognized by their content, and go on.
    """
    known = load_deliveries(state_directory)
    place = journal.file.describe_place()
    sinks = {row.name: row.destination for row in journal.sinks.load() if row.batches}
    if known.is_elsewhere(place):
        _announce(
            journal,
            "state.copied",
            f"the state directory {state_directory} comes from another machine ({known.host}): "
            "files that came with it go on where they were, and files of this machine are new; to "
            "begin anew, empty the directory before the next start; no other machine may go on "
            "with the same directory",
        )
    elif sinks and known.inode not in (0, place.inode):
        _announce(
            journal,
            "state.copied",
            f"the journal in {state_directory} is a copy or was restored from a backup: what was "
            "delivered after the copy was made is delivered again; where the store has manifests, "
            '"tracesidecar recover SINK" rebuilds what it has',
        )
    journal.note_deliveries(sinks)


async def watch_journal(journal: Journal) -> None:
    """Raise JournalRemoved or StateError soon after the journal was removed or replaced."""
    while True:
        await asyncio.to_thread(journal.file.require)
        await asyncio.sleep(JOURNAL_CHECK_SECONDS)


def _announce(journal: Journal, event: str, sentence: str) -> None:
    log.warning(event, problem=sentence)
    journal.notices.add(event, sentence)
