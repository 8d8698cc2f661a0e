"""How are the secrets of a line replaced, leaving every other byte as it was?"""

from __future__ import annotations

from tracesidecar.sanitize.edit.edits import Edit, EditedLine
from tracesidecar.sanitize.edit.line_redactor import LineRedactor
from tracesidecar.sanitize.edit.stream_edits import StreamEdits

__all__ = ["Edit", "EditedLine", "LineRedactor", "StreamEdits"]
