"""The checksums that S3 can verify an object against."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Algorithm = Literal["sha256", "sha1", "crc32", "crc32c", "crc64nvme", "none"]


@dataclass(frozen=True, slots=True)
class Checksum:
    """One algorithm: `name` is S3's word for it, `of_bytes` computes it.

    An object that was uploaded in parts has the checksum of the checksums of its parts, unless
    `is_whole`: then S3 computes that of the whole content from those of the parts.
    """

    name: str
    of_bytes: Callable[[bytes], bytes]
    is_whole: bool = False

    def parameters(self, content: bytes) -> dict[str, object]:
        """Return the parameters of a request with these bytes, none if there is no algorithm."""
        return {self.field: self.of(content)} if self.name else {}

    @property
    def algorithm_parameters(self) -> dict[str, object]:
        """The parameter that announces the algorithm, which Object Lock requires."""
        return {"ChecksumAlgorithm": self.name} if self.name else {}

    @property
    def field(self) -> str:
        """The name of the checksum's field in requests and responses."""
        return f"Checksum{self.name}"

    def of(self, content: bytes) -> str:
        """Return the checksum as S3 writes it."""
        return base64.b64encode(self.of_bytes(content)).decode()

    def of_parts(self, content: bytes, parts: Sequence[str]) -> str:
        """Return the checksum that S3 gives an object of parts that have these checksums."""
        if self.is_whole:
            return self.of(content)
        return f"{self.of(b''.join(base64.b64decode(part) for part in parts))}-{len(parts)}"


def is_installed(algorithm: Algorithm) -> bool:
    """Return whether the package that computes the algorithm can be imported."""
    return (
        not algorithm.startswith(("crc32c", "crc64"))
        or importlib.util.find_spec("awscrt") is not None
    )


def checksum(algorithm: Algorithm) -> Checksum:
    """Return the checksum of an algorithm; that of "none" has no name, and is always empty."""
    return _CHECKSUMS[algorithm]


def _crc32c(content: bytes) -> bytes:
    from awscrt.checksums import crc32c

    return int(crc32c(content)).to_bytes(4, "big")


def _crc64nvme(content: bytes) -> bytes:
    from awscrt.checksums import crc64nvme

    return int(crc64nvme(content)).to_bytes(8, "big")


_CHECKSUMS = {
    "sha256": Checksum("SHA256", lambda content: hashlib.sha256(content).digest()),
    "sha1": Checksum("SHA1", lambda content: hashlib.sha1(content, usedforsecurity=False).digest()),
    "crc32": Checksum("CRC32", lambda content: zlib.crc32(content).to_bytes(4, "big")),
    "crc32c": Checksum("CRC32C", _crc32c),
    "crc64nvme": Checksum("CRC64NVME", _crc64nvme, is_whole=True),
    "none": Checksum("", lambda _content: b"", is_whole=True),
}
