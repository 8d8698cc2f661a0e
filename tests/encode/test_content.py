"""Each level of `content` is an allow-list: what is not named is in no record of any format."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
import pyarrow.parquet as pq
import pytest

from tests.dialects.golden import FIXTURES, events_of, fixtures
from tests.encode.events import DIALECT, EVENTS, KEY, event, tool_call
from tests.encode.levels import LEVELS_BELOW_FULL
from tests.encode.test_golden import full_of_marks
from tracesidecar.dialects import Event
from tracesidecar.encode import Format, Narrowing, ParquetEncoder, encoder_for
from tracesidecar.encode.content import (
    CONTENT_FORMS,
    SENT,
    WITHHELD,
    Forms,
    forms_of,
)
from tracesidecar.encode.formats import EVENT_FORMATS

Level = Literal["actions", "metadata"]
FORMATS: tuple[Format, ...] = ("event", "ecs", "ocsf", "cef", "leef", "otlp", "parquet")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "columns.md"


def encode_at(form: Format, level: Level, found: Sequence[tuple[str, Event]]) -> str:
    """Return the records of events in a format, as a sink at that level is given them."""
    narrow = Narrowing(level, KEY).narrow
    narrowed = [(dialect, narrow(each)) for dialect, each in found]
    if form == "parquet":
        file = ParquetEncoder()
        for dialect, each in narrowed:
            file.add([each], dialect)
        return "\n".join(map(str, pq.read_table(io.BytesIO(file.finish())).to_pylist()))
    encode = encoder_for(form)
    return b"\n".join(encode(each, dialect) for dialect, each in narrowed).decode()


@pytest.mark.parametrize("level", LEVELS_BELOW_FULL)
def test_an_event_has_the_columns_of_its_level_and_no_others(level: Level) -> None:
    full = msgspec.structs.replace(full_of_marks(), tool_arguments='{"command":"ls"}')
    assert all(getattr(full, name) is not None for name in Event.__struct_fields__)
    narrowed = Narrowing(level, KEY).narrow(full)
    assert {name for name in Event.__struct_fields__ if getattr(narrowed, name) is not None} == {
        name for name, forms in SENT.items() if getattr(forms, level)
    }
    for name, forms in SENT.items():
        if getattr(forms, level) == "as it is":
            assert getattr(narrowed, name) == getattr(full, name)


@pytest.mark.parametrize("form", EVENT_FORMATS)
@pytest.mark.parametrize("level", LEVELS_BELOW_FULL)
@pytest.mark.parametrize("kind", ["tool_call", "tool_result", "error", "user_message"])
def test_no_format_writes_a_column_that_its_level_leaves_out(
    form: Format, level: Level, kind: str
) -> None:
    full = msgspec.structs.replace(
        full_of_marks(),
        event_kind=kind,
        tool_type="shell",
        tool_arguments='{"command":"mark-tool_arguments-mark","url":"mark-tool_arguments-mark"}',
    )
    record = encode_at(form, level, [(DIALECT, full)])
    assert not [
        name
        for name in Event.__struct_fields__
        if f"mark-{name}-mark" in record and getattr(forms_of(name), level) in ("", "keyed hash")
    ]
    assert "mark-event_id-mark" in record


def test_a_new_column_is_sent_at_full_only() -> None:
    assert forms_of("a_column_of_next_year") == Forms("", "")
    assert set(SENT) <= set(Event.__struct_fields__)
    assert {form for forms in SENT.values() for form in forms} == {*CONTENT_FORMS, ""}


@pytest.mark.parametrize("column", Event.__struct_fields__)
def test_the_page_says_for_a_column_what_is_sent(column: str) -> None:
    """Read the table as a person does, and try it on a column that is filled."""
    [row] = re.findall(
        rf"^\| `{column}` \| as it is \| (.+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE
    )
    full = msgspec.structs.replace(full_of_marks(), tool_arguments='{"command":"ls"}')
    for level, said in zip(LEVELS_BELOW_FULL, row, strict=True):
        sent, value = getattr(Narrowing(level, KEY).narrow(full), column), getattr(full, column)
        if said == "–":
            assert sent is None
        elif said == "keyed hash":
            assert re.fullmatch("[0-9a-f]{32}", sent)
        else:
            assert sent == value


# ------------------------------------------------------------------ every dialect's fixtures


WORDS = re.compile(r"[A-Za-z0-9 ,.'/_-]{6,}")
"""What every format writes as it stands."""
ALLOWED_AT_BOTH = ("tool_name", "model", "agent_name", "provider_name", "operation_name")
IDS = tuple(name for name, forms in SENT.items() if forms == Forms("as it is", "id"))


def leaves(value: object) -> Iterator[str]:
    """Yield every text in decoded JSON, also of JSON within a text."""
    if isinstance(value, dict):
        for member in value.values():
            yield from leaves(member)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, str):
        try:
            inner = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            inner = None
        if isinstance(inner, dict | list):
            yield from leaves(inner)
        else:
            yield value


@cache
def read(fixture: Path) -> list[tuple[str, Event]]:
    found = [(dialect, each) for dialect, each in events_of(fixture)]
    for _, each in found:
        each.event_time = each.event_time or "2026-09-01T10:00:00.000000Z"
        each.ingest_time = "2026-09-01T10:00:07.000000Z"
    return found


def phrases(text: str) -> Iterator[str]:
    """Yield the parts of a text that are a path, or several words: no id or name of a class."""
    for run in WORDS.findall(text):
        phrase = run.strip(" ,.'")
        if len(phrase) >= 6 and (" " in phrase or "/" in phrase.strip("/")):
            yield phrase


@cache
def list_forbidden(fixture: Path, level: Level) -> frozenset[str]:
    """Return every phrase of a fixture's lines and their events that a level must not send."""
    return phrases_kept(fixture.read_bytes().splitlines(), read(fixture), level)


