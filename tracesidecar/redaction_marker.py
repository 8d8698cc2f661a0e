"""What stands in place of a secret: `[REDACTED:<rule>]` or `[REDACTED:<rule>:<8 hex digits>]`."""

from __future__ import annotations

import re

MARKER_START = "[REDACTED:"

MARKER_START_PATTERN = re.escape(MARKER_START) + "([a-z0-9-]{1,64})"
"""The beginning of a marker up to the rule, which is the only group."""

MARKER_PATTERN = MARKER_START_PATTERN + r"(?::[0-9a-f]{8})?\]"
"""A whole marker; the rule is the only group."""
