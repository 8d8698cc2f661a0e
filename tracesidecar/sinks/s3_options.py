"""What a `[[sink]]` of type `s3` takes."""

from __future__ import annotations

import re

import msgspec

from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.tls import TlsOptions
from tracesidecar.units import Seconds, Secret, Size

PART_BYTES_AT_LEAST = 5 << 20
"""Amazon S3's smallest part, the last one excepted."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}|arn:[A-Za-z0-9:/._-]+")


class Options(SinkOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Amazon S3 and what speaks its language.

    Without keys and without `credentials_file` (INI, as the AWS tools write it, `profile` in it) the cloud's own chain is asked:
    environment, shared files, web identity, instance. `timeout` is for one whole object.
    """

    bucket: str
    prefix: str = ""
    region: str | None = None
    endpoint_url: str | None = None
    path_style: bool = False
    access_key: Secret | None = None
    secret_key: Secret | None = None
    session_token: Secret | None = None
    credentials_file: str | None = None
    profile: str = "default"
    tls: TlsOptions = msgspec.field(default_factory=TlsOptions)
    multipart_above: Size = msgspec.field(default_factory=lambda: Size.parse("64MiB"))
    part_size: Size = msgspec.field(default_factory=lambda: Size.parse("16MiB"))
    timeout: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("120s"))
    connect_timeout: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("10s"))

    def __post_init__(self) -> None:
        if _BUCKET.fullmatch(self.bucket) is None:
            raise ValueError("bucket is the name alone, without s3:// and without a path (that is what prefix is for)")
        if self.endpoint_url is not None and re.fullmatch(r"https?://[^/?#@\s]+/?", self.endpoint_url) is None:
            raise ValueError("endpoint_url is not an address of the form https://host[:port]")
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key belong together: give both, or neither")
        if self.access_key is not None and self.credentials_file is not None:
            raise ValueError("credentials_file and access_key are both given: keep one of them")
        if self.tls.server_hostname is not None:
            raise ValueError("tls.server_hostname is not possible with S3: the signature covers the host that endpoint_url names")
        if self.part_size < PART_BYTES_AT_LEAST:
            raise ValueError("part_size must be at least 5MiB")

    @property
    def where(self) -> str:
        """Name the bucket for people."""
        return f"bucket {self.bucket} at {self.endpoint_url or 'AWS'}"
