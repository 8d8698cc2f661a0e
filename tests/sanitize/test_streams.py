"""A message streamed over many lines is redacted as if it were one text, and no range splits it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.sanitize.lines import chunk_of
from tests.sanitize.stream_forms import FORMS, UNKNOWN, Form, from_numbers
from tracesidecar.sanitize.edit import stream_edits
from tracesidecar.sanitize.sanitizer import Sanitizer

KEY_ID = "AKIA" + "QYLPMN5HFZKE2345"
SECRET = "kT4aB3VWojaxyR0ndcs9DIiB3kkptctliEJaLEo0"
MESSAGE = (
    f"Here it is: {KEY_ID} and\nexport DB_PASSWORD={SECRET}\n"
    "plus postgres://app:hunter2xyz@db/x — done, 中文 behind."
)
REDACTED = (
    "Here it is: [REDACTED:aws-access-key-id] and\nexport DB_PASSWORD=[REDACTED:kv-assignment]\n"
    "plus postgres://app:[REDACTED:url-userinfo]@db/x — done, 中文 behind."
)

Shape = Callable[[str, int], dict[str, Any]]

SHAPES: dict[str, tuple[Shape, tuple[str | int, ...]]] = {
    "Anthropic text": (
        lambda t, i: {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": t},
        },
        ("delta", "text"),
    ),
    "Claude Code stream": (
        lambda t, i: {
            "type": "stream_event",
            "session_id": "s1",
            "uuid": f"u{i}",
            "event": {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": t},
            },
        },
        ("event", "delta", "partial_json"),
    ),
    "OpenAI Responses": (
        lambda t, i: {
            "type": "response.output_text.delta",
            "item_id": "m1",
            "content_index": 0,
            "sequence_number": i,
            "delta": t,
        },
        ("delta",),
    ),
    "OpenAI arguments": (
        lambda t, i: {
            "type": "response.function_call_arguments.delta",
            "item_id": "f1",
            "delta": t,
        },
        ("delta",),
    ),
    "chat completion": (
        lambda t, i: {
            "id": "c1",
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": {"content": t}, "finish_reason": None}],
        },
        ("choices", 0, "delta", "content"),
    ),
    "tool call of a chat completion": (
        lambda t, i: {
            "id": "c1",
            "object": "chat.completion.chunk",
            "choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": t}}]}}],
        },
        ("choices", 0, "delta", "tool_calls", 0, "function", "arguments"),
    ),
    "Codex": (
        lambda t, i: {
            "timestamp": f"T{i}",
            "type": "event_msg",
            "payload": {"type": "agent_message_delta", "delta": t},
        },
        ("payload", "delta"),
    ),
    "Codex app server": (
        lambda t, i: {
            "method": "item/agentMessage/delta",
            "params": {"threadId": "t", "itemId": "i", "delta": t},
        },
        ("params", "delta"),
    ),
    "ACP": (
        lambda t, i: {
            "method": "session/update",
            "params": {
                "sessionId": "s",
                "update": {
                    "sessionUpdate": "agent_message_chunk",
                    "content": {"type": "text", "text": t},
                },
            },
        },
        ("params", "update", "content", "text"),
    ),
    "Vercel": (lambda t, i: {"type": "text-delta", "id": "t1", "delta": t}, ("delta",)),
    "Ollama": (
        lambda t, i: {"model": "m", "message": {"role": "assistant", "content": t}, "done": False},
        ("message", "content"),
    ),
    "an id for each event": (
        lambda t, i: {"id": f"e{i}", "type": "text_delta", "text": t},
        ("text",),
    ),
}


def split(text: str, seed: int) -> list[str]:
    rng, pieces = random.Random(seed), []
    while text:
        size = rng.randint(1, 9)
        pieces.append(text[:size])
        text = text[size:]
    return pieces


def lines(values: list[dict[str, Any]]) -> bytes:
    return b"".join(
        json.dumps(value, ensure_ascii=i % 2 == 0).encode() + b"\n"
        for i, value in enumerate(values)
    )


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_the_redacted_pieces_are_the_redacted_message(
    secrets_only: Sanitizer, name: str, seed: int
) -> None:
    shape, path = SHAPES[name]
    before = [shape(text, i) for i, text in enumerate(split(MESSAGE, seed))]
    clean = secrets_only(chunk_of(lines(before)))
    after = [json.loads(line) for line in clean.data.splitlines()]
    assert "".join(at(value, path) for value in after) == REDACTED
    assert clean.redactions == (("aws-access-key-id", 1), ("kv-assignment", 1), ("url-userinfo", 1))
    for old, new in zip(before, after, strict=True):
        parent_old, parent_new = at(old, path[:-1]), at(new, path[:-1])
        parent_old[path[-1]] = parent_new[path[-1]] = None
        assert old == new


def test_interleaved_streams_are_kept_apart(
    secrets_only: Sanitizer,
) -> None:
    shape = SHAPES["OpenAI Responses"][0]
    one, two = split(MESSAGE, 1), split("nothing here " * 9, 2)
    mixed = []
    for i in range(max(len(one), len(two))):
        mixed += [
            {**shape(text, i), "item_id": item}
            for item, texts in (("a", one), ("b", two))
            if i < len(texts)
            for text in [texts[i]]
        ]
    after = [json.loads(line) for line in secrets_only(chunk_of(lines(mixed))).data.splitlines()]
    assert "".join(value["delta"] for value in after if value["item_id"] == "a") == REDACTED
    assert (
        "".join(value["delta"] for value in after if value["item_id"] == "b") == "nothing here " * 9
    )


def test_a_message_that_ended_is_not_joined_with_the_next(secrets_only: Sanitizer) -> None:
    shape = SHAPES["Anthropic text"][0]
    stop = {"type": "content_block_stop", "index": 0}
    data = lines(
        [shape("The password: ", 0), stop, shape("hunter2xyz", 1), shape(" is a word", 2), stop]
    )
    assert secrets_only(chunk_of(data)).data == data


CALM = lines([{"n": i, "text": "a plain line"} for i in range(3)])


def stream_message(pieces: int) -> bytes:
    shape = SHAPES["Anthropic text"][0]
    return lines([shape(text, i) for i, text in enumerate(split(MESSAGE, 4)[:pieces])])


def test_a_range_ends_before_an_open_message(secrets_only: Sanitizer) -> None:
    clean = secrets_only(chunk_of(CALM + stream_message(5), start=100), flush=False)
    assert (clean.start, clean.end, clean.data, clean.lines, clean.open_messages) == (
        100,
        100 + len(CALM),
        CALM,
        3,
        0,
    )


def test_a_finished_message_is_part_of_the_range(secrets_only: Sanitizer) -> None:
    data = CALM + stream_message(99) + lines([{"type": "message_stop"}])
    assert secrets_only(chunk_of(data), flush=False).end == len(data)
    quiet = CALM + stream_message(99) + CALM * 22
    assert secrets_only(chunk_of(quiet), flush=False).end == len(quiet)


def test_with_flush_an_open_message_is_included_and_counted(secrets_only: Sanitizer) -> None:
    data = CALM + stream_message(5)
    clean = secrets_only(chunk_of(data), flush=True)
    assert (clean.end, clean.open_messages) == (len(data), 1)


def test_an_open_message_beyond_the_limit_is_included(secrets_only: Sanitizer) -> None:
    shape = SHAPES["Anthropic text"][0]
    data = lines([shape("word " * 200, i) for i in range(300)])
    clean = secrets_only(chunk_of(data), flush=False)
    assert (clean.end, clean.open_messages) == (len(data), 1)


def test_waiting_for_one_message_does_not_split_another(secrets_only: Sanitizer) -> None:
    shape = SHAPES["OpenAI Responses"][0]
    values = [
        {**shape("AKIA", 0), "item_id": "a"},
        {**shape("x", 1), "item_id": "b"},
        {**shape(KEY_ID[4:], 2), "item_id": "a"},
    ]
    data = CALM + lines(
        [*values, {"type": "response.output_text.done", "item_id": "a", "content_index": 0}]
    )
    assert secrets_only(chunk_of(data), flush=False).end == len(CALM)


@pytest.mark.parametrize("seed", range(12))
def test_a_replayed_range_gives_the_same_bytes(secrets_only: Sanitizer, seed: int) -> None:
    rng = random.Random(seed)
    values: list[dict[str, Any]] = []
    for _ in range(rng.randint(1, 6)):
        shape = rng.choice(list(SHAPES.values()))[0]
        pieces = [shape(text, i) for i, text in enumerate(split(MESSAGE, rng.random().__hash__()))]
        values += pieces[: rng.randint(1, len(pieces))]
        values += rng.choice([[], [{"type": "message_stop"}], [{"plain": KEY_ID}] * 3])
    data = lines(values) + rng.choice([b"", b"not json\n", b"\n"])
    first = secrets_only(chunk_of(data, start=77), flush=False)
    again = secrets_only(chunk_of(data[: first.end - 77], start=77), flush=True)
    assert again == first
    rest = secrets_only(chunk_of(data[first.end - 77 :], start=first.end), flush=True)
    assert KEY_ID.encode() not in first.data + rest.data


def test_all_lines_of_a_stream_that_cannot_be_examined_are_withheld(
    monkeypatch: pytest.MonkeyPatch, secrets_only: Sanitizer
) -> None:
    def failing(*_args: object) -> object:
        raise RuntimeError("failed")

    monkeypatch.setattr(stream_edits, "add_escaped_spans", failing)
    clean = secrets_only(chunk_of(CALM + stream_message(99) + CALM))
    assert clean.data == CALM * 2
    assert {rejection.reason for rejection in clean.rejected} == {"redaction_failed"}


def read_pieces(data: bytes, form: Form) -> list[str]:
    return [
        form.decode(at(value, form.path))
        for value in map(json.loads, data.splitlines())
        if "noise" not in value
    ]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("seed", range(2))
def test_every_known_format_is_redacted_as_one_text(
    secrets_only: Sanitizer, name: str, seed: int
) -> None:
    form = FORMS[name]
    texts = split(MESSAGE, seed) if form.decode is not from_numbers else [*MESSAGE[:60]]
    clean = secrets_only(chunk_of(lines([form.line(text, i) for i, text in enumerate(texts)])))
    assert not clean.rejected
    joined = "".join(read_pieces(clean.data, form))
    assert KEY_ID not in joined
    assert "Here it is: [REDACTED:aws-access-key-id] and\nexport DB_PASSWORD=" in joined
    assert form.decode is from_numbers or joined == REDACTED


@pytest.mark.parametrize("name", [*FORMS, *UNKNOWN])
def test_a_token_is_redacted_with_forty_other_lines_between_its_parts(
    secrets_only: Sanitizer, name: str
) -> None:
    form = {**FORMS, **UNKNOWN}[name]
    token = "ghp_" + "A7kQ2mZx9LwR4tVb8NcY1dHs6EuJ3fGp5TiO"
    texts = ["the token is ", token[:11], token[11:23], token[23:], " ok", " and more"]
    values: list[dict[str, Any]] = []
    for i, text in enumerate(texts):
        values.append(form.line(text, i))
        values += [{"noise": i, "text": f"line {n}"} for n in range(40)] if i in (1, 2) else []
    clean = secrets_only(chunk_of(lines(values)))
    assert not clean.rejected
    assert "".join(read_pieces(clean.data, form)) == (
        "the token is [REDACTED:github-token] ok and more"
    )


@pytest.mark.parametrize("name", UNKNOWN)
def test_lines_of_one_shape_that_stream_nothing_stay_as_they_are(
    secrets_only: Sanitizer, name: str
) -> None:
    form = UNKNOWN[name]
    texts = ["use sk-ant-", "more of it", "AKIA", "ordinary words", "ghp_", "12 files changed"]
    data = lines([form.line(text, i) for i, text in enumerate(texts)])
    assert secrets_only(chunk_of(data)).data == data


def test_a_token_that_may_go_on_in_the_next_lines_waits_for_them(secrets_only: Sanitizer) -> None:
    form = UNKNOWN["a bare text"]
    data = CALM + lines([form.line("ghp_A7kQ2mZ", 0)])
    assert secrets_only(chunk_of(data), flush=False).end == len(CALM)
    assert secrets_only(chunk_of(data + CALM * 22), flush=False).end == len(data + CALM * 22)


def test_a_whole_token_at_the_end_of_its_string_waits_for_nothing(secrets_only: Sanitizer) -> None:
    """Seen: lines of one shape, each with a token of its own, were held for five seconds."""
    token = "ghp_" + "aB3" * 12
    data = lines([{"n": i, "token_was": token} for i in range(10)])
    clean = secrets_only(chunk_of(data), flush=False)
    assert (clean.end, clean.open_messages) == (len(data), 0)
    assert token.encode() not in clean.data
