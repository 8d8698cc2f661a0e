"""Paths as they may leave the machine: redacted like any text."""

from __future__ import annotations

from tracesidecar.sanitize import redact_path
from tracesidecar.sanitize.sanitizer import Sanitizer

KEPT_LABELS = 4096
"""This many are remembered; then the memory starts over."""


class PathLabels:
    """Redacted paths, each remembered: files come again with every chunk, folders with files."""

    def __init__(self, sanitizer: Sanitizer) -> None:
        self._sanitizer = sanitizer
        self._labels: dict[str, str] = {}

    def label(self, path: str) -> str:
        """Return the path as it may leave the machine."""
        if path not in self._labels:
            if len(self._labels) > KEPT_LABELS:
                self._labels.clear()
            self._labels[path] = redact_path(path, self._sanitizer.redact_text)
        return self._labels[path]
