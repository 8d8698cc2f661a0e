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

from tests.dialects.golden import (
    FIXTURES,
    clean_chunk,
    events_of,
    fixtures,
    identify_below_home,
    interpreter,
    label_of,
)
from tests.encode.events import DIALECT, EVENTS, KEY, event, tool_call
from tests.encode.levels import LEVELS_BELOW_FULL
from tests.encode.test_golden import full_of_marks
from tracesidecar.dialects import Event
from tracesidecar.dialects.interpreter import Identify
from tracesidecar.encode import Format, Narrowing, ParquetEncoder, encoder_for
from tracesidecar.encode.content import (
    CONTENT_FORMS,
    SENT,
    WITHHELD,
    Forms,
    forms_of,
)
from tracesidecar.encode.formats import EVENT_FORMATS
from tracesidecar.model import CleanChunk

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
        elif said in ("keyed hash", "id"):  # the mark is a word
            assert re.fullmatch("[0-9a-f]{32}", sent)
        else:
            assert sent == value


# ------------------------------------------------------------------ every dialect's fixtures


WORDS = re.compile(r"[A-Za-z0-9 ,.'/_-]{6,}")
"""What every format writes as it stands."""
ACTED_ON = tuple(name for name, forms in SENT.items() if forms == Forms(actions="as it is"))
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
        allowed |= {getattr(each, name) for _, each in found for name in ACTED_ON}
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


@pytest.mark.parametrize(
    "made",
    [
        "7c1e0f52-3b1d-4a57-9d8e-2f6a41c0b9d3",
        "01JABCDEFG0000000000000000",
        "toolu_01A09q90qw90lq917835lq9",
        "chatcmpl-9x8y7z6w5v4u3t2s1r0qAbCd",
        "session-7c1e0f52-3b1d-4a57-9d8e-2f6a41c0b9d3:1767225600:1",
        "step_12",
        "b7ad6b7169203331",
        "",
    ],
)
def test_an_id_that_a_program_made_is_kept(made: str) -> None:
    narrow = Narrowing("metadata", KEY).narrow
    assert narrow(event("state", native_id=made)).native_id == made


@pytest.mark.parametrize(
    "said",
    ["jane_doe_acme_takeover", "jane.doe", "acme-2026", "merger2026", "messages-3f1c9a0b7d52"],
)
def test_an_id_that_says_something_is_hashed_also_as_a_part_of_another(said: str) -> None:
    narrow = Narrowing("metadata", KEY).narrow
    whole = narrow(event("state", conversation_id=said)).conversation_id
    assert re.fullmatch("[0-9a-f]{32}", whole or "")
    call = narrow(event("state", api_call_id=f"{said}:msg_01")).api_call_id
    assert call == f"{whole}:msg_01"


@pytest.mark.parametrize("user", ["jane.doe", "7c1e0f52-3b1d-4a57-9d8e-2f6a41c0b9d3", "4711"])
def test_an_id_that_is_composed_of_the_user_has_the_hash_of_the_user(user: str) -> None:
    """The conversation of aider is the user, when it was launched, and the number of the launch."""
    line = {"event": "launched", "properties": {}, "user_id": user, "time": 1767225600}
    data = msgspec.json.encode(line) + b"\n"
    [(_, made)], _ = interpreter()("/t/aider.jsonl", clean_chunk(data), None)
    assert made.conversation_id == f"{user}:1767225600:1"
    for form in FORMATS:
        made.ingest_time = "2026-09-01T10:00:07.000000Z"
        assert user not in encode_at(form, "metadata", [("aider", made)])
    sent = Narrowing("metadata", KEY).narrow(made)
    assert sent.conversation_id == f"{sent.user_id}:1767225600:1"


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
        ("model", "Jane Doe"),
        ("tool_name", "customers/acme"),
        ("tool_name", "Jane Doe"),
        ("agent_name", "Jane Doe"),
        ("provider_name", "customers/acme/plan.docx"),
        ("agent_name", "C:\\Users\\alice"),
        ("provider_name", "alice@example.com"),
        ("agent_version", "v" * 129),
    ],
)
def test_what_is_no_name_is_withheld_from_metadata(column: str, value: str) -> None:
    made = event("state", **{column: value})
    assert getattr(Narrowing("metadata", KEY).narrow(made), column) == WITHHELD
    assert getattr(Narrowing("actions", KEY).narrow(made), column) == value


def test_a_sentence_is_no_name_of_a_tool_at_any_level() -> None:
    made = event("tool_call", tool_name="please delete all of it")
    for level in LEVELS_BELOW_FULL:
        assert Narrowing(level, KEY).narrow(made).tool_name == WITHHELD


