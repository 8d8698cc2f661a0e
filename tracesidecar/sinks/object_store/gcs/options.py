"""The keys of a `[[sink]]` of type `gcs`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from tracesidecar.sinks.exposure import ClearText
from tracesidecar.sinks.object_store.options import (
    ObjectStoreOptions,
    find_variable,
    list_clear_addresses,
)
from tracesidecar.units import Size

FILE_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
_ADDRESS_VARIABLES = ("STORAGE_EMULATOR_HOST", "API_ENDPOINT_OVERRIDE")
"""What Google's client takes its address from, in this order, if it is given none."""

_TOKEN_ADDRESSES = ("token_uri", "token_url", "service_account_impersonation_url")
"""Fields of a file with credentials: servers that are sent proofs of who we are, or tokens."""

CHUNK_BYTES = 256 << 10
"""Parts of a resumable upload must be multiples of this."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


class Options(ObjectStoreOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Google Cloud Storage.

    `credentials_file` is a service account's key or the configuration of a workload identity
    federation. Without it the application default credentials are used: environment, gcloud's file,
    metadata server. An `endpoint_url` with http is an emulator, which needs no credentials.
    `checksum = "none"` is for stores that know no checksums.
    """

    bucket: str
    endpoint_url: str | None = None
    credentials_file: str | None = None
    checksum: Literal["crc32c", "none"] = "crc32c"
    part_size: Size = msgspec.field(default_factory=lambda: Size.parse("16MiB"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if _BUCKET.fullmatch(self.bucket) is None:
            raise ValueError(
                "bucket is the name alone, without gs:// and without a path, which goes into prefix"
            )
        if (
            self.endpoint_url is not None
            and re.fullmatch(r"https?://[^/?#@\s]+/?", self.endpoint_url) is None
        ):
            raise ValueError("endpoint_url does not have the form https://host[:port]")
        if self.part_size < CHUNK_BYTES or self.part_size % CHUNK_BYTES:
            raise ValueError("part_size must be a multiple of 256KiB")

    @property
    def store_address(self) -> str | None:
        """The URL of the store; None for Google's, and for an emulator without credentials."""
        return self.endpoint_url if self.credentials_file else None

    @property
    def environment_address(self) -> tuple[str, str] | None:
        """The address that Google's client takes from the environment.

        It is sent the machine's own credentials, if the options have none.
        """
        return None if self.endpoint_url else find_variable(*_ADDRESS_VARIABLES)

    def list_clear_text(self) -> tuple[ClearText, ...]:
        """Return the store, a proxy, and the servers that give tokens, without TLS."""
        return (*super().list_clear_text(), *self._list_clear_token_servers())

    def _list_clear_token_servers(self) -> Iterator[ClearText]:
        file = self.credentials_file
        if file is None and not (self.endpoint_url or "").startswith("http:"):
            file = os.environ.get(FILE_VARIABLE)
        if not file:
            return
        try:
            found = msgspec.json.decode(Path(file).read_bytes(), type=dict[str, object])
        except (OSError, ValueError):  # the connection says so
            return
        addresses = {f"{name} of {file}": found.get(name) for name in _TOKEN_ADDRESSES}
        yield from list_clear_addresses("credentials_file", addresses)

    @property
    def where(self) -> str:
        """The bucket, as errors and logs name it."""
        found = self.environment_address  # its value is not shown
        usual = "Google Cloud" if found is None else f"the address in {found[0]}"
        return f"bucket {self.bucket} at {self.endpoint_url or usual}"
