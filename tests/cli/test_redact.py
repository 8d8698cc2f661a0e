"""`redact` passes clean lines on as they come and says of the others which they are."""

from __future__ import annotations

import subprocess

import pytest

from tests.cli.conftest import PROGRAM, Desk
from tests.poison import poison
from tests.warm import sign_compiled

TOKEN = "gh" + "p_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6"


def test_secrets_are_redacted_and_everything_else_stays_byte_for_byte(desk: Desk) -> None:
    lines = b'{"a" :  1e2, "b":"\\u00e4"}\n{"password":"correct-horse-9"}\n'
    done = desk.call("redact", stdin=lines)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == '{"a" :  1e2, "b":"\\u00e4"}\n{"password":"[REDACTED:key-name]"}\n'


def test_rejected_lines_are_reported_by_number_and_reason_and_never_shown(desk: Desk) -> None:
    done = desk.call("redact", stdin=b'1\nsecret words\n\n{"a":NaN}\r\n{"b":2}\n{"c":')
    assert (done.returncode, done.stdout) == (0, '1\n{"b":2}\n')
    assert done.stderr == "line 2: not_json\nline 4: nan\nline 6: truncated\n"


def test_line_numbers_hold_across_chunks(desk: Desk) -> None:
    filler = b'{"text":"' + b"x" * 99_000 + b'"}\n'
    done = desk.call("redact", stdin=filler * 30 + b"?\n" + filler * 30 + b"?\n")
    assert done.stderr == "line 31: not_json\nline 62: not_json\n"
    assert done.stdout.count("\n") == 60


def test_a_line_over_the_limit_is_passed_over_and_its_neighbours_arrive(desk: Desk) -> None:
    done = desk.call("redact", stdin=b'1\n"' + b"x" * (66 << 20) + b'"\n2\n')
    assert (done.stdout, done.stderr) == ("1\n2\n", "line 2: too_long\n")


def test_the_rules_of_the_configuration_hold(desk: Desk) -> None:
    desk.write(
        "tracesidecar.toml",
        '[redaction]\npii = true\ndisable = ["github-token"]\n[[redaction.rule]]\nid = "staff"\n'
        'regex = "E[0-9]{7}"\n'
        '[[source]]\nname = "a"\ninclude = ["t/*.jsonl"]\n[[sink]]\nname = "l"\n'
        'type = "directory"\npath = "lake"\n',
    )
    done = desk.call("redact", stdin=f'["jane@example.org","E1234567","{TOKEN}"]\n'.encode())
    assert done.stdout == f'["[REDACTED:email]","[REDACTED:staff]","{TOKEN}"]\n'


def test_a_line_is_passed_on_before_the_next_one_comes(desk: Desk) -> None:
    with subprocess.Popen(
        [PROGRAM, "redact"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=desk.environment(),
        cwd=desk.folder,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(b'{"first":1}\n')
        program.stdin.flush()
        assert program.stdout.readline() == b'{"first":1}\n'
        program.stdin.close()
        assert program.stdout.read() == b""


@pytest.mark.parametrize("name", ["words", "rules"])
def test_a_poisoned_cache_does_not_decide_what_is_redacted(desk: Desk, name: str) -> None:
    cache = desk.home / "cache" / "tracesidecar" / "rules"
    sign_compiled(cache)
    poison(cache, name)
    line = f'{{"out":"DB_PASSWORD={TOKEN}"}}\n'
    done = desk.call("redact", stdin=line.encode(), XDG_CACHE_HOME=str(desk.home / "cache"))
    assert (done.returncode, done.stderr) == (0, "")
    assert TOKEN not in done.stdout
    assert "[REDACTED:" in done.stdout


def test_a_redaction_that_misses_planted_secrets_shows_nothing(desk: Desk) -> None:
    cache = desk.home / "cache" / "tracesidecar" / "rules"
    sign_compiled(cache)
    poison(cache, "words", (cache / "key").read_bytes())
    desk.write("a.jsonl", "{}\n")
    desk.write("own.toml", CONFIGURATION)
    for words in (("redact",), ("scan", "a.jsonl"), ("check-config", "--config", "own.toml")):
        done = desk.call(*words, stdin=b"{}\n", XDG_CACHE_HOME=str(desk.home / "cache"))
        assert (done.returncode, done.stdout) == (78, "")
        assert "misses planted secrets (assignment): nothing is shipped or shown" in done.stderr


CONFIGURATION = """\
[[redaction.test]]
input = "a"
expected = "a"
[[source]]
name = "a"
include = ["*.jsonl"]
[[sink]]
name = "l"
type = "directory"
path = "lake"
"""
