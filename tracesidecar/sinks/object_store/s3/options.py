"""The keys of a `[[sink]]` of type `s3`."""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import urlencode

import msgspec

from tracesidecar.sinks.exposure import ClearText
from tracesidecar.sinks.object_store.options import (
    ObjectStoreOptions,
    find_variable,
    list_clear_addresses,
)
from tracesidecar.sinks.object_store.s3 import checksums
from tracesidecar.units import Secret, Size

MIN_PART_BYTES = 5 << 20
"""The smallest part that Amazon S3 accepts, except for the last one."""

MAX_TAGS = 10

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}|arn:[A-Za-z0-9:/._-]+")
_TAG = re.compile(r"[\w +\-=.:/@]{1,128}=[\w +\-=.:/@]{0,256}")


class ObjectLock(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`object_lock = { … }`: what keeps objects from being deleted.

    `retain_days` counts from the moment of writing.
    """

    mode: Literal["governance", "compliance"] | None = None
    retain_days: int = 0
    legal_hold: bool = False

    def __post_init__(self) -> None:
        if (self.mode is None) != (self.retain_days <= 0):
            raise ValueError(
                "mode and retain_days belong together: give both, or neither and legal_hold"
            )
        if self.mode is None and not self.legal_hold:
            raise ValueError("object_lock has no effect: give mode and retain_days, or legal_hold")

    def put_parameters(self, now: datetime) -> dict[str, object]:
        """Return the parameters of a PUT at that time, as S3 calls them."""
        retention = (
            {
                "ObjectLockMode": self.mode.upper(),
                "ObjectLockRetainUntilDate": now + timedelta(days=self.retain_days),
            }
            if self.mode
            else {}
        )
        return retention | ({"ObjectLockLegalHoldStatus": "ON"} if self.legal_hold else {})


class Options(ObjectStoreOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Amazon S3, or another store with its API.

    `credentials_file` is INI, as the AWS tools write it; `profile` is a section of it. Without it
    and without keys the SDK's own chain is used: environment, shared files, web identity, instance.
    `checksum = "none"` is for stores that know no checksums.
    """

    bucket: str
    region: str | None = None
    endpoint_url: str | None = None
    path_style: bool = False
    access_key: Secret | None = None
    secret_key: Secret | None = None
    session_token: Secret | None = None
    credentials_file: str | None = None
    profile: str = "default"
    encryption: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = None
    kms_key_id: str | None = None
    storage_class: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    object_lock: ObjectLock | None = None
    checksum: checksums.Algorithm = "sha256"
    multipart_above: Size = msgspec.field(default_factory=lambda: Size.parse("64MiB"))
    part_size: Size = msgspec.field(default_factory=lambda: Size.parse("16MiB"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if _BUCKET.fullmatch(self.bucket) is None:
            raise ValueError(
                "bucket is the name alone, without s3:// and without a path, which goes into prefix"
            )
        if (
            self.endpoint_url is not None
            and re.fullmatch(r"https?://[^/?#@\s]+/?", self.endpoint_url) is None
        ):
            raise ValueError("endpoint_url does not have the form https://host[:port]")
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key belong together: give both or neither")
        if self.access_key is not None and self.credentials_file is not None:
            raise ValueError("credentials_file and access_key are both given: keep one")
        if self.part_size < MIN_PART_BYTES:
            raise ValueError("part_size must be at least 5MiB")
        if self.kms_key_id is not None and not (self.encryption or "").startswith("aws:kms"):
            raise ValueError('kms_key_id needs encryption = "aws:kms"')
        if len(self.tags) > MAX_TAGS or not all(
            _TAG.fullmatch(key + "=" + value) for key, value in self.tags.items()
        ):
            raise ValueError(
                f"tags must be at most {MAX_TAGS} names and values "
                "of letters, digits, blanks and + - = . _ : / @"
            )
        if self.object_lock is not None and self.checksum == "none":
            raise ValueError('object_lock needs a checksum: leave out checksum = "none"')
        if not checksums.is_installed(self.checksum):
            raise ValueError(
                f'checksum = "{self.checksum}" is not installed; run: pip install "botocore[crt]"'
            )

    @property
    def store_address(self) -> str | None:
        """The URL of the store; None for Amazon's."""
        return self.endpoint_url

    @property
    def environment_address(self) -> tuple[str, str] | None:
        """The endpoint that the SDK takes from the environment."""
        return _find_endpoint("S3")

    @property
    def takes_all_proxy(self) -> bool:
        """Whether the client takes the proxy in ALL_PROXY: the SDK does not."""
        return False

    def list_clear_text(self) -> tuple[ClearText, ...]:
        """Return the store, a proxy, and the services that give credentials, without TLS."""
        found = super().list_clear_text()
        if self.access_key is not None or self.credentials_file is not None:
            return found
        asked = dict(filter(None, map(_find_endpoint, ("STS", "SSO", "SSO_OIDC", "SIGNIN"))))
        if self.endpoint_url is None and self.environment_address is not None:
            asked.pop(self.environment_address[0], None)  # one variable, one sentence
        return (*found, *list_clear_addresses("credentials_file", asked))

    @property
    def where(self) -> str:
        """The bucket, as errors and logs name it."""
        found = self.environment_address  # its value is not shown
        usual = "AWS" if found is None else f"the address in {found[0]}"
        return f"bucket {self.bucket} at {self.endpoint_url or usual}"

    def put_parameters(self, now: datetime) -> dict[str, object]:
        """Return the parameters of a PUT at that time, as S3 calls them.

        Encryption, storage class, tags and lock.
        """
        configured = {
            "ServerSideEncryption": self.encryption,
            "SSEKMSKeyId": self.kms_key_id,
            "StorageClass": self.storage_class,
            "Tagging": urlencode(self.tags),
        }
        lock = self.object_lock.put_parameters(now) if self.object_lock is not None else {}
        return {name: value for name, value in configured.items() if value} | lock


def _find_endpoint(service: str) -> tuple[str, str] | None:
    """Return the variable that names the endpoint of a service, and its URL.

    docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
    """
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    return find_variable(f"AWS_ENDPOINT_URL_{service}", "AWS_ENDPOINT_URL")
