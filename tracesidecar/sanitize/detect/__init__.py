"""Which spans of a text are secrets, and which hits of a line are worth a closer look?"""

from __future__ import annotations

from tracesidecar.sanitize.detect.arguments import LOGIN_LISTS, find_secrets
from tracesidecar.sanitize.detect.confirm import HitConfirmer, is_paired
from tracesidecar.sanitize.detect.detector import Detector
from tracesidecar.sanitize.detect.encoded_text import EncodedText

__all__ = [
    "LOGIN_LISTS",
    "Detector",
    "EncodedText",
    "HitConfirmer",
    "find_secrets",
    "is_paired",
]
