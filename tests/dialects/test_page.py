"""The page about dialects agrees with the code."""

from __future__ import annotations

import re

from tests.dialects.fill import PAGE, page_with_table
from tracesidecar.dialects.registry import DIALECT_NAMES


def test_the_page_names_every_dialect() -> None:
    listed = (
        PAGE.read_text("utf-8").partition("<!-- dialects -->")[2].partition("<!-- /dialects -->")[0]
    )
    assert set(re.findall(r"^\| `([a-z_]+)` \|", listed, re.MULTILINE)) == set(DIALECT_NAMES)


def test_the_table_of_fill_rates_is_that_of_the_fixtures() -> None:
    page = PAGE.read_text("utf-8")
    assert page == page_with_table(page), "python -m tests.dialects.fill writes it again"
