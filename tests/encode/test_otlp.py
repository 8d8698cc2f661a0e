"""Records of format `otlp` are valid by OpenTelemetry's protobuf definitions, as JSON and as
protobuf.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, LogsData

from tests.encode.events import DIALECT, EVENTS, encoder_at, event
from tracesidecar.encode.content import Content
from tracesidecar.encode.formats import encoder_for
from tracesidecar.encode.otlp_request import export_request, to_protobuf

encode = encoder_for("otlp")


def in_base64(value: Any) -> Any:
    """Return the JSON with ids in base64, as protobuf's own JSON mapping expects them."""
    if isinstance(value, list):
        return [in_base64(item) for item in value]
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode()
            if key in ("traceId", "spanId")
            else in_base64(item)
            for key, item in value.items()
        }
    return value


def logs(record: bytes) -> LogsData:
    """Parse strictly: an unknown field or a value of another type is an error."""
    return ParseDict(in_base64(json.loads(record)), LogsData())


def decode_single(record: bytes) -> LogRecord:
    [resource] = logs(record).resource_logs
    [scope] = resource.scope_logs
    [found] = scope.log_records
    return found


def attributes(holder: Any) -> dict[str, Any]:
    found = {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in holder.attributes
    }
    assert len(found) == len(holder.attributes)
    return found


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("content", ["full", "actions", "metadata"])
def test_every_record_is_logs_data(name: str, content: Content) -> None:
    found = decode_single(encoder_at("otlp", content)(EVENTS[name], DIALECT))
    assert found.event_name == f"tracesidecar.{EVENTS[name].event_kind}"
    assert found.severity_number in (9, 13, 17)
    assert attributes(found)["tracesidecar.dialect"] == DIALECT


def test_a_model_call_has_the_attributes_of_the_conventions() -> None:
    found = decode_single(encode(EVENTS["model_call"], DIALECT))
    about = attributes(found)
    assert found.time_unix_nano == 1_788_256_800_123_456_000
    assert found.body.string_value == "Planted."
    expected = {
        "gen_ai.conversation.id": "conv-7f3a",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "example_ai",
        "gen_ai.response.model": "kestrel-3",
        "gen_ai.response.id": "msg_01",
        "gen_ai.usage.input_tokens": 1200,
        "gen_ai.usage.cache_read.input_tokens": 1000,
        "gen_ai.usage.cache_creation.input_tokens": 50,
        "gen_ai.usage.output_tokens": 80,
        "gen_ai.usage.reasoning.output_tokens": 30,
        "tracesidecar.cost_usd": 0.0123,
        "log.record.uid": EVENTS["model_call"].event_id,
    }
    assert expected.items() <= about.items()
    assert [value.string_value for value in about["gen_ai.response.finish_reasons"].values] == [
        "end_turn"
    ]


def test_valid_trace_ids_are_fields_and_others_are_attributes() -> None:
    found = decode_single(encode(EVENTS["span"], DIALECT))
    assert (found.trace_id.hex(), found.span_id.hex()) == (
        "0af7651916cd43dd8448eb211c80319c",
        "b7ad6b7169203331",
    )
    assert "tracesidecar.native_id" not in attributes(found)
    other = decode_single(encode(EVENTS["span of another id"], DIALECT))
    assert (other.trace_id, other.span_id) == (b"", b"")
    assert attributes(other)["tracesidecar.trace_id"] == "not-hexadecimal"
    assert attributes(other)["tracesidecar.native_id"] == "b7ad6b7169203331"


def test_an_id_of_zeros_is_no_id() -> None:
    assert decode_single(encode(event("span", trace_id="0" * 32), DIALECT)).trace_id == b""


def test_labels_are_resource_attributes() -> None:
    [resource] = logs(encode(EVENTS["shell"], DIALECT)).resource_logs
    assert attributes(resource.resource) == {
        "agent": "builder",
        "team.name": "orchard",
        "service.name": "wren",
        "service.version": "2.4.1",
        "host.name": "build-17",
    }


def test_records_of_one_resource_are_grouped_in_a_request() -> None:
    elsewhere = event("user_message", host_name='other ","logRecords":[', text='"}]}]}]}')
    made = [EVENTS["shell"], elsewhere, EVENTS["span"], EVENTS["tricky"]]
    request = export_request(encode(one, DIALECT) for one in made)
    found = ParseDict(in_base64(json.loads(request)), ExportLogsServiceRequest())
    ids = [
        [attributes(record)["log.record.uid"] for record in resource.scope_logs[0].log_records]
        for resource in found.resource_logs
    ]
    assert ids == [[made[0].event_id, made[2].event_id, made[3].event_id], [made[1].event_id]]


def test_the_request_in_protobuf_is_equivalent() -> None:
    request = export_request(encode(one, DIALECT) for one in EVENTS.values())
    found = ExportLogsServiceRequest.FromString(to_protobuf(request))
    assert MessageToDict(found) == MessageToDict(
        ParseDict(in_base64(json.loads(request)), ExportLogsServiceRequest())
    )
    assert sum(
        len(scope.log_records) for resource in found.resource_logs for scope in resource.scope_logs
    ) == len(EVENTS)


def test_an_empty_request_is_valid() -> None:
    assert json.loads(export_request([])) == {"resourceLogs": []}


def test_a_record_of_another_format_is_rejected() -> None:
    with pytest.raises(ValueError, match="not a record of format otlp"):
        export_request([encoder_for("ecs")(EVENTS["shell"], DIALECT)])