@pytest.mark.parametrize("value", ["github-copilot", "mcp__garden__map", "x", "a" * 128])
def test_usual_names_are_kept(value: str) -> None:
    made = event("state", tool_name=value, model=value, agent_name=value)
    sent = Narrowing("metadata", KEY).narrow(made)
    assert (sent.tool_name, sent.model, sent.agent_name) == (value, value, value)


def test_a_model_may_have_the_names_of_those_who_offer_it() -> None:
    made = event("state", model="openrouter/a/b-2.1")
    assert Narrowing("metadata", KEY).narrow(made).model == made.model


# ------------------------------------------------------------------ what an agent writes anywhere


WORD, NAME, PATH = "zqmarker_acme", "Zqmarker Person", "zqmarker/acme/plan"
"""What a hostile agent puts in the place of any text: a word, a name of a person, a path."""
CLASSES = (
    "operation_name",
    "role",
    "provider_name",
    "model",
    "finish_reason",
    "cost_source",
    "service_tier",
    "category",
)
NAMES = ("tool_name", "tool_type", "error_type", "agent_name", "agent_version", "host_name")
"""Columns at `metadata` that take a word of the agent as it is."""


USUAL = ("aider", "claude_code", "codex", "generic", "grok", "openhands")
DIALECTS = sorted({path.relative_to(FIXTURES).parts[0] for path in fixtures()})


@pytest.mark.parametrize(
    "dialect",
    [each if each in USUAL else pytest.param(each, marks=pytest.mark.long) for each in DIALECTS],
)
def test_what_an_agent_writes_in_any_place_is_in_no_column_that_must_not_have_it(
    dialect: str,
) -> None:
    found: set[tuple[str, str]] = set()
    for taint in (WORD, NAME, PATH):
        for lines in taint_lines(dialect, taint):
            for _, made in interpreter()(*lines)[0]:
                sent = Narrowing("metadata", KEY).narrow(made)
                found |= {
                    (name, taint)
                    for name in Event.__struct_fields__
                    if isinstance(value := getattr(sent, name), str) and taint in value
                }
                action = Narrowing("actions", KEY).narrow(made)
                assert taint != NAME or action.tool_name in (made.tool_name, WITHHELD)
    allowed = {(name, WORD) for name in (*CLASSES, *NAMES)} | {("model", PATH)}
    assert found <= allowed


def taint_lines(
    dialect: str, taint: str
) -> Iterator[tuple[str, CleanChunk, bytes | None, Identify]]:
    """Yield calls of the interpreter: a fixture's line with one text replaced, after the first."""
    seen: set[tuple[object, ...]] = set()
    for fixture in fixtures():
        if fixture.relative_to(FIXTURES).parts[0] != dialect:
            continue
        first, *_ = lines = fixture.read_bytes().splitlines()
        for number, line in enumerate(lines):
            content = decode(line)
            members = content if isinstance(content, dict) else {}
            kind = members.get("type"), members.get("kind"), members.get("event")
            for path in places(content):
                # one of each kind of line is enough
                if (key := (*map(str, kind), *map(str, path))) in seen:
                    continue
                seen.add(key)
                changed = msgspec.json.encode(put(content, path, taint))
                data = b"\n".join([*([first] if number else []), changed, b""])
                yield label_of(fixture), clean_chunk(data), None, identify_below_home(fixture)


def places(value: object) -> Iterator[tuple[str | int, ...]]:
    """Yield the path to each text in decoded JSON."""
    if isinstance(value, str):
        yield ()
    members = value.items() if isinstance(value, dict) else ()
    for key, member in (*members, *(enumerate(value[:3]) if isinstance(value, list) else ())):
        yield from ((key, *path) for path in places(member))


def put(value: object, path: Sequence[str | int], new: str) -> object:
    """Return decoded JSON with a text replaced."""
    if not path:
        return new
    if isinstance(value, dict):
        return {k: put(v, path[1:], new) if k == path[0] else v for k, v in value.items()}
    assert isinstance(value, list)
    return [put(v, path[1:], new) if k == path[0] else v for k, v in enumerate(value)]


@pytest.mark.parametrize("level", LEVELS_BELOW_FULL)
def test_the_event_is_not_changed_and_half_a_surrogate_is_no_error(level: Level) -> None:
    for made in (*EVENTS.values(), event("state", user_id="\ud800", native_id="\ud800")):
        before = msgspec.structs.replace(made)
        Narrowing(level, KEY).narrow(made)
        assert made == before
