"""Export requests of OTLP: records of format `otlp` in one body, and what the response says."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

_BEGIN = b'{"resourceLogs":['
_RECORDS = b',"logRecords":['
_END = b"]}]}]}"
_HEXADECIMAL_ID = re.compile(rb'"(traceId|spanId)":"([0-9a-f]{16,32})"')
"""Quotes in a text are escaped in JSON, so this and `_RECORDS` only match members of objects."""


class _PartialSuccess(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Of logs: that of traces or metrics has other fields, and says nothing about logs."""

    rejected_log_records: int = 0
    error_message: str = ""


class _ExportResponse(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    partial_success: _PartialSuccess | None = None


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


def count_rejected_records(response: bytes, encoding: Literal["json", "protobuf"]) -> int | None:
    """Return how many records the body of a response reports as rejected.

    0 if it reports none: an empty body is an ExportLogsServiceResponse without a partial success,
    too. None if it is no ExportLogsServiceResponse.
    """
    try:
        count = (
            _read_rejected_in_protobuf(response)
            if encoding == "protobuf"
            else _read_rejected(response)
        )
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return None
    return count if count >= 0 else None


def _read_rejected(response: bytes) -> int:
    if not response.strip():
        return 0
    partial = msgspec.json.decode(response, type=_ExportResponse, strict=False).partial_success
    return 0 if partial is None else partial.rejected_log_records


def _read_rejected_in_protobuf(response: bytes) -> int:
    """Read `partial_success` (1) of the response and `rejected_log_records` (1) in that.

    By hand: a receiver may answer in protobuf to JSON, for which its package is not needed. Fields
    that this version does not know are an error, because any text can be read as such fields.
    """
    rejected = 0
    for number, partial in _fields(response):
        if number != 1 or not isinstance(partial, bytes):
            raise ValueError("not an ExportLogsServiceResponse")
        for inner, value in _fields(partial):
            if inner == 1 and isinstance(value, int):
                rejected = value - (1 << 64) if value >> 63 else value
            elif inner != 2 or not isinstance(value, bytes):
                raise ValueError("not an ExportLogsPartialSuccess")
    return rejected


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field: varints, and what has a length."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        value, at = _varint(message, at)
        if key & 7 == 0:
            yield key >> 3, value
        elif key & 7 == 2 and at + value <= len(message):
            yield key >> 3, message[at : at + value]
            at += value
        else:
            raise ValueError("a field of another type, or a truncated one")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at an index, and the index of what follows."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        value |= (message[at] & 0x7F) << shift
        at += 1
        if message[at - 1] < 0x80:
            return value, at
    raise ValueError("no varint")
