"""The configuration that every sink has in common; a destination's own `Options` extends it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Self

import msgspec

from tracesidecar.encode import Content, Format
from tracesidecar.model import Compression
from tracesidecar.sinks.exposure import ClearText
from tracesidecar.units import Interpolated, Seconds, Secret, Size


class BatchLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a batch is closed: at whichever limit is reached first.

    `bytes` counts before compression; `idle` is the time without a new line.
    """

    bytes: Size = msgspec.field(default_factory=lambda: Size.parse("32MiB"))
    lines: int = 100_000
    age: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("60s"))
    idle: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("10s"))


class SinkOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys that every `[[sink]]` block has.

    A destination's `Options` adds its own keys, changes defaults, and narrows `format` and
    `compression` to what the destination takes. `content` is None where the block does not say:
    then the sink's type and format decide (`registry.content_of`). An empty `sources` means all.
    With `insecure`, credentials may go to another machine without encryption.
    """

    name: str
    type: str
    format: Format = "raw"
    compression: Compression = "gzip"
    content: Content | None = None
    batch: BatchLimits = msgspec.field(default_factory=BatchLimits)
    required: bool = True
    sources: tuple[str, ...] = ()
    start: Literal["beginning", "now"] | None = None
    insecure: bool = False

    def takes(self, source: str) -> bool:
        """Return whether the sink ships this source: all of them, unless it names some."""
        return not self.sources or source in self.sources

    @property
    def separates_sources(self) -> bool:
        """Return whether each source has a place of its own at the destination."""
        return False

    def narrow_to(self, source: str, identity: str) -> Self:
        """Return the options of the sink that ships one source alone: `NAME-IDENTITY`.

        The identity is the source's name, or its id, which survives a rename.
        """
        return msgspec.structs.replace(self, name=f"{self.name}-{identity}", sources=(source,))

    @property
    def trusts_any_server(self) -> bool:
        """Whether TLS is used, and the server's certificate is not verified."""
        return False

    def list_clear_text(self) -> tuple[ClearText, ...]:
        """Return what the sink sends without encryption: credentials, and events over syslog."""
        return ()

    def list_written(self) -> tuple[str, ...]:
        """Return the files and directories that the sink writes on this machine, there or not."""
        return ()


def deciding_sinks(sinks: Iterable[SinkOptions], source: str) -> list[SinkOptions]:
    """Return the sinks that must have the files of a source before these may be released.

    Those are the required sinks that take the source, or all that take it if none is required.
    """
    takers = [sink for sink in sinks if sink.takes(source)]
    return [sink for sink in takers if sink.required] or takers


def plain_value(value: object) -> object:
    """Return the value of an option with plain texts in it, which every encoder knows.

    It is the very same one if it has been plain before.
    """
    if isinstance(value, Interpolated):
        return value if isinstance(value, Secret) else str.__str__(value)
    if isinstance(value, tuple):
        made = tuple(map(plain_value, value))
        return made if any(new is not old for new, old in zip(made, value, strict=True)) else value
    if isinstance(value, dict):
        table = {key: plain_value(item) for key, item in value.items()}
        return table if any(table[key] is not item for key, item in value.items()) else value
    return value
