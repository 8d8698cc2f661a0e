"""What a `[[sink]]` of type `gcs` takes."""

from __future__ import annotations

import re

import msgspec

from tracesidecar.sinks.object_store.options import ObjectStoreOptions
from tracesidecar.units import Size

CHUNK_BYTES = 256 << 10
"""A part of a resumable upload is a multiple of this."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


class Options(ObjectStoreOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Google Cloud Storage.

    Without `credentials_file` (a service account's key, or what a workload identity federation is
    configured by) the application default credentials are asked: environment, gcloud's file,
    metadata server. An `endpoint_url` with http is an emulator: without a file nobody is asked.
    """

    bucket: str
    endpoint_url: str | None = None
    credentials_file: str | None = None
    part_size: Size = msgspec.field(default_factory=lambda: Size.parse("16MiB"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if _BUCKET.fullmatch(self.bucket) is None:
            raise ValueError(
                "bucket is the name alone, without gs:// and without a path (that is what prefix is for)"
            )
        if (
            self.endpoint_url is not None
            and re.fullmatch(r"https?://[^/?#@\s]+/?", self.endpoint_url) is None
        ):
            raise ValueError("endpoint_url is not an address of the form https://host[:port]")
        if self.part_size < CHUNK_BYTES or self.part_size % CHUNK_BYTES:
            raise ValueError("part_size must be a multiple of 256KiB")

    @property
    def where(self) -> str:
        """Name the bucket for people."""
        return f"bucket {self.bucket} at {self.endpoint_url or 'Google Cloud'}"