def phrases_kept(
    lines: Iterable[bytes], found: Sequence[tuple[str, Event]], level: Level
) -> frozenset[str]:
    """Return every phrase of some lines and their events that a level must not send."""
    texts = [leaf for line in lines if line.strip() for leaf in leaves(decode(line))]
    allowed = {getattr(each, name) for _, each in found for name in ALLOWED_AT_BOTH}
    for _, each in found:
        texts += [each.cwd or "", each.git_branch or "", each.git_repository or ""]
        texts += [each.error_message or "", each.text or "", each.tool_result or ""]
        if level == "metadata":
            texts += [each.source_file or "", *leaves(each.tool_arguments)]
    if level == "actions":  # files, URLs and whole commands
        narrow = Narrowing(level, KEY).narrow
        allowed |= {leaf for _, each in found for leaf in leaves(narrow(each).tool_arguments)}
        allowed |= {each.source_file for _, each in found}
        allowed |= {getattr(each, name) for _, each in found for name in IDS}
    visible = "\n".join(text for text in allowed if text)
    return frozenset(phrase for text in texts for phrase in phrases(text) if phrase not in visible)


def decode(line: bytes) -> object:
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None


@pytest.mark.parametrize("fixture", fixtures(), ids=lambda path: path.stem[:24])
@pytest.mark.parametrize("level", LEVELS_BELOW_FULL)
def test_no_text_of_a_dialects_lines_is_in_a_record_of_any_format(
    fixture: Path, level: Level
) -> None:
    must_not_be_there = list_forbidden(fixture, level)
    for form in FORMATS:
        records = encode_at(form, level, read(fixture))
        assert not {phrase for phrase in must_not_be_there if phrase in records}, form


@pytest.mark.parametrize("fixture", fixtures(), ids=lambda path: path.stem[:24])
def test_no_user_path_or_branch_of_a_dialects_lines_is_in_metadata(fixture: Path) -> None:
    """The whole values: a branch may be one word, which other columns may contain."""
    found = read(fixture)
    hidden = {getattr(each, name) for _, each in found for name in HIDDEN} - {None, ""}
    narrow = Narrowing("metadata", KEY).narrow
    sent = {value for _, each in found for value in msgspec.structs.astuple(narrow(each))}
    assert not hidden & sent


HIDDEN = ("user_id", "source_file", "cwd", "git_branch", "git_repository")


def test_the_search_finds_what_full_sends() -> None:
    """Every fixture but a few has texts to look for, and a record at `full` has them."""
    encode = encoder_for("event")
    seen = 0
    for fixture in fixtures():
        records = b"\n".join(encode(each, dialect) for dialect, each in read(fixture)).decode()
        seen += any(phrase in records for phrase in list_forbidden(fixture, "metadata"))
    assert seen > 0.9 * len(fixtures())
    assert FIXTURES.is_dir()


# ------------------------------------------------------------------ what actions and hashes are


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ('{"command":"ls -la","description":"List it"}', {"command": "ls -la"}),
        ('{"cmd":["sh","-c","a b"]}', {"command": "sh -c 'a b'"}),
        ('{"path":"/a/b","content":"secret plan"}', {"file_path": "/a/b"}),
        (
            '{"url":"https://a.example/x","prompt":"What does it say?"}',
            {"url": "https://a.example/x"},
        ),
        (
            '{"connector":"crm","asset_id":"a-7","query":"all of them"}',
            {"connector": "crm", "asset_id": "a-7"},
        ),
        (
            "*** Begin Patch\n*** Update File: a.py\n+secret\n*** Add File: b.py\n+plan",
            {"file_path": "a.py", "file_paths": ["a.py", "b.py"]},
        ),
        (
            '{"input":"*** Begin Patch\\n*** Delete File: old.py\\n*** End Patch"}',
            {"file_path": "old.py"},
        ),
        ('{"query":"what people said"}', None),
        ('{"command":{"say":"anything"}}', None),
        ("a plain text", None),
        ("{broken", None),
    ],
)
def test_actions_have_what_was_touched_and_nothing_else(
    arguments: str, sent: dict[str, object] | None
) -> None:
    found = Narrowing("actions", KEY).narrow(tool_call("t", "shell", arguments)).tool_arguments
    assert (None if found is None else msgspec.json.decode(found)) == sent


