"""What a new configuration changes while the daemon runs."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from tracesidecar.config.schema import Configuration


@dataclass(frozen=True, slots=True)
class Difference:
    """`fixed` names keys that only a restart changes; `is_core` tells that sources or rules
    changed, so that every sink starts anew.
    """

    fixed: tuple[str, ...]
    is_core: bool
    removed: tuple[str, ...]
    added: tuple[str, ...]


def difference(old: Configuration, new: Configuration) -> Difference:
    """Compare two valid configurations. A changed sink is both removed and added."""
    fixed = [] if old.state_directory == new.state_directory else ["state_directory"]
    fixed += [] if old.daemon.listen == new.daemon.listen else ["daemon.listen"]
    bare = msgspec.structs.replace(new.daemon, listen=old.daemon.listen)
    is_core = (old.source, old.redaction, old.quarantine, old.daemon) != (
        new.source,
        new.redaction,
        new.quarantine,
        bare,
    )
    before, after = {sink.name: sink for sink in old.sink}, {sink.name: sink for sink in new.sink}
    removed = tuple(name for name, sink in before.items() if after.get(name) != sink)
    added = tuple(name for name, sink in after.items() if before.get(name) != sink)
    return Difference(tuple(fixed), is_core, removed, added)


def keep_fixed(old: Configuration, new: Configuration) -> Configuration:
    """The new configuration with what only a restart changes left as it was."""
    daemon = msgspec.structs.replace(new.daemon, listen=old.daemon.listen)
    return msgspec.structs.replace(new, state_directory=old.state_directory, daemon=daemon)
