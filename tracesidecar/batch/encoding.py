"""What shapes the batches of one sink: the unit of delivery, the format, limits and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tracesidecar.encode import EXTENSIONS, Content, Format, Narrowing, narrowing_of
from tracesidecar.model import Compression
from tracesidecar.sinks import DeliveryUnit


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the records of a batch are encoded.

    `record_limit_bytes` is the most that one record may have, 0 for no limit. `is_text`: the
    destination takes records as text, in which no character may act. `key` is that of the
    installation, for what `content` has only as a keyed hash.
    """

    takes: DeliveryUnit
    format: Format = "raw"
    content: Content = "full"
    compression: Compression = "gzip"
    record_limit_bytes: int = 0
    is_text: bool = False
    key: bytes = field(default=b"", repr=False)

    @property
    def narrowing(self) -> Narrowing | None:
        """What makes the sink's share of an event; None if it is given all of it."""
        return narrowing_of(self.content, self.key)

    @property
    def interprets(self) -> bool:
        """Whether the sink needs events, and not only lines."""
        return self.format != "raw" or self.takes == "records"

    @property
    def is_store(self) -> bool:
        """Whether the sink keeps objects by name, with a manifest."""
        return self.takes == "objects"

    @property
    def extension(self) -> str:
        """What the names of objects end in."""
        return ".parquet" if self.format == "parquet" else EXTENSIONS[self.compression]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSpec(Encoding):
    """Everything that shapes the batches of one sink.

    `fingerprint` identifies what shapes the bytes; `labels` are per source and go into the
    manifest. `keeps_records`: the destination can be asked which records it has. `partitions` is
    how many partitions each source may have in a batch.
    """

    sink: str
    host: str
    fingerprint: str
    rules: str
    labels: dict[str, dict[str, str]]
    keeps_records: bool = False
    partitions: Mapping[str, int] = field(default_factory=dict)