@pytest.mark.parametrize(
    "said",
    [
        "no such file: /home/alice/plans.txt",
        "/home/alice/x",
        "x" * 65,
        "the password is hunter2",
        "a\nb",
        "",
        "naïve",
    ],
)
@pytest.mark.parametrize("level", LEVELS_BELOW_FULL)
def test_the_class_of_an_error_is_one_word(level: Level, said: str) -> None:
    made = event("error", error_type=said, finish_reason=said, role=said, tool_type=said)
    sent = Narrowing(level, KEY).narrow(made)
    assert {sent.error_type, sent.finish_reason, sent.role, sent.tool_type} == {WITHHELD}


def test_an_id_that_is_a_path_or_an_address_is_hashed_and_still_joins() -> None:
    narrow = Narrowing("metadata", KEY).narrow
    for id_ in ("/home/alice/run", "alice@example.com", "C:\\runs\\1", "what she said"):
        child = narrow(event("state", parent_id=id_, parent_conversation_id=id_))
        parent = narrow(event("state", native_id=id_, conversation_id=id_, agent_id=id_))
        assert {child.parent_id, parent.native_id, parent.agent_id} == {parent.conversation_id}
        assert re.fullmatch("[0-9a-f]{32}", parent.conversation_id or "")
    kept = event("state", native_id="msg_01:2#a", trace_id="0af7651916cd43dd8448eb211c80319c")
    assert (narrow(kept).native_id, narrow(kept).trace_id) == (kept.native_id, kept.trace_id)


def test_a_hash_is_of_this_installation_and_says_when_two_values_are_equal() -> None:
    made = event("state", user_id="alice")
    one, other = (Narrowing("metadata", key).narrow(made) for key in (KEY, KEY[::-1]))
    assert one.user_id == Narrowing("metadata", KEY).narrow(event("error", user_id="alice")).user_id
    assert len({one.user_id, other.user_id, "alice"}) == 3
    assert len({one.source_file, other.source_file, made.source_file}) == 3


def test_a_conversation_that_is_named_after_its_user_is_hashed_like_the_user() -> None:
    made = event("state", user_id="u-1", conversation_id="u-1", native_id="u-12")
    sent = Narrowing("metadata", KEY).narrow(made)
    assert sent.conversation_id == sent.user_id != "u-1"
    assert sent.native_id == "u-12"
    assert Narrowing("actions", KEY).narrow(made).conversation_id == "u-1"


@pytest.mark.parametrize("key", [b"", b"short"])
def test_nothing_is_hashed_without_a_key(key: bytes) -> None:
    with pytest.raises(ValueError, match="key of the installation"):
        Narrowing("metadata", key)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("model", "/home/alice/models/x.gguf"),
        ("model", "~/x"),
        ("tool_name", "please delete all of it"),
        ("agent_name", "C:\\Users\\alice"),
        ("provider_name", "alice@example.com"),
        ("agent_version", "v" * 129),
    ],
)
def test_what_is_no_name_is_withheld_from_metadata(column: str, value: str) -> None:
    made = event("state", **{column: value})
    assert getattr(Narrowing("metadata", KEY).narrow(made), column) == WITHHELD
    assert getattr(Narrowing("actions", KEY).narrow(made), column) == value


@pytest.mark.parametrize("value", ["GitHub Copilot", "openrouter/a/b-2.1", "mcp__garden__map", "x"])
def test_usual_names_are_kept(value: str) -> None:
    made = event("state", tool_name=value, model=value, agent_name=value)
    sent = Narrowing("metadata", KEY).narrow(made)
    assert (sent.tool_name, sent.model, sent.agent_name) == (value, value, value)


@pytest.mark.parametrize("level", LEVELS_BELOW_FULL)
def test_the_event_is_not_changed_and_half_a_surrogate_is_no_error(level: Level) -> None:
    for made in (*EVENTS.values(), event("state", user_id="\ud800", native_id="\ud800")):
        before = msgspec.structs.replace(made)
        Narrowing(level, KEY).narrow(made)
        assert made == before
