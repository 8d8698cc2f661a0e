"""Records of the formats `cef` and `leef` can be read back: CEF also by pycef, LEEF by a reader
built from IBM's description.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from typing import get_type_hints

import msgspec
import pycef
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.encode.events import DIALECT, EVENTS, KEY, TRICKY, encoder_at, event, tool_call
from tracesidecar import __version__
from tracesidecar.dialects import Event
from tracesidecar.encode import cef, escape_control_characters, leef
from tracesidecar.encode.content import Content, narrowing_of
from tracesidecar.encode.formats import encoder_for

TEXTS = st.text() | st.text(alphabet='a \t\n\r\0\x1b\x7f\x85\x9b\u202e\u2066\\=|"')

PAIR = re.compile(r"([A-Za-z0-9]+)=((?:\\.|[^\\=])*)(?= [A-Za-z0-9]+=|$)", re.DOTALL)


def unescape(text: str) -> str:
    return re.sub(
        r"\\(.)",
        lambda match: {"n": "\n", "r": "\r", "t": "\t"}.get(match[1], match[1]),
        text,
        flags=re.DOTALL,
    )


DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def acts(character: str) -> bool:
    """Return whether a character acts where it is shown, by its properties in Unicode.

    The marks for left and right have no class of their own.
    """
    return (
        unicodedata.category(character) in ("Cc", "Zl", "Zp")
        or unicodedata.bidirectional(character) in DIRECTIONS
        or character in "\u061c\u200e\u200f\u206a\u206b\u206c\u206d\u206e\u206f"
    )


def replace_acting(text: str, escaped: str) -> str:
    """Return what arrives of a text in a format that has escapes for these characters."""
    return "".join(
        "\ufffd" if acts(character) and character not in escaped else character
        for character in text
    )


def replace_acting_in_cef(text: str) -> str:
    return replace_acting(text.replace("\t", " "), "\n\r")


def replace_acting_in_leef(text: str) -> str:
    return replace_acting(text, "\t\n\r")


def read_cef(record: bytes) -> tuple[list[str], dict[str, str]]:
    """Return header and extension, by the rules of the implementation standard.

    A key is the word before an `=` that is not escaped.
    """
    *header, extension = re.split(r"(?<!\\)(?:\\\\)*\|", record.decode(), maxsplit=7)
    pairs = PAIR.findall(extension)
    assert " ".join(f"{key}={value}" for key, value in pairs) == extension
    assert len({key for key, _ in pairs}) == len(pairs)
    return header, {key: unescape(value) for key, value in pairs}


def read_leef(record: bytes) -> tuple[list[str], dict[str, str]]:
    """Return header and attributes, by IBM's description of LEEF 2.0.

    The sixth field of the header is the delimiter of attributes.
    """
    *header, rest = record.decode().split("|", 6)
    assert header[0] == "LEEF:2.0"
    pairs = [pair.split("=", 1) for pair in rest.split(chr(int(header[5].removeprefix("x"), 16)))]
    assert len({key for key, _ in pairs}) == len(pairs)
    assert all(re.fullmatch(r"[A-Za-z0-9_]+", key) for key, _ in pairs)
    return header, {key: unescape(value) for key, value in pairs}


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
    assert found.get("suser", "") == replace_acting_in_cef(sent.user_id or "")
    assert found.get("TracesidecarToolArguments", "") == replace_acting_in_cef(
        sent.tool_arguments or ""
    )
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
                assert unescape(found[labels.get(key, key)]) == value, key


@given(TEXTS)
def test_any_text_survives_a_cef_extension(text: str) -> None:
    made = event(
        "user_message", text=text, user_id=text or None, conversation_id=text or "c", labels=None
    )
    _, found = read_cef(encoder_for("cef")(made, DIALECT))
    assert found.get("msg", "") == replace_acting_in_cef(text)
    assert found["cs1"] == replace_acting_in_cef(text or "c")


@given(TEXTS)
def test_any_text_stays_one_value_of_a_cef_header(text: str) -> None:
    value = cef.header_value(text)
    assert re.split(r"(?<!\\)(?:\\\\)*\|", f"{value}".replace("\\\\", "")) == [
        value.replace("\\\\", "")
    ]
    assert unescape(value) == replace_acting(re.sub("[\t\n\r]", " ", text), "")


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("content", ["full", "actions", "metadata"])
def test_leef_is_read_back(name: str, content: Content) -> None:
    made = EVENTS[name]
    header, found = read_leef(encoder_at("leef", content)(made, DIALECT))
    assert header[1:] == ["tracesidecar", "tracesidecar", __version__, made.event_kind, "x09"]
    assert 1 <= int(found["sev"]) <= 10
    assert re.fullmatch(r"[0-9]{13}", found["devTime"])  # a 13-digit epoch needs no devTimeFormat
    assert found["event_id"] == made.event_id
    narrowing = narrowing_of(content, KEY)
    sent = made if narrowing is None else narrowing.narrow(made)
    assert found.get("msg", "") == replace_acting_in_leef(sent.text or "")
    assert found.get("tool_name", "") == replace_acting_in_leef(sent.tool_name or "")


@given(TEXTS)
def test_any_text_survives_a_leef_attribute(text: str) -> None:
    made = event("user_message", text=text, user_id=text or None, labels=None)
    attributes = read_leef(encoder_for("leef")(made, DIALECT))[1]
    assert attributes.get("msg", "") == replace_acting_in_leef(text)


@given(TEXTS)
def test_no_text_can_end_a_leef_header_value(text: str) -> None:
    value = leef.header_value(text)
    assert value == replace_acting(re.sub("[|\t\n\r]", " ", text), "")


@given(st.dictionaries(st.text(min_size=1), TEXTS.filter(bool), max_size=4))
def test_a_label_has_a_key_that_no_column_has(labels: dict[str, str]) -> None:
    made = event("user_message", labels=msgspec.json.encode(labels).decode())
    for form, read in (("cef", read_cef), ("leef", read_leef)):
        columns = read(encoder_for(form)(msgspec.structs.replace(made, labels=None), DIALECT))[1]
        found = read(encoder_for(form)(made, DIALECT))[1]
        assert columns.items() <= found.items()
        arrived = {found[key] for key in found.keys() - columns.keys()}
        shown_in = replace_acting_in_cef if form == "cef" else replace_acting_in_leef
        assert arrived <= set(map(shown_in, labels.values()))
        assert bool(found.keys() - columns.keys()) == bool(labels)


def test_nul_is_replaced_because_receivers_would_truncate_there() -> None:
    made = event("user_message", text="a\0b")
    assert read_cef(encoder_for("cef")(made, DIALECT))[1]["msg"] == "a\ufffdb"
    assert read_leef(encoder_for("leef")(made, DIALECT))[1]["msg"] == "a\ufffdb"


def every_character_that_acts() -> str:
    return "".join(filter(acts, map(chr, range(sys.maxunicode + 1))))


def test_no_character_that_acts_reaches_a_line_in_any_place() -> None:
    acting = every_character_that_acts()
    assert len(acting) > 32 + 1 + 32 + 9
    columns = {
        name: f"a{acting}z"
        for name, kind in get_type_hints(Event).items()
        if kind in (str, str | None) and name not in ("event_time", "ingest_time", "labels")
    }
    made = event(
        "tool_call",
        **{name: text for name, text in columns.items() if name != "event_kind"},
        labels=msgspec.json.encode({acting: acting}).decode(),
    )
    arguments = msgspec.json.encode({"command": acting, "path": acting, "url": acting}).decode()
    for each in (made, msgspec.structs.replace(made, tool_arguments=arguments)):
        for form in ("cef", "leef"):
            record = encoder_for(form)(each, acting).decode()
            assert set(filter(acts, record)) <= ({"\t"} if form == "leef" else set())


def test_a_newline_of_unicode_cannot_forge_a_second_record() -> None:
    forged = "pears\x85CEF:0|x|x|1|x|x|9|\u2028LEEF:2.0|x|x|1|x|x09|\u2029\x0b\x0c\x1c"
    for form in ("cef", "leef"):
        record = encoder_for(form)(event("user_message", text=forged), DIALECT)
        assert len(record.decode().splitlines()) == 1


@given(TEXTS)
def test_json_that_is_sent_as_text_means_the_same_and_has_no_character_that_acts(
    text: str,
) -> None:
    made = event("user_message", text=text, user_id=text or None)
    for form in ("event", "ecs", "ocsf"):
        record = encoder_for(form, as_text=True)(made, DIALECT)
        assert msgspec.json.decode(record) == msgspec.json.decode(encoder_for(form)(made, DIALECT))
        assert not any(map(acts, record.decode()))


@given(st.dictionaries(TEXTS, TEXTS))
def test_a_line_with_white_space_between_its_values_means_the_same_as_text(
    line: dict[str, str],
) -> None:
    written = json.dumps(line, ensure_ascii=False, indent="\t").replace("\n", "\r").encode()
    escaped = escape_control_characters(written)
    assert json.loads(escaped) == line
    assert not any(map(acts, escaped.decode()))


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
    assert (found["cs3"], found["cs5"]) == (
        replace_acting_in_cef(TRICKY),
        replace_acting_in_cef(TRICKY),
    )
