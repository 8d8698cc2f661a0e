"""Export requests of OTLP: records of format `otlp` in one body, and what the response says."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Literal

import msgspec

_BEGIN = b'{"resourceLogs":['
_RECORDS = b',"logRecords":['
_END = b"]}]}]}"
_HEXADECIMAL_ID = re.compile(rb'"(traceId|spanId)":"([0-9a-f]{16,32})"')
"""Quotes in a text are escaped in JSON, so this and `_RECORDS` only match members of objects."""


class _PartialSuccess(msgspec.Struct):
    rejectedLogRecords: int = 0  # noqa: N815 - the name on the wire


class _ExportResponse(msgspec.Struct):
    partialSuccess: _PartialSuccess = msgspec.field(default_factory=_PartialSuccess)  # noqa: N815 - as above


def export_request(records: Iterable[bytes]) -> bytes:
    """Return the JSON of one ExportLogsServiceRequest with these records of `otlp.encode`.

    Records of one resource are grouped, in their order. Raise ValueError for any other record.
    """
    by_resource: dict[bytes, list[bytes]] = {}
    for record in records:
        head, mark, rest = record.partition(_RECORDS)
        if not (mark and head.startswith(_BEGIN) and rest.endswith(_END)):
            raise ValueError("not a record of format otlp")
        by_resource.setdefault(head.removeprefix(_BEGIN), []).append(rest.removesuffix(_END))
    resources = (
        head + _RECORDS + b",".join(group) + b"]}]}" for head, group in by_resource.items()
    )
    return _BEGIN + b",".join(resources) + b"]}"


def to_protobuf(request: bytes) -> bytes:
    """Return the JSON of an export request as protobuf (needs the extra `otlp`)."""
    from google.protobuf.json_format import Parse
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    # OTLP/JSON writes ids in hexadecimal, while protobuf's own JSON mapping expects base64.
    in_base64 = _HEXADECIMAL_ID.sub(
        lambda match: b'"%s":"%s"' % (match[1], base64.b64encode(bytes.fromhex(match[2].decode()))),
        request,
    )
    return Parse(in_base64, ExportLogsServiceRequest()).SerializeToString()


def count_rejected_records(response: bytes, encoding: Literal["json", "protobuf"]) -> int:
    """Return how many records the response to a request reports as rejected.

    0 if it reports none, or cannot be decoded.
    """
    if encoding == "protobuf":
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

        try:
            return ExportLogsServiceResponse.FromString(
                response
            ).partial_success.rejected_log_records
        except DecodeError:
            return 0
    try:
        return msgspec.json.decode(
            response, type=_ExportResponse, strict=False
        ).partialSuccess.rejectedLogRecords
    except msgspec.MsgspecError:
        return 0
