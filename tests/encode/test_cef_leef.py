"""Records of the formats `cef` and `leef` can be read back: CEF also by pycef, LEEF by a reader
built from IBM's description.
"""

from __future__ import annotations

import re

import msgspec
import pycef
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.encode.events import DIALECT, EVENTS, KEY, TRICKY, encoder_at, event, tool_call
from tracesidecar import __version__
from tracesidecar.encode import cef, leef
from tracesidecar.encode.content import Content, narrowing_of
from tracesidecar.encode.formats import encoder_for

TEXTS = st.text().filter(lambda text: "\0" not in text)

PAIR = re.compile(r"([A-Za-z0-9]+)=((?:\\.|[^\\=])*)(?= [A-Za-z0-9]+=|$)", re.DOTALL)


def unescaped(text: str) -> str:
    return re.sub(
        r"\\(.)",
        lambda match: {"n": "\n", "r": "\r", "t": "\t"}.get(match[1], match[1]),
        text,
        flags=re.DOTALL,
    )


def read_cef(record: bytes) -> tuple[list[str], dict[str, str]]:
    """Return header and extension, by the rules of the implementation standard.

    A key is the word before an `=` that is not escaped.
    """
    *header, extension = re.split(r"(?<!\\)(?:\\\\)*\|", record.decode(), maxsplit=7)
    pairs = PAIR.findall(extension)
    assert " ".join(f"{key}={value}" for key, value in pairs) == extension
    assert len({key for key, _ in pairs}) == len(pairs)
    return header, {key: unescaped(value) for key, value in pairs}


def read_leef(record: bytes) -> tuple[list[str], dict[str, str]]:
    """Return header and attributes, by IBM's description of LEEF 2.0.

    The sixth field of the header is the delimiter of attributes.
    """
    *header, rest = record.decode().split("|", 6)
    assert header[0] == "LEEF:2.0"
    pairs = [pair.split("=", 1) for pair in rest.split(chr(int(header[5].removeprefix("x"), 16)))]
    assert len({key for key, _ in pairs}) == len(pairs)
    assert all(re.fullmatch(r"[A-Za-z0-9_]+", key) for key, _ in pairs)
    return header, {key: unescaped(value) for key, value in pairs}


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("content", ["full", "actions", "metadata"])
def test_cef_is_read_back(name: str, content: Content) -> None:
    made = EVENTS[name]
    header, found = read_cef(encoder_at("cef", content)(made, DIALECT))
    assert header[:5] == ["CEF:0", "tracesidecar", "tracesidecar", __version__, made.event_kind]
    assert 0 <= int(header[6]) <= 10
    assert found["externalId"] == made.event_id
    narrowing = narrowing_of(content, KEY)
    sent = made if narrowing is None else narrowing.narrow(made)
    assert found.get("suser") == sent.user_id
    assert found.get("TracesidecarToolArguments") == sent.tool_arguments
    assert found.get("cn1") == (None if made.input_tokens is None else str(made.input_tokens))


@pytest.mark.parametrize("name", EVENTS)
def test_pycef_reads_the_same(name: str) -> None:
    record = encoder_for("cef")(EVENTS[name], DIALECT)
    _, expected = read_cef(record)
    labels = {
        key.removesuffix("Label"): label
        for key, label in expected.items()
        if key.endswith("Label") and f"{key.removesuffix('Label')}" in expected
    }
    found = pycef.parse(record.decode())
    assert found["CEFVersion"] == "0"
    assert found["DeviceEventClassID"] == EVENTS[name].event_kind
    # pycef knows no escape but \= and trims trailing spaces, so only our reader can read the tricky
    # event
    if name != "tricky":
        for key, value in expected.items():
            if not key.endswith("Label"):
                assert unescaped(found[labels.get(key, key)]) == value, key


