"""Paths as they may leave the machine: redacted like any text."""

from __future__ import annotations

from tracesidecar.sanitize import redact_path
from tracesidecar.sanitize.sanitizer import Sanitizer

KEPT_LABELS = 4096
"""This many are remembered; then the memory starts over."""


class PathLabels:
    """Redacted paths, remembered by segment."""

    def __init__(self, sanitizer: Sanitizer) -> None:
        self._sanitizer = sanitizer
        self._labels: dict[tuple[int, str], str] = {}

    def label(self, segment: int, path: str) -> str:
        """Return the path as it may leave the machine."""
        key = (segment, path)
        if key not in self._labels:
            if len(self._labels) > KEPT_LABELS:
                self._labels.clear()
            self._labels[key] = redact_path(path, self._sanitizer.redact_text)
        return self._labels[key]
