"""The page about formats agrees with the code. `UPDATE_GOLDEN=1` rewrites its tables."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tracesidecar.dialects import Event
from tracesidecar.encode.formats import EVENT_FORMATS, mapping_table
from tracesidecar.encode.ocsf_classes import class_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "formats.md"
TABLES = {name: mapping_table(name) for name in EVENT_FORMATS if name != "event"} | {
    "classes": class_table()
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_the_page_is_that_of_the_code(name: str) -> None:
    between = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    page = PAGE.read_text(encoding="utf-8")
    assert between.search(page)
    written = between.sub(lambda match: match[1] + TABLES[name] + match[2], page)
    if "UPDATE_GOLDEN" in os.environ:
        PAGE.write_text(written, encoding="utf-8")
        page = written
    assert page == written


def test_every_format_has_its_section() -> None:
    assert re.findall(r"^## (\w+)", PAGE.read_text(encoding="utf-8"), re.MULTILINE) == list(
        EVENT_FORMATS
    )


@pytest.mark.parametrize("name", EVENT_FORMATS)
def test_every_column_is_mapped(name: str) -> None:
    assert set(EVENT_FORMATS[name].column_mapping) == set(Event.__struct_fields__)
