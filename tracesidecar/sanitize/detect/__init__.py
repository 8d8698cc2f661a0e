"""Which spans of a text are secrets, and which hits of a line are worth a closer look?"""

from __future__ import annotations

from tracesidecar.sanitize.detect.confirm import HitConfirmer, is_paired
from tracesidecar.sanitize.detect.detector import Detector
from tracesidecar.sanitize.detect.encoded_text import EncodedText

__all__ = ["Detector", "EncodedText", "HitConfirmer", "is_paired"]
