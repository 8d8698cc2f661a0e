"""How events and lines are written.

Here are the record formats, compressed bodies, Parquet files, and the layout of a lake.

pyarrow and the protobuf packages are imported only by the functions that need them.
"""

from tracesidecar.encode.content import (
    CONTENT_FORMS,
    Content,
    Narrowing,
    describe_level,
    level_table,
    narrowing_of,
)
from tracesidecar.encode.control_characters import (
    escape_control_characters,
    replace_control_characters,
)
from tracesidecar.encode.displaced import DISPLACED
from tracesidecar.encode.event_fields import epoch_microseconds
from tracesidecar.encode.formats import encoder_for
from tracesidecar.encode.jsonl import (
    EXTENSIONS,
    EventLinesEncoder,
    LinesEncoder,
    compression_of,
    decode_lines,
    encode_lines,
)
from tracesidecar.encode.lake_layout import (
    COMPACTIONS,
    FORMATS,
    MANIFESTS,
    Format,
    RecordFormat,
    format_of,
    lake_root,
    parse_object_name,
    partition_folder,
    partition_of,
)
from tracesidecar.encode.limit import encode_within
from tracesidecar.encode.otlp_request import count_rejected_records, export_request, to_protobuf
from tracesidecar.encode.parquet import (
    PARQUET_CHUNK_BYTES,
    PARQUET_CHUNK_ROWS,
    ColumnBuffer,
    ParquetEncoder,
    open_parquet_writer,
    parquet_schema,
    write_sorted,
)
from tracesidecar.encode.rejection import RejectedEvent, reject_event
from tracesidecar.encode.severity import severity_of

__all__ = [
    "COMPACTIONS",
    "CONTENT_FORMS",
    "DISPLACED",
    "EXTENSIONS",
    "FORMATS",
    "MANIFESTS",
    "PARQUET_CHUNK_BYTES",
    "PARQUET_CHUNK_ROWS",
    "ColumnBuffer",
    "Content",
    "EventLinesEncoder",
    "Format",
    "LinesEncoder",
    "Narrowing",
    "ParquetEncoder",
    "RecordFormat",
    "RejectedEvent",
    "compression_of",
    "count_rejected_records",
    "decode_lines",
    "describe_level",
    "encode_lines",
    "encode_within",
    "encoder_for",
    "epoch_microseconds",
    "escape_control_characters",
    "export_request",
    "format_of",
    "lake_root",
    "level_table",
    "narrowing_of",
    "open_parquet_writer",
    "parquet_schema",
    "parse_object_name",
    "partition_folder",
    "partition_of",
    "reject_event",
    "replace_control_characters",
    "severity_of",
    "to_protobuf",
    "write_sorted",
]
