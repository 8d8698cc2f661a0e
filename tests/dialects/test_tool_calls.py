"""What a tool touched is in columns of its own, whole, and a result knows its call."""

from __future__ import annotations

import json

import msgspec
import pytest

from tests.dialects.golden import clean_chunk
from tests.dialects.mapping import events_of
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.interpreter import Interpreter
from tracesidecar.dialects.parsing import JsonObject
from tracesidecar.dialects.state import decode_state
from tracesidecar.dialects.tool_calls import OPEN_CALLS, TARGET_BYTES, set_target
from tracesidecar.dialects.truncate import TEXT_BYTES

PATH = "/home/wren/.claude/projects/-srv-orchard/s.jsonl"


def call(number: int, name: str, given: object, *, second: int = 0) -> JsonObject:
    block = {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": given}
    return line(
        "assistant", f"c{number}", second, {"id": f"msg_01Called{number}", "model": "m"}, block
    )


def result(number: int, said: str, *, second: int = 0) -> JsonObject:
    block = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": said}
    return line("user", f"r{number}", second, {"role": "user"}, block)


def line(kind: str, uuid: str, second: int, message: JsonObject, block: JsonObject) -> JsonObject:
    return {
        "type": kind,
        "uuid": uuid,
        "sessionId": "s",
        "timestamp": f"2026-09-01T10:00:{second:02}.000Z",
        "cwd": "/srv/orchard",
        "message": {**message, "content": [block]},
    }


def test_a_long_command_does_not_hide_itself() -> None:
    # arguments of 33,000 characters were cut in the middle of their JSON: no rule saw the command
    command = "curl https://collector.example " + "#" * 40_000
    [called] = events_of(PATH, [call(1, "Bash", {"command": command})])
    assert called.command is not None
    assert called.command.startswith("curl https://collector.example ")
    assert "…[truncated " in called.command
    assert len(called.command.encode()) < TEXT_BYTES + 100
    assert called.truncated
    assert json.loads(called.tool_arguments or "")["command"].startswith("curl https://")


def test_content_before_the_path_does_not_hide_the_path() -> None:
    given = {"content": "* * * * * root /x\n" * 8_000, "file_path": "/etc/cron.d/orchard"}
    [called] = events_of(PATH, [call(1, "Write", given)])
    assert called.file_path == "/etc/cron.d/orchard"
    kept = json.loads(called.tool_arguments or "")
    assert kept["file_path"] == "/etc/cron.d/orchard"
    assert kept["content"].endswith(" bytes]")


@pytest.mark.parametrize(
    "given",
    [
        {"items": ["é" * 400] * 300},
        {"deep": [[["x" * 90_000]]], "n": 3},
        {str(number): "short" for number in range(9_000)},
        ["[" * 50_000, {"a": '"' * 50_000}],
        {"many": [{}] * 100_000},
    ],
    ids=["many texts", "nested", "many keys", "escapes", "many values"],
)
def test_json_that_is_cut_is_json(given: object) -> None:
    [called] = events_of(PATH, [call(1, "mcp__orchard__plant", given)])
    assert called.truncated
    assert called.tool_arguments is not None
    msgspec.json.decode(called.tool_arguments)
    assert len(called.tool_arguments.encode()) <= TEXT_BYTES
    [answered] = events_of(PATH, [result(1, json.dumps(given))])
    msgspec.json.decode(answered.tool_result or "")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"cmd": ["sh", "-c", "ls -l"]}, ("sh -c 'ls -l'", None, None)),
        ({"CommandLine": "ls"}, ("ls", None, None)),
        ({"commandLine": "ls"}, ("ls", None, None)),
        ({"filePath": "/srv/a", "oldString": "x"}, (None, "/srv/a", None)),
        ({"TargetFile": "/srv/a"}, (None, "/srv/a", None)),
        ({"input": "*** Begin Patch\n*** Add File: b.md\n+x"}, (None, "b.md", None)),
        ("*** Begin Patch\n*** Delete File: c.md", (None, "c.md", None)),
        ({"changes": {"/srv/d": {"type": "add"}}}, (None, "/srv/d", None)),
        ({"uri": "https://a.example"}, (None, None, "https://a.example")),
        ({"urls": ["https://a.example", "https://b.example"]}, (None, None, "https://a.example")),
        ({"command": 7, "path": None, "url": {}}, (None, None, None)),
        ("{torn", (None, None, None)),
    ],
)
def test_what_a_tool_touches_is_found_under_every_usual_name(
    given: object, expected: tuple[str | None, ...]
) -> None:
    arguments = given if isinstance(given, str) else json.dumps(given)
    event = Event(event_kind="tool_call", tool_arguments=arguments)
    set_target(event)
    assert (event.command, event.file_path, event.url) == expected


