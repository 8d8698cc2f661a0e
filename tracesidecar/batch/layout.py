"""The names of what a store keeps: objects by format, day and dialect, and manifests by day."""

from __future__ import annotations

import time

from tracesidecar.encode import MANIFESTS


def object_file_name(host: str, at: int, batch_id: str, extension: str) -> str:
    """Return the last part of an object's name: `host-20261121T101112Z-<batch id>.jsonl.gz`.

    Its folder is the partition. Names sort by time, and each is used once. `at` is in seconds since
    the epoch.
    """
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    return f"{host}-{moment}-{batch_id}{extension}"


def manifest_name(at: int, batch_id: str) -> str:
    """Return `_manifest/v1/dt=2026-11-21/<batch id>.json`."""
    return f"{MANIFESTS}dt={day(at)}/{batch_id}.json"


def day(at: int) -> str:
    """Return the UTC date of a time in seconds since the epoch."""
    return time.strftime("%Y-%m-%d", time.gmtime(at))
