"""Whatever a document says, the answer is a configuration or problems with their lines, never an
exception.
"""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.config.conftest import GOOD, Folder

KEYS = [
    "state_directory",
    "daemon",
    "source",
    "redaction",
    "quarantine",
    "sink",
    "name",
    "include",
    "exclude",
    "dialect",
    "labels",
    "max_line",
    "repair",
    "copy_grace",
    "hold_directory",
    "drain_deadline",
    "listen",
    "pii",
    "disable",
    "hmac_key",
    "allow",
    "key_names",
    "rule",
    "test",
    "id",
    "regex",
    "group",
    "type",
    "path",
    "format",
    "compression",
    "batch",
    "bytes",
    "age",
    "required",
    "sources",
    "start",
    "url",
    "auth",
    "headers",
    "tls",
    "token",
    "token_file",
    "bucket",
    "access_key",
    "ca_file",
    "nonsense",
]

_scalars = st.sampled_from(
    [
        "true",
        "3",
        "-1.5",
        '""',
        '"agent"',
        '"directory"',
        '"http"',
        '"1s"',
        '"4MiB"',
        '"${env:HOME}"',
        '"${x}"',
        "2020-01-01",
        '"/a/*"',
    ]
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=3).map(
            lambda table: "{ " + ", ".join(f"{k} = {v}" for k, v in table.items()) + " }"
        ),
    ),
    max_leaves=4,
)
_pairs = st.dictionaries(st.sampled_from(KEYS), _values, max_size=4)
_blocks = st.lists(
    st.tuples(
        st.sampled_from(
            ["[[source]]", "[[sink]]", "[daemon]", "[redaction]", "[[redaction.rule]]"]
        ),
        _pairs,
    ),
    max_size=4,
)


def render_pairs(pairs: dict[str, str]) -> str:
    return "".join(f"{key} = {value}\n" for key, value in pairs.items())


@settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(_pairs, _blocks)
def test_any_document_is_judged(
    tmp_path: Path, top: dict[str, str], blocks: list[tuple[str, dict[str, str]]]
) -> None:
    text = render_pairs(top) + "".join(
        f"{header}\n{render_pairs(pairs)}" for header, pairs in blocks
    )
    inspection = Folder(tmp_path).inspect(text)
    assert inspection.problems or inspection.configuration is not None
    last = text.count("\n") + 1
    assert all(1 <= problem.line <= last and problem.message for problem in inspection.problems)


@settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from(GOOD.splitlines()), st.sampled_from(KEYS), _values)
def test_one_changed_line_of_a_good_configuration_is_judged(
    tmp_path: Path, line: str, key: str, value: str
) -> None:
    inspection = Folder(tmp_path).inspect(GOOD.replace(line, f"{key} = {value}", 1))
    assert inspection.problems or inspection.configuration is not None
    assert json.dumps([str(problem) for problem in inspection.problems])
