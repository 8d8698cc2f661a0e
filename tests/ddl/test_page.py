"""The page of the columns and the JSON Schema are what the code says."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import msgspec
import pytest

from tests.ddl.lakes import rows
from tracesidecar.ddl.columns_page import page
from tracesidecar.ddl.json_schema import event_schema
from tracesidecar.dialects import COLUMNS, Event
from tracesidecar.encode.canonical import encode, encode_partitioned
from tracesidecar.encode.parquet import parquet_schema

PAGE = Path(__file__).resolve().parents[2] / "docs" / "columns.md"


def test_the_page_is_the_codes_own() -> None:
    assert PAGE.read_text("utf-8") == page(), (
        "generate it again: python -m tracesidecar.ddl.columns_page > docs/columns.md"
    )


def test_the_columns_are_those_of_the_struct_in_their_order() -> None:
    assert (
        tuple(column.name for column in COLUMNS)
        == Event.__struct_fields__
        == tuple(parquet_schema().names)
    )


def test_rows_satisfy_the_json_schema() -> None:
    outside, inside = (
        jsonschema.Draft202012Validator(event_schema(in_lake=in_lake)) for in_lake in (False, True)
    )
    for dialect, event in rows():
        outside.validate(msgspec.json.decode(encode(event, dialect)))
        inside.validate(msgspec.json.decode(encode_partitioned(event, dialect)))


def test_a_row_with_another_type_or_without_its_key_does_not() -> None:
    validator = jsonschema.Draft202012Validator(event_schema(in_lake=True))
    row = msgspec.json.decode(encode_partitioned(rows()[1][1], "codex"))
    for wrong in (
        {**row, "input_tokens": "7"},
        {**row, "event_kind": "dance"},
        {key: value for key, value in row.items() if key != "event_id"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(wrong)
