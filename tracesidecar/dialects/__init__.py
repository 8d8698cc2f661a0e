"""Give lines of agents' traces a meaning: recognise their dialect, and map them to events.

`Interpreter` turns the lines of a file into canonical events (`Event`, described by `COLUMNS`).
A dialect's own module is imported when the first file needs it.
"""

from tracesidecar.dialects.columns import COLUMNS, PARTITIONS, Column, ColumnType
from tracesidecar.dialects.conflict import LineOrigin, derive_id
from tracesidecar.dialects.event import IDS_BY_PLACE, SCHEMA_VERSION, Event, TimeSource
from tracesidecar.dialects.file_name import OTHER_ROOT, FileName
from tracesidecar.dialects.ids import digest_file
from tracesidecar.dialects.interpreter import DialectEvent, Identify, Interpreter
from tracesidecar.dialects.prices import cost_source
from tracesidecar.dialects.registry import DIALECT_NAMES, load_dialects
from tracesidecar.dialects.selection import select_dialect
from tracesidecar.dialects.state import FileIdentity, UnreadableState, decode_state
from tracesidecar.dialects.tool_calls import find_patched_files, set_target
from tracesidecar.dialects.truncate import truncate_text

__all__ = [
    "COLUMNS",
    "DIALECT_NAMES",
    "IDS_BY_PLACE",
    "OTHER_ROOT",
    "PARTITIONS",
    "SCHEMA_VERSION",
    "Column",
    "ColumnType",
    "DialectEvent",
    "Event",
    "FileIdentity",
    "FileName",
    "Identify",
    "Interpreter",
    "LineOrigin",
    "TimeSource",
    "UnreadableState",
    "cost_source",
    "decode_state",
    "derive_id",
    "digest_file",
    "find_patched_files",
    "load_dialects",
    "select_dialect",
    "set_target",
    "truncate_text",
]
