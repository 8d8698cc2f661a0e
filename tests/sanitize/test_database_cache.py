"""Compiled databases survive a restart, and damaged ones are compiled again."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import subprocess
import sys

import pytest

from tracesidecar.sanitize.engine.database_cache import KEPT_PER_NAME, DatabaseCache
from tracesidecar.sanitize.options import RedactionOptions
from tracesidecar.sanitize.sanitizer import Sanitizer

LINE = json.dumps({"out": "key AKIA" + "Q7LPMN5HFZKE2345", "password": "x y"}).encode()
REDACTED = b'{"out": "key [REDACTED:aws-access-key-id]", "password": "[REDACTED:key-name]"}'


def stored(directory: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_second_start_reads_what_the_first_compiled(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "cache"
    assert (
        Sanitizer(RedactionOptions(), cache_directory=str(directory)).redact_line(LINE) == REDACTED
    )
    first = {path.name: path.stat().st_ino for path in directory.iterdir()}
    assert first
    assert (
        Sanitizer(RedactionOptions(), cache_directory=str(directory)).redact_line(LINE) == REDACTED
    )
    assert {path.name: path.stat().st_ino for path in directory.iterdir()} == first
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in directory.iterdir())


def test_damaged_files_are_compiled_again(tmp_path: pathlib.Path) -> None:
    Sanitizer(RedactionOptions(), cache_directory=str(tmp_path))
    whole = stored(tmp_path)
    for damage in (
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: content[:100] + b"\0\0\0" + content[103:],
    ):
        for path in tmp_path.iterdir():
            path.write_bytes(damage(path.read_bytes()))
        assert (
            Sanitizer(RedactionOptions(), cache_directory=str(tmp_path)).redact_line(LINE)
            == REDACTED
        )
        assert stored(tmp_path).keys() == whole.keys()


def test_a_database_of_another_build_is_compiled_again(tmp_path: pathlib.Path) -> None:
    Sanitizer(RedactionOptions(), cache_directory=str(tmp_path))
    for path in tmp_path.iterdir():
        name, _, key = path.stem.rpartition("-")
        path.unlink()
        DatabaseCache(str(tmp_path)).store(name, key, b"not a database")
    assert (
        Sanitizer(RedactionOptions(), cache_directory=str(tmp_path)).redact_line(LINE) == REDACTED
    )


def test_the_latest_few_databases_of_a_name_are_kept(tmp_path: pathlib.Path) -> None:
    cache = DatabaseCache(str(tmp_path))
    cache.store("other", "k", b"content")
    keys = [f"key{i}" for i in range(KEPT_PER_NAME + 2)]
    for age, key in enumerate(reversed(keys)):
        cache.store("rules", key, key.encode())
        os.utime(tmp_path / f"rules-{key}.hsdb", (1000 - age, 1000 - age))
    cache.store("rules", "latest", b"latest")
    kept = [key for key in (*keys, "latest") if cache.load("rules", key) is not None]
    assert len(kept) == KEPT_PER_NAME
    assert "latest" in kept
    assert cache.load("other", "k") == b"content"


def test_a_directory_that_is_not_writable_costs_only_time(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    assert (
        Sanitizer(
            RedactionOptions(), cache_directory=os.fspath(tmp_path / "file" / "below")
        ).redact_line(LINE)
        == REDACTED
    )


def test_without_a_child_process_the_database_is_compiled_in_this_process(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert (
        Sanitizer(RedactionOptions(), cache_directory=str(tmp_path)).redact_line(LINE) == REDACTED
    )
    assert stored(tmp_path)


def test_the_first_start_takes_hardly_more_memory_than_the_second(tmp_path: pathlib.Path) -> None:
    code = (
        "import sys; from tracesidecar.sanitize import RedactionOptions; "
        "from tracesidecar.sanitize.sanitizer import Sanitizer; "
        "Sanitizer(RedactionOptions(), cache_directory=sys.argv[1]); "
        "print(open('/proc/self/status').read().split('VmRSS:')[1].split()[0])"
    )
    if not os.path.exists("/proc/self/status"):
        pytest.skip("no /proc here")
    cold, warm = (
        int(
            subprocess.run(
                [sys.executable, "-c", code, str(tmp_path)], capture_output=True, check=True
            ).stdout
        )
        for _ in range(2)
    )
    assert cold < warm + 8192


def test_the_databases_do_not_depend_on_the_order_of_sets(
    tmp_path: pathlib.Path,
) -> None:
    program = (
        "import sys; from tracesidecar.sanitize import RedactionOptions; "
        "from tracesidecar.sanitize.sanitizer import Sanitizer; "
        "Sanitizer(RedactionOptions(), cache_directory=sys.argv[1])"
    )
    names = []
    for seed in ("1", "2", "3"):
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
        )
        names.append({entry.name: entry.stat().st_mtime_ns for entry in tmp_path.iterdir()})
    assert names[0] == names[1] == names[2], "each start would compile them again"
