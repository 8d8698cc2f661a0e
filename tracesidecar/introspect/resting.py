"""Which segments are over for the configured sinks, so that nothing reads their records."""

from __future__ import annotations

from tracesidecar.config import Configuration
from tracesidecar.journal import Journal


def let_finished_rest(configuration: Configuration, journal: Journal) -> None:
    """Let rest what every sink has that takes the source and has begun before.

    One that begins now misses nothing of a file that is gone already. A source that only such
    sinks take is left out, and of a source that is no longer configured everything may rest.
    """
    find = journal.sinks.find_destination
    known = [sink for sink in configuration.sink if find(sink.name) is not None]
    takers = {
        source.name: [sink.name for sink in known if sink.takes(source.name)]
        for source in configuration.source
    }
    configured = {source.name for source in configuration.source}
    others = set(journal.sources.load().values()) - configured
    journal.segments.let_rest({name: sinks for name, sinks in takers.items() if sinks}, others)
