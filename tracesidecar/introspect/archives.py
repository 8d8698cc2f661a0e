"""Read a trace file whole, decompressed if its name says that it is an archive."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Mapping
from typing import BinaryIO, cast

import zstandard

from tracesidecar.model import Compression

UNREADABLE = (OSError, EOFError, zlib.error, zstandard.ZstdError)
"""What reading raises if the file, or the archive in it, is damaged."""

_BY_EXTENSION: Mapping[str, Compression] = {".gz": "gzip", ".zst": "zstd"}


def compression_by_name(path: str) -> Compression:
    """Return how a file is compressed, by its name alone."""
    return _BY_EXTENSION.get(os.path.splitext(path)[1], "none")


def open_content(path: str, descriptor: int) -> BinaryIO:
    """Open the content of a file, which has this name; the descriptor is closed with it."""
    file = os.fdopen(descriptor, "rb")
    compression = compression_by_name(path)
    if compression == "gzip":
        return cast("BinaryIO", gzip.open(file))
    if compression == "zstd":
        return cast(
            "BinaryIO", zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        )
    return file
