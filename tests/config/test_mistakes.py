"""Every mistake a person makes gives one clear sentence with file and line, what was found and what
is allowed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.config.conftest import Folder
from tracesidecar.config.load import inspect, load
from tracesidecar.errors import ConfigurationError
from tracesidecar.extras import install_command
from tracesidecar.sinks.registry import SINK_PACKAGES

SOURCE = '[[source]]\nname = "agent"\ninclude = ["traces/*.jsonl"]\n'
SINK = '[[sink]]\nname = "lake"\ntype = "directory"\npath = "lake"\n'
BOTH = SOURCE + SINK
TYPES = ", ".join(f'"{name}"' for name in sorted(SINK_PACKAGES))
RECORD_FORMATS = '"raw", "event", "ecs", "ocsf", "cef", "leef", "otlp"'

MISTAKES = {
    "wrong type: a string for a list": (
        '[[source]]\nname = "a"\ninclude = "x"\n' + SINK,
        '3: source.include: expected a list of strings, found "x"',
    ),
    "a format that only other sinks take": (
        SOURCE + '[[sink]]\nname = "out"\ntype = "stdout"\nformat = "parquet"\n',
        (
            '7: sink.format: a sink of type stdout does not take the format "parquet": '
            f"expected one of {RECORD_FORMATS}"
        ),
    ),
    "a format that no sink takes": (
        SOURCE + '[[sink]]\nname = "out"\ntype = "stdout"\nformat = "csv"\n',
        f'7: sink.format: expected one of {RECORD_FORMATS}, found "csv"',
    ),
    "wrong type: a number for a time": (
        "[daemon]\npoll_interval = 1\n" + BOTH,
        '2: daemon.poll_interval: expected a time with a unit, such as "25s", found the number 1',
    ),
    "wrong type: a number for a string": (
        "state_directory = 3\n" + BOTH,
        "1: state_directory: expected the path of a directory, found the number 3",
    ),
    "wrong type: a table for a list of tables": (
        '[source]\nname = "a"\n' + SINK,
        "1: source: expected blocks that begin with [[source]], found a table; write two brackets",
    ),
    "wrong type: a string for a flag": (
        BOTH + 'required = "yes"\n',
        '8: sink.required: expected true or false, found "yes"',
    ),
    "wrong type: a number among strings": (
        '[[source]]\nname = "a"\ninclude = ["x", 3]\n' + SINK,
        "3: source.include: expected a list of strings, found a list with the number 3 in it",
    ),
    "wrong type: a table": (
        "daemon = 3\n" + BOTH,
        "1: daemon: expected a table, found the number 3",
    ),
    "size without a unit": (
        '[daemon]\nmemory_limit = "48"\n' + BOTH,
        '2: daemon.memory_limit: expected a size with a unit, such as "48MiB", found "48"',
    ),
    "time in words": (
        BOTH + 'batch = { age = "a minute" }\n',
        '8: sink.batch.age: expected a time with a unit, such as "25s", found "a minute"',
    ),
    "a word that is not offered": (
        BOTH + 'compression = "lz4"\n',
        '8: sink.compression: expected one of "none", "gzip", "zstd", found "lz4"',
    ),
    "a link rule that there is not": (
        '[[source]]\nname = "a"\ninclude = ["x/*"]\nsymlinks = "no"\n' + SINK,
        '4: source.symlinks: expected one of "never", "same_owner", "follow", found "no"',
    ),
    "an owner that there is not": (
        '[[source]]\nname = "a"\ninclude = ["x/*"]\nowners = ["0", "no such user"]\n' + SINK,
        '4: source.owners: there is no user "no such user"; give a name or a number',
    ),
    "unknown key at the top": (
        'state_directry = "x"\n' + BOTH,
        (
            '1: state_directry: unknown key; did you mean "state_directory"? allowed are '
            "state_directory, daemon, source, redaction, quarantine, sink"
        ),
    ),
    "unknown key in a block": (
        '[[source]]\nname = "a"\ninclude = ["x/*"]\nexlude = ["y"]\n' + SINK,
        (
            '4: source.exlude: unknown key; did you mean "exclude"? allowed are '
            "name, include, exclude, dialect, labels, max_line, repair, documents, copy_grace, "
            "hold_directory, rotated, protect, id, symlinks, owners, limits"
        ),
    ),
    "a limit of nothing": (
        '[[source]]\nname = "a"\ninclude = ["x/*"]\nlimits = { ratio = 0 }\n' + SINK,
        "4: source.limits.ratio: ratio must be at least 1",
    ),
    "a limit of another kind": (
        '[[source]]\nname = "a"\ninclude = ["x/*"]\nlimits = { partitions = "64" }\n' + SINK,
        '4: source.limits.partitions: expected a whole number, found "64"',
    ),
    "unknown key in an inline table": (
        BOTH + "batch = {\n" + ' ages = "3s" }\n',
        '9: sink.batch.ages: unknown key; did you mean "age"? allowed are bytes, lines, age, idle',
    ),
    "a key of the top in the last block": (
        BOTH + 'state_directory = "state"\n',
        "8: sink.state_directory: this key belongs to the top of the file, before the first block",
    ),
    "missing key": (
        '[[source]]\nname = "a"\n' + SINK,
        '1: source: the key "include" is missing; it takes a list of strings',
    ),
    "missing sink type": (
        SOURCE + '[[sink]]\nname = "x"\n',
        f'4: sink: the key "type" is missing; it takes one of {TYPES}',
    ),
    "unknown sink type": (
        SOURCE + '[[sink]]\nname = "x"\ntype = "htpp"\n',
        (
            f'6: sink.type: unknown sink type: expected one of {TYPES}, found "htpp"; did you mean '
            '"http"?'
        ),
    ),
    "no sink": (
        SOURCE,
        "1: sink: there is no [[sink]] block: at least one must say where to ship to",
    ),
    "no source": (
        SINK,
        "1: source: there is no [[source]] block: at least one must say what to follow",
    ),
    "two sinks with one name": (
        BOTH + SINK,
        '9: sink.name: two sinks are named "lake"; give each its own name',
    ),
    "two sources with one name": (
        SOURCE + BOTH,
        '5: source.name: two sources are named "agent"; give each its own name',
    ),
    "a source that does not exist": (
        BOTH + 'sources = ["agnt"]\n',
        (
            '8: sink.sources: sink "lake" names the source "agnt", which does not exist: expected '
            '"agent"; did you mean "agent"?'
        ),
    ),
    "an empty include": (
        '[[source]]\nname = "a"\ninclude = []\n' + SINK,
        "3: source.include: the list is empty; it takes at least one path or pattern",
    ),
    "an empty pattern": (
        '[[source]]\nname = "a"\ninclude = [""]\n' + SINK,
        "3: source.include: the pattern is empty",
    ),
    "an empty place": (
        BOTH.replace('"lake"\n', '""\n').replace('name = ""', 'name = "lake"'),
        "7: sink.path: path is empty; give the folder that the objects go to",
    ),
    "a key given twice": (
        '[[source]]\nname = "a"\nname = "b"\n',
        "3: this key or table is given a second time (column 11); write it once",
    ),
    "a table given twice": (
        "[daemon]\n[daemon]\n",
        "2: this key or table is given a second time (column 8); write it once",
    ),
    "a text without quotes": (
        "[daemon]\nlisten = off\n",
        "2: not valid TOML: invalid value in column 10; strings need quotes",
    ),
    "an unclosed string": (
        '[daemon]\nlisten = "off\n',
        "2: not valid TOML in column 14: Illegal character '\\n'",
    ),
    "a variable that is not set": (
        BOTH + 'start = "${env:WHEN}"\n',
        (
            "8: sink.start: the environment variable WHEN is not set; set it, or give a default "
            "with ${env:WHEN:-default}"
        ),
    ),
    "another kind of reference": (
        'state_directory = "${HOME}/x"\n' + BOTH,
        (
            "1: state_directory: unknown kind of reference; allowed are ${env:NAME}, "
            "${env:NAME:-default} and ${file:PATH}; "
            "a literal ${ is written $${"
        ),
    ),
    "a listen address without a port": (
        '[daemon]\nlisten = "localhost"\n' + BOTH,
        '2: daemon.listen: listen must be "host:port", "unix:PATH" or "" (off)',
    ),
    "a name of the health pages with a port": (
        '[daemon]\nallowed_hosts = ["metrics.example.com", "metrics.example.com:9464"]\n' + BOTH,
        "2: daemon.allowed_hosts: allowed_hosts takes names of hosts, without a port",
    ),
    "sealing": (
        '[quarantine]\nseal_to = "age1x"\n' + BOTH,
        (
            "2: quarantine.seal_to: seal_to is not a public key of age: it is what age-keygen "
            "prints after 'Public key:' (age1…)"
        ),
    ),
    "sealing to a private key": (
        '[quarantine]\nseal_to = "AGE-SECRET-KEY-1X"\n' + BOTH,
        (
            "2: quarantine.seal_to: seal_to has a private key: keep that elsewhere, and write the "
            "public key that belongs to it (age1…)"
        ),
    ),
    "a rule that does not exist": (
        '[redaction]\ndisable = ["twilio-kee"]\n' + BOTH,
        '2: redaction.disable: "twilio-kee" is not a rule; the nearest is "twilio-key"',
    ),
    "an allowed path that is none": (
        '[redaction]\nallow = ["a value", "$..token"]\n' + BOTH,
        (
            '2: redaction.allow: an entry that begins with "$." or "$[" is a path, written as '
            "$.name.other[0].* or $.list[*].name"
        ),
    ),
    "a rule whose regex is none": (
        '[redaction]\n[[redaction.rule]]\nid = "x"\nregex = "(a"\n' + BOTH,
        "4: redaction.rule.regex: RE2 rejects the pattern: missing ): (a",
    ),
}


@pytest.mark.parametrize(("text", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_gives_one_sentence_with_its_line(
    folder: Folder, text: str, sentence: str
) -> None:
    assert folder.mistakes(text) == [sentence]


def test_all_mistakes_are_reported_at_once_and_in_the_order_of_the_file(folder: Folder) -> None:
    text = (
        '[daemon]\nlisten = 3\npoll = "1s"\n[[source]]\nname = "a"\n[[sink]]\nname = "x"\n'
        'type = "directory"\npath = 3\n'
    )
    assert [problem.split(":")[0] for problem in folder.mistakes(text)] == ["2", "3", "4", "9"]


def test_load_reports_the_first_mistake_and_how_many_more_there_are(folder: Folder) -> None:
    with pytest.raises(ConfigurationError) as rejected:
        folder.load('[daemon]\nlisten = 3\npoll = "1s"\n' + BOTH)
    assert str(rejected.value) == (
        f"{folder.file}:2: daemon.listen: expected a string, found the number 3 (and 1 more, "
        'see "tracesidecar check-config")'
    )


def test_a_missing_file_is_named(folder: Folder) -> None:
    with pytest.raises(ConfigurationError) as rejected:
        load(str(folder.path / "nowhere.toml"), folder.environ)
    assert str(rejected.value) == (
        f"{folder.path}/nowhere.toml: the configuration cannot be read: No such file or directory"
    )


def test_a_missing_referenced_file_is_named(folder: Folder) -> None:
    text = f'[redaction]\nhmac_key = "${{file:{folder.path}/hmac}}"\n{BOTH}'
    assert folder.mistakes(text) == [
        (
            f"2: redaction.hmac_key: the file {folder.path}/hmac cannot be read: No such file or "
            "directory"
        )
    ]


def test_a_missing_credential_file_is_named(folder: Folder) -> None:
    text = SOURCE + (
        '[[sink]]\nname = "w"\ntype = "http"\nurl = "http://localhost/"\n'
        'auth = { type = "bearer", token_file = "token" }\n'
    )
    assert folder.mistakes(text) == [
        (
            f'8: sink.auth.token_file: the file "{folder.path}/token" does not exist; create it, '
            "or correct the path"
        )
    ]


def test_a_file_that_is_not_text_is_rejected(folder: Folder) -> None:
    folder.file.write_bytes(b'a = "\xff"\n')
    with pytest.raises(ConfigurationError, match=r"is not UTF-8 text \(byte 5\)"):
        load(str(folder.file), folder.environ)


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 100_000, "a = " + "[" * 400 + "]" * 400, "a = 1" + "0" * 10_000],
    ids=["open", "deep", "long number"],
)
def test_a_file_made_to_break_the_reader_is_rejected(folder: Folder, text: str) -> None:
    assert folder.inspect(text).problems


def test_a_directory_in_place_of_a_file_pattern_is_rejected(folder: Folder) -> None:
    (folder.path / "traces").mkdir()
    text = SOURCE.replace("traces/*.jsonl", "traces") + SINK
    assert folder.mistakes(text) == [
        (
            f'3: source.include: "{folder.path}/traces" is a directory; write which files are '
            f'meant, such as "{folder.path}/traces/**/*.jsonl"'
        )
    ]


@pytest.mark.parametrize("pattern", ["traces/**/*.jsonl", "traces/*.jsonl"])
def test_the_state_directory_inside_a_watched_directory_is_rejected(
    folder: Folder, good: str, pattern: str
) -> None:
    text = good.replace('"state"', '"traces/state"').replace("traces/**/*.jsonl", pattern)
    assert folder.mistakes(text) == [
        (
            f'5: source.include: the state directory "{folder.path}/traces/state" lies inside the '
            f'watched directory "{folder.path}/traces"; keep them apart'
        )
    ]


def test_a_watched_directory_inside_the_state_directory_is_rejected(
    folder: Folder, good: str
) -> None:
    text = good.replace("traces/**/*.jsonl", "state/traces/*.jsonl")
    assert folder.mistakes(text) == [
        (
            f'5: source.include: the watched directory "{folder.path}/state/traces" lies inside '
            f'the state directory "{folder.path}/state"; keep them apart'
        )
    ]


def test_a_state_directory_reached_through_a_symbolic_link_is_rejected_too(
    folder: Folder, good: str
) -> None:
    (folder.path / "traces").mkdir()
    (folder.path / "other").symlink_to(folder.path / "traces")
    assert (
        "lies inside the watched directory"
        in folder.mistakes(good.replace('"state"', '"other/state"'))[0]
    )


def test_a_single_followed_file_does_not_claim_its_directory(folder: Folder, good: str) -> None:
    assert folder.mistakes(good.replace("traces/**/*.jsonl", "agent.jsonl")) == []


def test_a_sink_that_a_source_would_follow_is_rejected(folder: Folder, good: str) -> None:
    text = good.replace('"lake"\n', '"traces/lake"\n').replace(
        'path = "traces/lake"', 'path = "traces/lake"\ncompression = "none"'
    )
    assert folder.mistakes(text.replace('name = "traces/lake"', 'name = "lake"')) == [
        (
            f'10: sink.path: what this sink writes to "{folder.path}/traces/lake" is matched by '
            f'"{folder.path}/traces/**/*.jsonl" of source "agent"; '
            "keep them apart, or exclude it"
        )
    ]


def test_a_sink_whose_objects_are_excluded_is_accepted(folder: Folder, good: str) -> None:
    text = good.replace('path = "lake"', 'path = "traces/lake"\ncompression = "none"').replace(
        '.jsonl"]', '.jsonl"]\nexclude = ["./traces/lake/**"]'
    )
    assert folder.mistakes(text) == []


def test_a_state_directory_that_is_a_file_is_rejected(folder: Folder, good: str) -> None:
    (folder.path / "state").touch()
    assert folder.mistakes(good) == [
        f'1: state_directory: "{folder.path}/state" is not a directory'
    ]


def test_a_directory_that_does_not_exist_yet_is_a_warning(folder: Folder, good: str) -> None:
    assert folder.load(good).warnings == (
        (
            f'{folder.file}:5: source.include: the directory "{folder.path}/traces" of source '
            '"agent" does not exist (yet)'
        ),
    )


@pytest.mark.parametrize("closed", ["", "above"], ids=["itself", "what is above it"])
def test_an_unreadable_directory_is_rejected(closed: str) -> None:
    """Permissions bind only ordinary users: as root, the judgement is made by a process that has
    given root up.
    """
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o777)
        folder = Folder(Path(place))
        (folder.path / "above" / "traces").mkdir(parents=True)
        (folder.path / ("above" if closed else "above/traces")).chmod(0o000)
        text = 'state_directory = "state"\n' + SOURCE.replace("traces/*", "above/traces/*") + SINK
        folder.write(text)
        mistakes = as_ordinary_user(
            lambda: [str(problem) for problem in inspect(str(folder.file), folder.environ).problems]
        )
        (folder.path / "above").chmod(0o700)
        (folder.path / "above/traces").chmod(0o700)
    assert len(mistakes) == 1
    assert mistakes[0].startswith(
        f'{place}/tracesidecar.toml:4: source.include: the directory "{place}/above/traces" '
        "cannot be read"
    )


def as_ordinary_user(judge: Callable[[], list[str]]) -> list[str]:
    """Run in a child that is not root, and bring back what it found."""
    if os.geteuid() != 0:
        return judge()
    judge()  # imports what it needs while it may
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setuid(65534)
            os.write(writing, json.dumps(judge()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as file:
        found: list[str] = json.load(file)
    os.waitpid(child, 0)
    return found


def test_a_sink_without_its_extra_says_what_to_install(folder: Folder) -> None:
    """Run in an interpreter in which the S3 client cannot be found, as on a machine without the
    extra.
    """
    folder.write(SOURCE + '[[sink]]\nname = "x"\ntype = "s3"\nbucket = "traces"\n')
    program = (
        "import sys\n"
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, package=None: None if name == 'boto3' else "
        "found(name, package)\n"
        "from tracesidecar.cli import main\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "check-config", "--config", str(folder.file)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (
        78,
        (
            f'error: {folder.file}:6: sink.type: "s3" is not installed; run: '
            f"{install_command('s3')}\n"
        ),
    )


def test_no_message_holds_a_credential(folder: Folder) -> None:
    secret = "hunter2-SECRET-value"
    folder.environ["TOKEN"] = secret
    (folder.path / "key").write_text(secret)
    texts = [
        '[redaction]\nhmac_key = ["${env:TOKEN}"]\n' + BOTH,
        '[redaction]\npii = "${env:TOKEN}"\n' + BOTH,
        '[daemon]\npoll_interval = "${file:key}"\nlisten = "${env:TOKEN}"\n' + BOTH,
        BOTH + 'compression = "${env:TOKEN}"\n',
        BOTH + f'start = "{secret}"\n',
        SOURCE + f'[[sink]]\nname = "w"\ntype = "http"\nurl = "http://u:{secret}@h/"\n',
        SOURCE
        + (
            '[[sink]]\nname = "w"\ntype = "http"\nurl = "http://h/"\n'
            f'auth = {{ type = "{secret}", token = "{secret}" }}\n'
        ),
        SOURCE
        + (
            f'[[sink]]\nname = "w"\ntype = "http"\nurl = "http://h/"\nheaders = "{secret}"\n'
            f'auth = "{secret}"\n'
        ),
        SOURCE + f'[[sink]]\nname = "w"\ntype = "{secret}"\n',
        f'[redaction]\nhmac_key = "{secret}\n',
        f"[redaction]\nhmac_key = {secret}\n",
        f'[redaction]\nhmac_key = "{secret}"\nhmac_key = "{secret}"\n',
    ]
    for text in texts:
        mistakes = folder.mistakes(text)
        assert mistakes, text
        assert not [mistake for mistake in mistakes if secret in mistake or "hunter2" in mistake], (
            text
        )


def test_relative_paths_start_at_the_folder_of_the_file(
    folder: Folder, good: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    configuration = folder.load(good).configuration
    assert configuration.state_directory == f"{folder.path}/state"
    assert configuration.source[0].include == (f"{folder.path}/traces/**/*.jsonl",)


@pytest.mark.parametrize(
    ("more", "is_twice"),
    [
        ("", True),
        ('sources = ["agent"]\n', True),
        ('sources = ["other"]\n', False),
        ('format = "event"\n', False),
    ],
)
def test_two_sinks_that_write_the_same_to_one_place_are_a_warning(
    folder: Folder, more: str, *, is_twice: bool
) -> None:
    """Seen: each line was there twice, and nothing said so."""
    other = SOURCE.replace('"agent"', '"other"').replace("traces", "more")
    first = f'{SINK}sources = ["agent"]\n'
    twins = first + SINK.replace('"lake"\ntype', '"again"\ntype') + more
    warnings = folder.load(SOURCE + other + twins).warnings
    expected = (
        f'{folder.file}:13: sink.name: sinks "lake" and "again" write to the same place in the '
        'same format what source "agent" has: each of its lines is there twice'
    )
    assert (expected in warnings) == is_twice
    assert len(warnings) == 2 + is_twice
