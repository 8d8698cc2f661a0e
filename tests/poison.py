"""Compiled rules that see nothing, as somebody might put them into a cache."""

from __future__ import annotations

import hashlib
from pathlib import Path

import hyperscan

from tracesidecar.sanitize.engine.compile_database import compile_in_process
from tracesidecar.sanitize.engine.database_cache import DatabaseCache
from tracesidecar.sanitize.engine.interface import ScanPattern


def blind_database() -> bytes:
    """Return a database that any Hyperscan loads, and that finds nothing in a trace."""
    nothing = [ScanPattern(0, "qzqzqzqzqzqzqzqz")]
    dump: bytes = hyperscan.dumpb(compile_in_process(nothing, hyperscan.HS_FLAG_DOTALL))
    return dump


def poison(cache: Path, name: str, key: bytes | None = None) -> Path:
    """Replace a database by one that finds nothing; return its path.

    With a key it is signed, as only this installation could do it. Without, it has what somebody
    can compute who has only read the code: a digest of the content.
    """
    [path] = cache.glob(f"{name}-*.hsdb")
    content = blind_database()
    if key is not None:
        DatabaseCache(str(cache), key).store(*split_name(path), content)
    else:
        path.write_bytes(hashlib.sha256(content).digest() + content)
    return path


def split_name(path: Path) -> tuple[str, str]:
    """Return the name and the digest under which a database is stored."""
    name, _, digest = path.stem.rpartition("-")
    return name, digest
