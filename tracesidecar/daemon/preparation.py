"""Bring the journal in line with a configuration, before any file is followed."""

from __future__ import annotations

import structlog

from tracesidecar.config import Configuration
from tracesidecar.daemon.continuity import announce_move, reject_repetition
from tracesidecar.daemon.succession import take_over_sources
from tracesidecar.encode import format_of
from tracesidecar.introspect.resting import let_finished_rest
from tracesidecar.journal import Journal, sweep_sealed

log = structlog.get_logger()


def prepare_journal(configuration: Configuration, journal: Journal) -> None:
    """Let sources and sinks go on where they ended, and what is over rest.

    Raise ConfigurationError as `take_over_sources` and `reject_repetition` do.
    """
    journal.identities.forget_old_names()
    announce_move(configuration.state_directory, journal)
    take_over_sources(configuration.source, journal, configuration.state_directory)
    for options in configuration.sink:  # before anything is loaded: that may be very much
        reject_repetition(options, journal, configuration)
    let_finished_rest(configuration, journal)


def set_aside_unknown_seals(configuration: Configuration, journal: Journal) -> None:
    """Set sealed lines aside that the journal does not know; the segments must be loaded."""
    set_aside = sweep_sealed(
        configuration.state_directory,
        journal.quarantine.list_sealed_files(),
        journal.segments.find_progress,
    )
    if set_aside:
        log.warning(
            "quarantine.set_aside",
            files=set_aside,
            problem="sealed lines that the journal does not know were moved to "
            "quarantine/unknown in the state directory: decrypt them with age, or delete them",
        )


def has_planned_events(configuration: Configuration, journal: Journal) -> bool:
    """Return whether a plan with events is unfinished: the sink may take raw lines by now."""
    plans = (plan for options in configuration.sink for plan in journal.plans.load(options.name))
    return any(format_of(each.name) != "raw" for plan in plans for each in plan.objects)
