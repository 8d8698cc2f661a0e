"""Each sink type has a page that says what a person needs to know before it is used, and its
configuration loads.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tracesidecar.config.load import load
from tracesidecar.sinks import elasticsearch, kafka, syslog
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.registry import SINK_PACKAGES, promise_of
from tracesidecar.sinks.registry import sink_type as declared_type
from tracesidecar.sinks.sink import Promise

PAGES = Path(__file__).resolve().parents[2] / "docs" / "sinks"
SECTIONS = ["Configuration", "Delivery", "Limits", "Permissions", "Reading"]
OTHERWISE: dict[str, SinkOptions] = {
    "elasticsearch": elasticsearch.Options(
        name="x", type="elasticsearch", url="https://h", data_stream="logs-a-b"
    ),
    "kafka": kafka.Options(
        name="x", type="kafka", brokers=("h:9092",), topic="t", transactional_id="one"
    ),
    "syslog": syslog.Options(name="x", type="syslog", host="h", transport="udp"),
}
"""Options by which a sink promises something else than is usual for its type."""

SOURCE = '[[source]]\nname = "agent"\ninclude = ["traces/**/*.jsonl"]\n'


def page(sink_type: str) -> str:
    return (PAGES / f"{sink_type}.md").read_text("utf-8")


def section(sink_type: str, title: str) -> str:
    return page(sink_type).partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def promises(sink_type: str) -> set[Promise]:
    """All that a sink of that type may promise, by its options."""
    found = {declared_type(sink_type).promise}
    if sink_type in OTHERWISE:
        found.add(promise_of(OTHERWISE[sink_type]))
    return found


def test_every_page_is_about_a_sink_type_and_every_type_has_one() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} - {"README", "contract"} == set(SINK_PACKAGES)


def test_every_type_whose_promise_depends_on_its_options_is_tried_with_other_options() -> None:
    assert {name for name in SINK_PACKAGES if declared_type(name).promise_of is not None} == set(
        OTHERWISE
    )
    assert all(len(promises(name)) == 2 for name in OTHERWISE)


@pytest.mark.parametrize("sink_type", sorted(SINK_PACKAGES))
def test_a_page_has_the_sections_that_people_look_for_in_this_order(sink_type: str) -> None:
    titles = re.findall(r"^## (.+)$", page(sink_type), re.MULTILINE)
    assert [title for title in titles if title in SECTIONS] == SECTIONS
    assert all(section(sink_type, title).strip() for title in SECTIONS)


@pytest.mark.parametrize("sink_type", sorted(SINK_PACKAGES))
def test_the_delivery_section_says_in_bold_what_is_promised(sink_type: str) -> None:
    bold = " ".join(re.findall(r"\*\*(.+?)\*\*", section(sink_type, "Delivery"))).lower()
    assert {promise for promise in promises(sink_type) if promise not in bold} == set()


@pytest.mark.parametrize("sink_type", sorted(SINK_PACKAGES))
def test_every_configuration_on_a_page_can_be_loaded(sink_type: str, tmp_path: Path) -> None:
    blocks = [
        block
        for block in re.findall(r"```toml\n(.*?)```", page(sink_type), re.DOTALL)
        if "[[sink]]" in block
    ]
    assert blocks
    for block in blocks:
        for name in re.findall(r"/etc/tracesidecar/([a-z.-]+)", block):
            (tmp_path / name).write_text("x")
        path = tmp_path / "tracesidecar.toml"
        path.write_text(SOURCE + block.replace("/etc/tracesidecar/", f"{tmp_path}/"))
        environment = dict.fromkeys(re.findall(r"\$\{env:([A-Z_]+)", block), "x") | {
            "HOME": str(tmp_path)
        }
        assert [sink.type for sink in load(str(path), environment).configuration.sink] == [
            sink_type
        ]


def test_the_index_has_every_type_with_all_that_it_may_promise() -> None:
    index = (PAGES / "README.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| \[`(\w+)`\]\(\1\.md\)[^|]*\| ([^|]*) \|", index, re.MULTILINE))
    assert rows.keys() == SINK_PACKAGES.keys()
    assert {
        name: promise
        for name, said in rows.items()
        for promise in promises(name)
        if promise not in said
    } == {}


def test_links_between_pages_lead_somewhere() -> None:
    for path in PAGES.glob("*.md"):
        for target, anchor in re.findall(
            r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", path.read_text("utf-8")
        ):
            reached = path.parent / target if target else path
            assert reached.exists(), f"{path.name} links to {target}"
            headings = [
                heading.lower().replace(" ", "-")
                for heading in re.findall(r"^#+ (.+)$", reached.read_text("utf-8"), re.MULTILINE)
            ]
            assert not anchor or anchor in headings, f"{path.name} links to {target}#{anchor}"
