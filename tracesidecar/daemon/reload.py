"""Apply a changed configuration while the daemon runs (SIGHUP)."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import Protocol

import msgspec
import structlog

from tracesidecar.config import Configuration, load
from tracesidecar.daemon.continuity import reject_repetition
from tracesidecar.daemon.processing import interpreting_sinks
from tracesidecar.daemon.succession import find_continued
from tracesidecar.errors import ConfigurationError
from tracesidecar.introspect.status import RejectedReload
from tracesidecar.journal import Journal
from tracesidecar.logs import frames
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline import IsContinued

log = structlog.get_logger()


class Reloadable(Protocol):
    """The daemon, as far as a reload changes it."""

    @property
    def configuration(self) -> Configuration:
        """The configuration that is in force."""
        ...

    @property
    def is_stopping(self) -> bool:
        """Whether the daemon is about to end."""
        ...

    async def replace_sinks(self, new: Configuration, change: Difference) -> None:
        """Change only the sinks that differ; the others go on undisturbed."""
        ...

    async def restart(self, new: Configuration, is_continued: IsContinued) -> None:
        """Stop the service and start it with the new configuration; return once that has begun.

        The new one goes on with the segments for which `is_continued` returns true.
        """
        ...


@dataclass(frozen=True, slots=True)
class Difference:
    """How two configurations differ.

    `fixed` names the keys that only a restart of the process changes. `is_core`: sources, rules or
    limits changed, so that every sink starts again. A changed sink is in both `removed` and
    `added`.
    """

    fixed: tuple[str, ...]
    is_core: bool
    removed: tuple[str, ...]
    added: tuple[str, ...]


class Reloader:
    """Loads the configuration again on request.

    A request that arrives during a reload leads to one more reload after it. A configuration that
    is invalid is rejected, and the daemon keeps the one that it has; `rejected` then says when and
    why, until a later reload succeeds.
    """

    def __init__(
        self, path: str | None, journal: Journal, daemon: Reloadable, metrics: Metrics
    ) -> None:
        self._path = path
        self._journal = journal
        self._daemon = daemon
        self._metrics = metrics
        self._requested = asyncio.Event()
        self.rejected: RejectedReload | None = None

    def request(self) -> None:
        """Ask for a reload; called by the signal handler in the event loop."""
        self._requested.set()

    async def run(self) -> None:
        """Serve requests until cancelled."""
        while True:
            await self._requested.wait()
            self._requested.clear()
            if self._daemon.is_stopping:
                continue
            try:
                await self._reload()
            except ConfigurationError as error:
                log.error("reload.refused", problem=self._reject(str(error)))
            except Exception as error:  # noqa: BLE001 - a bug or a full disk in a reload must not stop what ships well; its message may quote a secret of the file
                log.error(
                    "reload.refused",
                    problem=self._reject(f"unexpected {type(error).__name__}"),
                    where=frames(error),
                )
            else:
                self.rejected = None
                self._metrics.config_reload_success.set(1)
                log.info("reload.done")

    def _reject(self, reason: str) -> str:
        """Note why a reload was rejected; return the reason."""
        self.rejected = RejectedReload(time.time(), reason)
        self._metrics.config_reload_success.set(0)
        return reason

    async def _reload(self) -> None:
        loaded = await asyncio.to_thread(load, self._path, os.environ)
        old, new = self._daemon.configuration, loaded.configuration
        change = difference(old, new)
        for options in new.sink:
            reject_repetition(options, self._journal, new)
        for key in change.fixed:
            log.warning("reload.needs_restart", key=key)
        new = keep_fixed(old, new)
        if change.is_core or _shares(new) != _shares(old):
            is_continued = find_continued(old.source, new.source, self._journal)
            await self._daemon.restart(new, is_continued)
        else:
            await self._daemon.replace_sinks(new, change)


def difference(old: Configuration, new: Configuration) -> Difference:
    """Compare two valid configurations."""
    fixed = [] if old.state_directory == new.state_directory else ["state_directory"]
    fixed += [
        f"daemon.{key}"
        for key in ("listen", "allowed_hosts")  # what the health pages began with
        if getattr(old.daemon, key) != getattr(new.daemon, key)
    ]
    is_core = (old.source, old.redaction, old.quarantine, old.daemon) != (
        new.source,
        new.redaction,
        new.quarantine,
        keep_fixed(old, new).daemon,
    )
    before, after = {sink.name: sink for sink in old.sink}, {sink.name: sink for sink in new.sink}
    removed = tuple(name for name, sink in before.items() if after.get(name) != sink)
    added = tuple(name for name, sink in after.items() if before.get(name) != sink)
    return Difference(tuple(fixed), is_core, removed, added)


def keep_fixed(old: Configuration, new: Configuration) -> Configuration:
    """Return the new configuration, with the old values of what only a restart changes."""
    daemon = msgspec.structs.replace(
        new.daemon, listen=old.daemon.listen, allowed_hosts=old.daemon.allowed_hosts
    )
    return msgspec.structs.replace(new, state_directory=old.state_directory, daemon=daemon)


def _shares(configuration: Configuration) -> tuple[int, int]:
    """Return what the caches and each sink's share of the memory depend on."""
    return interpreting_sinks(configuration), len(configuration.sink)
