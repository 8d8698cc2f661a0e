"""Go on where the last run ended, and deliver nothing again without a word.

Offsets depend on the names of sinks, and on the journal. Whoever renames, removes or copies one of
these would find everything in the destination twice: here that is noticed, and either set right and
announced, or rejected with the choice that the person has. For sources, see `succession`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from tracesidecar.config import Configuration
from tracesidecar.errors import ConfigurationError
from tracesidecar.journal import Journal, load_deliveries
from tracesidecar.sinks import (
    SinkOptions,
    destination_key_of,
    destination_of,
    is_former_key,
    is_key_of,
    show_destination,
)

log = structlog.get_logger()

JOURNAL_CHECK_SECONDS = 1.0
"""How often the journal's path is compared with the open file; each commit does that too."""


def reject_repetition(options: SinkOptions, journal: Journal, configuration: Configuration) -> None:
    """Raise ConfigurationError if a sink would deliver what its destination has already.

    Not if the options say where to start: then it is announced.
    """
    before, now = journal.sinks.find_destination(options.name), destination_key_of(options)
    if is_former_key(before, options):
        journal.sinks.rename_destination(options.name, now)
        return
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
    rows, place = journal.sinks.load(), destination_of(options)
    before = next((row.destination for row in rows if row.name == options.name), None)
    choice = (
        'set start = "beginning" (everything that is still on disk is delivered there) or '
        'start = "now" (only what is written from now on)'
    )
    if before is not None:
        former_place = show_destination(before)
        if former_place == place:
            former_place = "another destination that the same references stood for"
        return (
            f'sink "{options.name}" used to deliver to {former_place} and is now to deliver to '
            f"{place}: {choice}, or give the sink another name"
        )
    configured = {sink.name for sink in configuration.sink}
    former = next(
        (row for row in rows if is_key_of(row.destination, options) and row.name not in configured),
        None,
    )
    if former is not None and former.batches:
        return (
            f'sink "{options.name}" is new, but {place} has {former.lines} lines already from sink '
            f'"{former.name}", which is no longer configured. To continue after those lines, name '
            f'the sink "{former.name}" again; otherwise {choice}'
        )
    known = load_deliveries(configuration.state_directory).sinks
    name = next((name for name, key in known.items() if is_key_of(key, options)), None)
    if name is None or any(is_key_of(row.destination, options) for row in rows):
        return ""
    return (
        f"the journal of {configuration.state_directory} does not know sink "
        f'"{options.name}", but sink "{name}" has delivered from here to {place}: the journal was '
        "removed or replaced. Put it back, or rebuild it from what the store has "
        f'("tracesidecar recover {options.name}"), or {choice}'
    )


def announce_move(state_directory: str, journal: Journal) -> None:
    """Announce a state directory that was copied, from another machine or from a backup.

    Files that were copied with it are recognized by their content, and go on.
    """
    known = load_deliveries(state_directory)
    place = journal.file.describe_place()
    rows = journal.sinks.load()
    sinks = {row.name: row.destination for row in rows if row.batches}
    if known.is_elsewhere(place):
        _announce(
            journal,
            "state.copied",
            f"the state directory {state_directory} comes from another machine ({known.host}). "
            "Files that were copied with it continue at their offsets; files of this machine are "
            "new. To start over, empty the directory before the next start. Never run two machines "
            "with copies of the same directory",
        )
    elif sinks and (known.inode not in (0, place.inode) or known.is_ahead(rows)):
        _announce(
            journal,
            "state.copied",
            f"the journal in {state_directory} is a copy or was restored from a backup. Lines that "
            "were delivered after the copy was made are delivered again. If the store has "
            'manifests, "tracesidecar recover SINK" rebuilds the journal from them',
        )
    journal.note_deliveries(sinks)


def announce_missing_journal(
    state_directory: str, remains: Sequence[str], journal: Journal
) -> None:
    """Announce that a journal is new although an earlier run has left other things beside it.

    If it is known where that has delivered to, a person is asked instead: `reject_repetition`.
    """
    if remains and not load_deliveries(state_directory).sinks:
        _announce(
            journal,
            "journal.missing",
            f"the state directory {state_directory} has no journal, but {', '.join(remains)} of an "
            "earlier run. What that run delivered is not known, so everything that is still on the "
            "disk is delivered again. To avoid that, stop this run and empty the directory. Then "
            'put the journal back, rebuild it from a store ("tracesidecar recover SINK"), or set '
            'start = "now" for the sinks',
        )


async def watch_journal(journal: Journal) -> None:
    """Raise JournalRemoved or StateError soon after the journal was removed or replaced.

    And make the file smaller, a little at a time, once there is less in it.
    """
    while True:
        await asyncio.to_thread(journal.file.require)
        await asyncio.to_thread(journal.shrink)
        await asyncio.sleep(JOURNAL_CHECK_SECONDS)


def _announce(journal: Journal, event: str, sentence: str) -> None:
    log.warning(event, problem=sentence)
    journal.notices.add(event, sentence)
