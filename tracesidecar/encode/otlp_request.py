"""Encoded records of format `otlp` into the body of one export request."""

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
"""Quotes within a text are escaped in JSON: this and `_RECORDS` can be found as members only."""


class _PartialSuccess(msgspec.Struct):
    rejectedLogRecords: int = 0  # noqa: N815 - the name on the wire


class _Answer(msgspec.Struct):
    partialSuccess: _PartialSuccess = msgspec.field(default_factory=_PartialSuccess)  # noqa: N815


def export_request(records: Iterable[bytes]) -> bytes:
    """Join records as `otlp.encode` gives them into the JSON of one ExportLogsServiceRequest.

    Records of one resource stand together, in their order. Raise ValueError for what is no such
    record.
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


def protobuf(request: bytes) -> bytes:
    """Turn the JSON of an export request into protobuf (extra `otlp`)."""
    from google.protobuf.json_format import Parse
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    # OTLP writes ids hexadecimal, the JSON mapping of protobuf writes bytes in base64
    in_base64 = _HEXADECIMAL_ID.sub(
        lambda match: b'"%s":"%s"' % (match[1], base64.b64encode(bytes.fromhex(match[2].decode()))),
        request,
    )
    return Parse(in_base64, ExportLogsServiceRequest()).SerializeToString()


def refused_records(answer: bytes, encoding: Literal["json", "protobuf"]) -> int:
    """How many records of a request its answer says are refused; 0 for one that says nothing that
    can be read.
    """
    if encoding == "protobuf":
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

        try:
            return ExportLogsServiceResponse.FromString(answer).partial_success.rejected_log_records
        except DecodeError:
            return 0
    try:
        return msgspec.json.decode(
            answer, type=_Answer, strict=False
        ).partialSuccess.rejectedLogRecords
    except msgspec.MsgspecError:
        return 0
