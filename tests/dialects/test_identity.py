"""What the id of an event and its conversation are made of, and that content cannot forge them."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from tests.dialects.golden import FIXTURES, clean_chunk, fixtures, interpreter, label_of
from tracesidecar.dialects.event import SCHEMA_VERSION, Event
from tracesidecar.dialects.file_name import FileName
from tracesidecar.dialects.ids import REVISED
from tracesidecar.dialects.interpreter import Identify, Interpreter
from tracesidecar.dialects.registry import DIALECT_NAMES, load_dialect
from tracesidecar.dialects.state import FileIdentity, FileState
from tracesidecar.rotation import rank_in_family, strip_rotation

UUID = "7c1e0f52-3b1d-4a57-9d8e-2f6a41c0b9d3"
ULID = "01JABCDEFG0000000000000000"


def place(folder: str, generation: int = 0) -> Identify:
    """Return what identifies a file in that folder below the root."""
    return lambda first: FileIdentity(folder, first, generation)


def read(
    lines: Sequence[object],
    path: str = "/t/a/x.jsonl",
    *,
    dialect: str = "",
    source: str = "agent",
    identify: Identify | None = None,
) -> list[Event]:
    """Return the events of a file; without an identity, it is in the root."""
    rows = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    interpret = Interpreter(load_dialect(dialect) if dialect else None, source=source)
    chunk = clean_chunk(b"\n".join(rows) + b"\n")
    return [each.event for each in interpret(path, chunk, None, identify or place(""))[0]]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/t/a.jsonl", "/t/a.jsonl"),
        ("/t/a.jsonl.1", "/t/a.jsonl"),
        ("/t/a.jsonl.12.gz", "/t/a.jsonl"),
        ("/t/a.1.jsonl", "/t/a.1.jsonl"),
        ("/t/a.jsonl-20261121", "/t/a.jsonl"),
        ("/t/a.jsonl-20261121.gz", "/t/a.jsonl"),
        ("/t/a.jsonl.2026-11-21_10", "/t/a.jsonl"),
        ("/t/a-2.jsonl", "/t/a-2.jsonl"),
        ("/t/traces-2026-05-04.jsonl", "/t/traces-2026-05-04.jsonl"),
        ("/t/fruit_seller_20260621_000000.jsonl", "/t/fruit_seller_20260621_000000.jsonl"),
        ("/t/a.jsonl.gz", "/t/a.jsonl.gz"),
        ("/t/.1.jsonl/a", "/t/.1.jsonl/a"),
    ],
)
def test_a_rotated_file_has_the_name_that_it_had(path: str, name: str) -> None:
    assert strip_rotation(path) == name
    assert FileName(strip_rotation(f"{path}")).stem == FileName(name).stem


@pytest.mark.parametrize(
    ("folder", "name", "expected"),
    [
        ("", "messages", "messages"),
        ("a", "messages", "messages-" + hashlib.sha256(b"a").hexdigest()[:12]),
        ("a/b", "messages", "messages-" + hashlib.sha256(b"a/b").hexdigest()[:12]),
        ("a", UUID, f"{UUID}-" + hashlib.sha256(b"a").hexdigest()[:12]),
        ("a", ULID, f"{ULID}-" + hashlib.sha256(b"a").hexdigest()[:12]),
        ("", UUID, UUID),
        ("a", f"{UUID}x", f"{UUID}x-" + hashlib.sha256(b"a").hexdigest()[:12]),
        ("//1/", "messages", "messages-" + hashlib.sha256(b"//1/").hexdigest()[:12]),
    ],
)
def test_a_file_that_names_no_conversation_is_one_of_its_own(
    folder: str, name: str, expected: str
) -> None:
    assert FileName(f"/t/{folder}/{name}.jsonl", folder).conversation == expected


def test_a_backslash_in_a_name_is_no_folder() -> None:
    # unpacked from an archive of Windows: both were the conversation `messages`
    one, other = (FileName(f"/t/{folder}\\messages.jsonl") for folder in "ab")
    assert (one.conversation, other.conversation) == ("a\\messages", "b\\messages")
    assert one.family != other.family
    for dialect in DIALECT_NAMES:
        names = [FileName(f"/t/{each}\\s/wire.jsonl", f"{each}\\s") for each in "ab"]
        states = [load_dialect(dialect).begin(each) for each in names]
        named = [getattr(state, "conversation", None) for state in states]
        assert named[0] is None or named[0] != named[1], dialect


@pytest.mark.parametrize("name", [UUID, UUID.replace("-", ""), ULID])
def test_what_an_agent_names_by_its_convention_is_a_conversation_if_unique_by_its_form(
    name: str,
) -> None:
    at = FileName("/t/a/x.jsonl", "a")
    assert at.name_conversation(name) == name
    assert at.name_conversation(f"{name}x") != f"{name}x"


def test_a_folder_that_is_the_session_is_told_apart_by_the_folder_above_it() -> None:
    at = FileName("/t/a/s/wire.jsonl", "a/s")
    assert at.name_conversation("s", levels=1) == "s-" + hashlib.sha256(b"a").hexdigest()[:12]
    assert FileName("/t/s/w.jsonl", "s").name_conversation("s", levels=1) == "s"
    assert FileName("/t/w.jsonl", "").name_conversation("t", levels=3) == "t"
    other = FileName("/u/s/w.jsonl", "//1/s")
    assert other.name_conversation("s", levels=1) != "s"
    assert other.name_conversation("s", levels=9) != FileName(
        "/u/s/w.jsonl", "//2/s"
    ).name_conversation("s", levels=9)


SAME: dict[str, Callable[[], list[Event]]] = {
    "another absolute root": lambda: read(
        [{"n": 1}], "/u/elsewhere/a/x.jsonl", identify=place("a")
    ),
    "rotated": lambda: read([{"n": 1}], "/t/a/x.jsonl.3", identify=place("a")),
    "rotated before its extension": lambda: read([{"n": 1}], "/t/a/x.2.jsonl", identify=place("a")),
    "compressed": lambda: read([{"n": 1}], "/t/a/x.jsonl.2.gz", identify=place("a")),
}
OTHER: dict[str, Callable[[], list[Event]]] = {
    "another source": lambda: read([{"n": 1}], source="other", identify=place("a")),
    "another folder": lambda: read([{"n": 1}], identify=place("b")),
    "another name": lambda: read([{"n": 1}], "/t/a/y.jsonl", identify=place("a")),
    "another generation": lambda: read([{"n": 1}], identify=place("a", 1)),
    "another first line": lambda: read([{"n": 0}, {"n": 1}], identify=place("a"))[1:],
}


@pytest.mark.parametrize("what", SAME)
def test_a_line_without_an_id_keeps_its_event_id(what: str) -> None:
    [event] = read([{"n": 1}], identify=place("a"))
    assert [each.event_id for each in SAME[what]()] == [event.event_id]


@pytest.mark.parametrize("what", OTHER)
def test_a_line_without_an_id_has_another_event_id(what: str) -> None:
    [event] = read([{"n": 1}], identify=place("a"))
    assert [each.event_id for each in OTHER[what]()] != [event.event_id]


ROTATED = ["x.1.jsonl", "x.jsonl.1", "x-20261121.jsonl", "x_20261121_120000.jsonl.gz", "x.jsonl.gz"]


@pytest.mark.parametrize("name", ROTATED)
@pytest.mark.parametrize("line", [{"n": 1}, {"uuid": "m1", "role": "user", "content": "hi"}])
def test_every_name_that_rotation_gives_keeps_the_event_id(
    line: dict[str, object], name: str
) -> None:
    """Both are asked: what follows a file by its name, and what makes its ids."""
    assert rank_in_family(name)[0] == "x.jsonl"
    [event] = read([line], "/t/a/x.jsonl", identify=place("a"))
    [again] = read([line], f"/t/a/{name}", identify=place("a"))
    assert again.event_id == event.event_id


MESSAGE = {"uuid": "m1", "role": "user", "content": "hi"}
MARK = "[REDACTED:email]"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", f"{UUID}.jsonl", 0), ("b", f"{UUID}.jsonl", 0)),
        (("a", "messages.jsonl", 0), ("b", "messages.jsonl", 0)),
        ((MARK, "messages.jsonl", 0), (MARK, "messages.jsonl", 1)),
        ((f"{MARK}/x", f"{UUID}.jsonl", 0), (f"{MARK}/x", f"{UUID}.jsonl", 1)),
        (("", f"{MARK}.jsonl", 0), ("", f"{MARK}.jsonl", 1)),
    ],
    ids=["unique names", "names", "redacted folders", "redacted above", "redacted names"],
)
def test_equal_lines_of_two_files_that_name_no_conversation_stay_two(
    one: tuple[str, str, int], other: tuple[str, str, int]
) -> None:
    made = [
        read([MESSAGE], f"/t/{folder}/{name}", identify=place(folder, generation))[0]
        for folder, name, generation in (one, other)
    ]
    assert len({event.event_id for event in made}) == 2
    assert len({event.conversation_id for event in made}) == 2


@pytest.mark.parametrize("key", ["uuid", "session_id"])
def test_equal_lines_whose_ids_redact_alike_stay_two(key: str) -> None:
    line = {**MESSAGE, "session_id": "s", key: MARK}
    files = [("a", "x.jsonl"), ("b", "x.jsonl")]
    made = [
        read([line], f"/t/{folder}/{name}", identify=place(folder))[0] for folder, name in files
    ]
    assert len({event.event_id for event in made}) == 2
    assert read([line], "/u/a/x.jsonl.1", identify=place("a"))[0].event_id == made[0].event_id


def test_names_that_redact_alike_are_two_conversations_by_what_the_files_begin_with() -> None:
    made = [
        read([{"n": number}], f"/t/{MARK}/x.jsonl", identify=place(MARK))[0] for number in (1, 2)
    ]
    assert len({event.conversation_id for event in made}) == 2
    again = read([{"n": 1}], f"/u/{MARK}/x.jsonl.1", identify=place(MARK))
    assert again[0].conversation_id == made[0].conversation_id


@pytest.mark.parametrize("fixture", fixtures(), ids=lambda path: str(path.relative_to(FIXTURES)))
def test_no_file_of_any_dialect_shares_an_id_but_through_a_conversation_that_its_lines_name(
    fixture: Path,
) -> None:
    content, label = fixture.read_bytes(), label_of(fixture)

    def read_in(folder: str) -> list[Event]:
        path = label.replace("/home/agent/", f"/home/{folder}/")
        below = posixpath.dirname(path).removeprefix("/home/")
        return [
            each.event for each in interpreter()(path, clean_chunk(content), None, place(below))[0]
        ]

    here, there = read_in("here"), read_in("there")
    for one, other in zip(here, there, strict=True):
        assert one.conversation_id is not None
        if one.event_id == other.event_id:
            assert one.conversation_id == other.conversation_id
            assert one.conversation_id.partition(":")[0].encode() in content
    text = msgspec.json.encode(here)
    assert b"\\u0000" not in text


def test_numbered_files_are_conversations_of_their_own() -> None:
    made = [read([{"n": 1}], f"/t/run.{number}.jsonl")[0] for number in (1, 2)]
    assert [event.conversation_id for event in made] == ["run.1", "run.2"]
    assert FileName("/t/.5.jsonl").family == ".5"


def test_a_native_id_belongs_to_its_source_and_conversation() -> None:
    def make_id(line: object, source: str = "agent") -> str | None:
        return read([line], source=source, dialect="generic")[0].event_id

    line = {"id": "m1", "session_id": "s", "role": "user", "content": "hi"}
    assert make_id(line) != make_id(line, source="other")
    assert make_id(line) != make_id({**line, "session_id": "t"})
    # no separator in an id makes it pass for a part of the other
    joined = make_id({**line, "session_id": "s\x00t", "id": "m"})
    assert joined != make_id({**line, "session_id": "s", "id": "t\x00m"})
    assert make_id({**line, "session_id": "1:s", "id": "m"}) != make_id(
        {**line, "session_id": "1", "id": ":sm"}
    )


@pytest.mark.parametrize("dialect", ["generic", "copilot", "langfuse"])
def test_a_message_that_is_written_again_is_an_event_for_each_version(dialect: str) -> None:
    def line(text: str, key: str = "m1") -> dict[str, object]:
        return {
            "id": key,
            "uuid": key,
            "type": "assistant.message" if dialect == "copilot" else "GENERATION",
            "session_id": "s",
            "timestamp": "2026-09-01T10:00:00Z",
            "data": {"content": text},
            "output": text,
            "content": text,
        }

    grown = [line("A"), line("B"), line("A"), line("other", "m2"), line("B"), line("B")]
    found = [event.event_id for event in read(grown, dialect=dialect)]
    assert len(found) == len(grown)
    assert len(set(found)) == 5
    assert found[4] == found[5]  # the same line again is a repeat
    assert [event.event_id for event in read(grown, "/u/x.jsonl.1", dialect=dialect)] == found


def gemini(text: str) -> dict[str, object]:
    return {"id": "m1", "timestamp": "2026-09-01T10:00:00Z", "type": "user", "content": text}


def step(text: str) -> dict[str, object]:
    return {
        "name": "sell",
        "context": {},
        "started_at": 1782000000.5,
        "finished_at": 1782000001.5,
        "duration_ms": 1.0,
        "outcome": "ok",
        "logs": [text],
        "error": None,
    }


@pytest.mark.parametrize(("dialect", "line"), [("gemini", gemini), ("ai_trace", step)])
def test_what_goes_back_to_what_it_was_is_a_third_version(
    dialect: str, line: Callable[[str], dict[str, object]]
) -> None:
    versions = [line("A"), line("B"), line("A"), line("B")]
    found = read([line("A"), *versions[1:]], dialect=dialect)
    assert len({event.event_id for event in found}) == 4
    assert [event.source_line for event in found] == [1, 2, 3, 4]
    assert [event.supersedes for event in found] == [None, True, True, True]
    again = read(versions, "/u/x.jsonl.1", dialect=dialect)
    assert [event.event_id for event in again] == [event.event_id for event in found]


def test_a_message_whose_versions_were_forgotten_has_a_row_for_each_further_one() -> None:
    rounds = ["A", "B", "A", "A, and more"]
    count = 3 * REVISED
    lines = [
        {"uuid": f"m{number}", "session_id": "s", "role": "user", "content": text}
        for text in rounds
        for number in range(count)
    ]
    found = [event.event_id for event in read(lines, dialect="generic")]
    assert len(set(found)) == len(rounds) * count
    assert [event.event_id for event in read(lines, "/u/x.jsonl.1", dialect="generic")] == found
    # a restart after each hundredth line changes nothing
    interpret = Interpreter(load_dialect("generic"), source="agent")
    state, offset, restarted = None, 0, []
    for first in range(0, len(lines), 100):
        rows = b"".join(json.dumps(line).encode() + b"\n" for line in lines[first : first + 100])
        events, state = interpret("/t/a/x.jsonl", clean_chunk(rows, start=offset), state, place(""))
        restarted += [each.event.event_id for each in events]
        offset += len(rows)
    assert restarted == found
    # what was never forgotten is not mistaken for it: its id needs no place
    once = [{**MESSAGE, "uuid": f"n{number}", "session_id": "s"} for number in range(count)]
    moved = [event.event_id for event in read([{"n": 1}, *once], dialect="generic")[1:]]
    assert moved == [event.event_id for event in read(once, dialect="generic")]


def test_what_is_remembered_of_a_file_is_bounded() -> None:
    lines = [{**MESSAGE, "uuid": f"m{number}"} for number in range(20 * REVISED)]
    rows = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    _, state = Interpreter(load_dialect("generic"))("/t/x.jsonl", clean_chunk(rows), None)
    assert len(state) < 6000


def test_versions_are_counted_over_a_restart_and_are_few() -> None:
    interpret = Interpreter(load_dialect("generic"))
    state, found, offset = None, [], 0
    for number in range(300):
        row = json.dumps({"id": f"m{number // 3}", "content": str(number)}).encode() + b"\n"
        events, state = interpret("/t/x.jsonl", clean_chunk(row, start=offset), state)
        found += [each.event.event_id for each in events]
        offset += len(row)
    assert len(set(found)) == 300
    assert len(state or b"") in range(1, 4096)


BEFORE = msgspec.msgpack.encode(
    ["/t/a/x.jsonl", "x", "generic", hashlib.sha256(b'{"n":1}').digest()[:16], 1, None, b"\x80"]
)
"""A state of version 1 of the schema, after the first line."""


def test_a_state_of_version_1_goes_on_in_its_conversation_with_ids_of_this_version() -> None:
    line = clean_chunk(b'{"n":2}\n', start=8)
    interpret = Interpreter(source="agent")
    [(_, went_on)], state = interpret("/t/a/x.jsonl", line, BEFORE, place("a"))
    [_, whole] = read([b'{"n":1}', b'{"n":2}'], identify=place("a"))
    assert (went_on.event_id, went_on.source_line) == (whole.event_id, 2)
    assert (went_on.conversation_id, whole.conversation_id) == (
        "x",
        FileName("x", "a").conversation,
    )
    known = msgspec.msgpack.decode(state, type=FileState)
    assert (known.folder, known.schema) == ("a", SCHEMA_VERSION)


def test_a_batch_that_was_planned_with_version_1_gets_its_ids_again() -> None:
    interpret = Interpreter(source="agent")
    first = clean_chunk(b'{"n":1}\n')
    [(_, event)], state = interpret("/t/a/x.jsonl", first, None, None)
    digest = hashlib.sha256(b'{"n":1}').hexdigest()
    parts = ["generic", "x", "", f"{event.event_kind} ", "0", digest[:32], "0", digest]
    assert event.event_id == hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    assert event.conversation_id == "x"
    [(_, next_)], _ = interpret("/t/a/x.jsonl", clean_chunk(b'{"n":2}\n', start=8), state, None)
    [(_, other)], _ = interpret("/t/a/x.jsonl", clean_chunk(b'{"n":2}\n', start=8), state)
    assert next_.event_id != other.event_id


@pytest.mark.parametrize("session", [UUID, "s1"])
@pytest.mark.parametrize(
    ("dialect", "own", "child"),
    [
        ("claude_code", "p/{}.jsonl", "p/{}/subagents/agent-a.jsonl"),
        ("claude_code", "p/{}.jsonl", "p/{}/subagents/deep/er/agent-a.jsonl"),
        ("cursor_cli", "p/{}/{}.jsonl", "p/{}/subagents/b.jsonl"),
        ("cursor_cli", "p/{}.jsonl", "p/{}/subagents/b.jsonl"),
    ],
)
def test_a_subagent_has_the_conversation_of_its_session_as_its_parent(
    dialect: str, own: str, child: str, session: str
) -> None:
    def begin(path: str) -> dict[str, object]:
        name = path.format(session, session)
        begun = load_dialect(dialect).begin(FileName(f"/t/{name}", posixpath.dirname(name)))
        return msgspec.structs.asdict(begun)

    assert begin(child)["parent"] == begin(own)["conversation"]
    elsewhere = begin(child.replace("p/", "q/"))["parent"]
    assert (elsewhere == begin(child)["parent"]) == (session == UUID)


@pytest.mark.parametrize("session", [UUID, "s1"])
@pytest.mark.parametrize(
    ("dialect", "paths"),
    [
        ("kimi", ("p/sessions/g/{}/wire.jsonl", "p/sessions/g/{}/subagents/a/wire.jsonl")),
        ("kimi", ("g/{}/agents/main/wire.jsonl", "g/{}/agents/b/wire.jsonl")),
        ("copilot", ("session-state/{}/events.jsonl", "session-state/{}/events.jsonl.1")),
        ("openhands", ("c/{}/events/event-0.jsonl", "c/{}/events/event-1.jsonl")),
        ("grok", ("sessions/d/{}/updates.jsonl", "sessions/d/{}/chat_history.jsonl")),
    ],
)
def test_the_files_of_a_session_folder_are_one_conversation_and_no_other_folders(
    dialect: str, paths: tuple[str, ...], session: str
) -> None:
    def conversations(above: str) -> set[object]:
        names = [f"{above}{path.format(session)}" for path in paths]
        begun = [
            load_dialect(dialect).begin(FileName(f"/t/{name}", posixpath.dirname(name)))
            for name in names
        ]
        return {msgspec.to_builtins(state)["conversation"] for state in begun}

    assert len(conversations("")) == 1
    if session == UUID:
        assert conversations("") == {UUID}
    else:
        assert conversations("").isdisjoint(conversations("other/"))


def test_a_file_that_goes_on_after_another_one_has_its_own_number() -> None:
    interpret = Interpreter()
    _, state = interpret("/t/a/x.jsonl", clean_chunk(b'{"n":1}\n'), None, place("a"))
    line = clean_chunk(b'{"n":2}\n', start=8)
    [(_, same)], _ = interpret("/t/a/x.jsonl", line, state, place("a"))
    [(_, rewritten)], _ = interpret("/t/a/x.jsonl", line, state, place("a", 1))
    assert (same.generation, rewritten.generation) == (0, 1)
    assert same.event_id != rewritten.event_id
    assert same.conversation_id == rewritten.conversation_id


def test_a_line_that_its_mapper_cannot_read_is_in_the_conversation_of_the_others() -> None:
    path = f"/t/.codex/sessions/rollout-2026-09-02T10-00-00-{UUID}.jsonl"
    odd = {"timestamp": "2026-09-02T10:00:00Z", "type": "event_msg", "payload": {"type": 7}}
    lines = [odd, {**odd, "payload": [1]}, {**odd, "payload": "x"}]
    found = read(lines, path, dialect="codex", identify=place(".codex/sessions"))
    assert {event.conversation_id for event in found} == {UUID}