@given(TEXTS)
def test_any_text_survives_a_cef_extension(text: str) -> None:
    made = event(
        "user_message", text=text, user_id=text or None, conversation_id=text or "c", labels=None
    )
    _, found = read_cef(encoder_for("cef")(made, DIALECT))
    assert found.get("msg", "") == text
    assert found["cs1"] == (text or "c")


@given(TEXTS)
def test_any_text_stays_one_value_of_a_cef_header(text: str) -> None:
    value = cef.header_value(text)
    assert re.split(r"(?<!\\)(?:\\\\)*\|", f"{value}".replace("\\\\", "")) == [
        value.replace("\\\\", "")
    ]
    assert unescaped(value) == text.replace("\n", " ").replace("\r", " ")


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("content", ["full", "actions", "metadata"])
def test_leef_is_read_back(name: str, content: Content) -> None:
    made = EVENTS[name]
    header, found = read_leef(encoder_at("leef", content)(made, DIALECT))
    assert header[1:] == ["tracesidecar", "tracesidecar", __version__, made.event_kind, "x09"]
    assert 1 <= int(found["sev"]) <= 10
    assert re.fullmatch(r"[0-9]{13}", found["devTime"])  # a 13-digit epoch needs no devTimeFormat
    assert found["event_id"] == made.event_id
    assert found.get("msg") == (made.text if content == "full" else None)
    tool = made.tool_name if name != "tricky" or content != "metadata" else "_OTHER"
    assert found.get("tool_name") == tool


@given(TEXTS)
def test_any_text_survives_a_leef_attribute(text: str) -> None:
    made = event("user_message", text=text, user_id=text or None, labels=None)
    assert read_leef(encoder_for("leef")(made, DIALECT))[1].get("msg", "") == text


@given(TEXTS)
def test_no_text_can_end_a_leef_header_value(text: str) -> None:
    assert not set("|\t\n\r") & set(leef.header_value(text))


@given(st.dictionaries(st.text(min_size=1), TEXTS.filter(bool), max_size=4))
def test_a_label_has_a_key_that_no_column_has(labels: dict[str, str]) -> None:
    made = event("user_message", labels=msgspec.json.encode(labels).decode())
    for form, read in (("cef", read_cef), ("leef", read_leef)):
        columns = read(encoder_for(form)(msgspec.structs.replace(made, labels=None), DIALECT))[1]
        found = read(encoder_for(form)(made, DIALECT))[1]
        assert columns.items() <= found.items()
        assert {found[key] for key in found.keys() - columns.keys()} <= set(labels.values())
        assert bool(found.keys() - columns.keys()) == bool(labels)


def test_nul_is_replaced_because_receivers_would_truncate_there() -> None:
    made = event("user_message", text="a\0b")
    assert read_cef(encoder_for("cef")(made, DIALECT))[1]["msg"] == "a\ufffdb"
    assert read_leef(encoder_for("leef")(made, DIALECT))[1]["msg"] == "a\ufffdb"


def test_severity_and_the_target_of_a_tool_are_present() -> None:
    _, shell = read_cef(encoder_for("cef")(EVENTS["shell"], DIALECT))
    assert (shell["cs5"], shell["cs5Label"]) == ("ls -la /srv/pears", "commandLine")
    _, edit = read_cef(encoder_for("cef")(EVENTS["edit"], DIALECT))
    assert edit["filePath"] == "/srv/pears/plan.md"
    _, web = read_leef(encoder_for("leef")(EVENTS["web"], DIALECT))
    assert web["url"] == "https://orchard.example/pears?kind=conference"
    assert [
        read_cef(encoder_for("cef")(EVENTS[name], DIALECT))[0][6]
        for name in ("shell", "permission", "error")
    ] == ["1", "3", "6"]


def test_the_tricky_event_is_tricky() -> None:
    _, found = read_cef(
        encoder_for("cef")(tool_call(TRICKY, "shell", {"command": TRICKY}), DIALECT)
    )
    assert (found["cs3"], found["cs5"]) == (TRICKY, TRICKY)
