"""The keys of a `[[sink]]` of type `stdout`."""

from __future__ import annotations

from tracesidecar.encode import RecordFormat
from tracesidecar.model import Compression
from tracesidecar.sinks.options import SinkOptions


class Options(SinkOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Standard output, never compressed: people and pipes read it."""

    format: RecordFormat = "raw"
    compression: Compression = "none"

    def __post_init__(self) -> None:
        if self.compression != "none":
            raise ValueError(
                f'compression "{self.compression}" is not possible on stdout, '
                "which people and pipes read; remove the key"
            )