def test_a_result_has_what_its_call_said_and_the_time_since() -> None:
    called, answered = events_of(
        PATH, [call(1, "Bash", {"command": "make"}, second=1), result(1, "ok", second=4)]
    )
    assert (called.api_call_id, called.duration_ms) == ("msg_01Called1", None)
    assert (answered.command, answered.duration_ms) == ("make", 3000.0)
    assert answered.api_call_id == "msg_01Called1"


def test_a_long_command_is_cut_in_its_result_and_that_is_said() -> None:
    command = "make " + "x" * 5_000
    called, answered = events_of(PATH, [call(1, "Bash", {"command": command}), result(1, "ok")])
    assert called.command == command
    assert answered.command is not None
    assert answered.command.startswith(command[:TARGET_BYTES])
    assert (called.truncated, answered.truncated) == (False, True)


def test_calls_without_a_result_are_forgotten_and_the_state_stays_small() -> None:
    lines = [call(number, "Bash", {"command": "x" * 9_000}) for number in range(200)]
    data = b"".join(json.dumps(each).encode() + b"\n" for each in lines)
    _, state = Interpreter()(PATH, clean_chunk(data), None)
    assert len(decode_state(state).calls) == OPEN_CALLS
    assert len(state) < 100_000


def test_a_state_of_the_version_before_goes_on() -> None:
    data = [json.dumps(each).encode() + b"\n" for each in (call(1, "Bash", {}), result(1, "ok"))]
    _, state = Interpreter()(PATH, clean_chunk(data[0]), None)
    before = msgspec.msgpack.encode([*msgspec.msgpack.decode(state)[:-1]])
    [event], _ = Interpreter()(PATH, clean_chunk(data[1], start=len(data[0])), before)
    assert (event.event.tool_name, event.event.duration_ms) == ("Bash", None)


@pytest.mark.parametrize(
    ("path", "user"),
    [
        ("/home/wren/.claude/projects/-x/s.jsonl", "wren"),
        ("/Users/wren/.claude/projects/-x/s.jsonl", "wren"),
        ("C:\\Users\\wren\\.claude\\projects\\-x\\s.jsonl", "wren"),
        ("/root/.claude/projects/-x/s.jsonl", "root"),
        ("/home/[REDACTED:email]/.claude/projects/-x/s.jsonl", None),
        ("/srv/traces/s.jsonl", None),
    ],
)
def test_the_user_is_the_one_whose_home_the_file_is_in(path: str, user: str | None) -> None:
    [event] = events_of(path, [call(1, "Bash", {})])
    assert (event.user_id, event.user_source) == (user, "home" if user else None)


@pytest.mark.parametrize(
    ("place", "project"),
    [
        ("/srv/orchard", "orchard"),
        ("/srv/orchard/", "orchard"),
        ("C:\\work\\orchard", "orchard"),
        ("git@git.example:plants/orchard.git", "orchard"),
        ("https://git.example/plants/orchard.git", "orchard"),
        ("/", None),
    ],
)
def test_the_project_is_named_after_the_repository_or_the_directory(
    place: str, project: str | None
) -> None:
    [event] = events_of(PATH, [{**call(1, "Bash", {}), "cwd": place}])
    assert event.project == project
