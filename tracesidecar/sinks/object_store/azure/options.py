"""The keys of a `[[sink]]` of type `azure`."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from tracesidecar.sinks.object_store.options import ObjectStoreOptions
from tracesidecar.units import Secret, Size

MAX_PUT_BYTES = 5000 << 20
MAX_BLOCK_BYTES = 4000 << 20

_CONTAINER = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}")
_ADDRESS = re.compile(r"https?://[^/?#@\s]+(?:/[^/?#@\s]+)?/?")


class Options(ObjectStoreOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Azure Blob Storage.

    `account_url` or the connection string names the account. The credentials are a connection
    string, an account key or a shared access signature, here or in `credentials_file`, which is
    read again after a rejection. Without any of them Azure's default chain is used: environment,
    workload identity, managed identity (`client_id` for a user-assigned one). `checksum = "none"`
    is for stores that know no checksums.
    """

    container: str
    account_url: str | None = None
    connection_string: Secret | None = None
    account_key: Secret | None = None
    sas_token: Secret | None = None
    credentials_file: str | None = None
    client_id: str | None = None
    checksum: Literal["md5", "none"] = "md5"
    blocks_above: Size = msgspec.field(default_factory=lambda: Size.parse("64MiB"))
    block_size: Size = msgspec.field(default_factory=lambda: Size.parse("16MiB"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if _CONTAINER.fullmatch(self.container) is None:
            raise ValueError(
                "container is the name alone: 3 to 63 lower-case letters, digits and single hyphens"
            )
        given = [
            key
            for key in ("connection_string", "account_key", "sas_token", "credentials_file")
            if getattr(self, key) is not None
        ]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given: keep one")
        if (self.account_url is None) == (self.connection_string is None):
            raise ValueError("account_url or connection_string: exactly one of them is needed")
        if self.account_url is not None and _ADDRESS.fullmatch(self.account_url) is None:
            raise ValueError(
                "account_url does not have the form https://ACCOUNT.blob.core.windows.net"
            )
        if not 0 < self.blocks_above <= MAX_PUT_BYTES or not 0 < self.block_size <= MAX_BLOCK_BYTES:
            raise ValueError("blocks_above may be 5000MiB at most, and block_size 4000MiB")
        if self.connection_string is not None:
            ConnectionString.parse(self.connection_string)

    @property
    def address(self) -> str:
        """The account's URL, without a slash at the end."""
        if self.connection_string is not None:
            return ConnectionString.parse(self.connection_string).address
        return (self.account_url or "").rstrip("/")

    @property
    def store_address(self) -> str | None:
        """The account's URL."""
        return self.address

    @property
    def address_key(self) -> str:
        """The option that has the account's URL."""
        return "account_url" if self.connection_string is None else "connection_string"

    @property
    def where(self) -> str:
        """The container, as errors and logs name it."""
        return f"container {self.container} at {self.address}"


class ConnectionString(msgspec.Struct, frozen=True):
    """A connection string as the portal offers it for copying.

    The account's address, and its key or a shared access signature.
    """

    address: str
    key: Secret | None
    signature: Secret | None

    @classmethod
    def parse(cls, text: str) -> ConnectionString:
        """Parse `Name=value;…`. Raises ValueError that names what is missing."""
        fields = {
            name.strip().lower(): value
            for name, _, value in (field.partition("=") for field in text.strip().split(";"))
        }
        account = fields.get("accountname")
        scheme, suffix = (
            fields.get("defaultendpointsprotocol", "https"),
            fields.get("endpointsuffix", "core.windows.net"),
        )
        address = fields.get("blobendpoint") or (
            f"{scheme}://{account}.blob.{suffix}" if account else None
        )
        key, signature = fields.get("accountkey"), fields.get("sharedaccesssignature")
        if address is None or not (key or signature):
            raise ValueError(
                "connection_string needs AccountName or BlobEndpoint, "
                "and AccountKey or SharedAccessSignature"
            )
        return cls(
            address.rstrip("/"),
            Secret(key) if key else None,
            Secret(signature) if signature else None,
        )


def account_of(address: str) -> str:
    """Return the account's name: the first label of the host.

    It is the path instead if there is one: an emulator serves several accounts on one host.
    """
    parts = urlsplit(address)
    return parts.path.strip("/") or (parts.hostname or "").partition(".")[0]
