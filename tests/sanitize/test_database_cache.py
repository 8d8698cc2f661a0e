"""Compiled databases survive a restart, and damaged ones are compiled again."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files

import pytest

from tests.poison import blind_database, poison, split_name
from tests.warm import sign_compiled
from tracesidecar.sanitize.engine.database_cache import KEPT_PER_NAME, DatabaseCache
from tracesidecar.sanitize.options import RedactionOptions
from tracesidecar.sanitize.sanitizer import Sanitizer

LINE = json.dumps({"out": "key AKIA" + "Q7LPMN5HFZKE2345", "password": "x y"}).encode()
REDACTED = b'{"out": "key [REDACTED:aws-access-key-id]", "password": "[REDACTED:key-name]"}'


def read_stored(directory: pathlib.Path) -> dict[str, bytes]:
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


def cut_in_half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def empty(content: bytes) -> bytes:
    return b""


def overwrite(content: bytes) -> bytes:
    return content[:100] + b"\0\0\0" + content[103:]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(cut_in_half, marks=pytest.mark.long),
        pytest.param(empty, marks=pytest.mark.long),
        overwrite,
    ],
)
def test_damaged_files_are_compiled_again(
    tmp_path: pathlib.Path, damage: Callable[[bytes], bytes]
) -> None:
    Sanitizer(RedactionOptions(), cache_directory=str(tmp_path))
    whole = read_stored(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(damage(path.read_bytes()))
    assert (
        Sanitizer(RedactionOptions(), cache_directory=str(tmp_path)).redact_line(LINE) == REDACTED
    )
    assert read_stored(tmp_path).keys() == whole.keys()


def test_a_database_of_another_build_is_compiled_again(tmp_path: pathlib.Path) -> None:
    Sanitizer(RedactionOptions(), cache_directory=str(tmp_path))
    for path in tmp_path.glob("*.hsdb"):
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
    assert read_stored(tmp_path)


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


KEY = b"k" * 32
POISONED = ("anchors", "base64-runs", "base64-text", "encoded-text", "rules", "runs", "words")


@pytest.fixture
def cache(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a cache that a daemon has filled, signed with its key."""
    sign_compiled(tmp_path / "cache", KEY)
    return tmp_path / "cache"


def list_loaded(cache: pathlib.Path, key: bytes | None = KEY) -> set[str]:
    """Return the names of the databases that count."""
    kept = DatabaseCache(str(cache), key)
    names = [split_name(path) for path in cache.glob("*.hsdb")]
    return {name for name, digest in names if kept.load(name, digest) is not None}


def test_a_database_that_another_key_has_signed_does_not_count(cache: pathlib.Path) -> None:
    assert list_loaded(cache) == set(POISONED)
    assert list_loaded(cache, b"K" * 32) == set()
    for name in POISONED:
        poison(cache, name)
    assert list_loaded(cache) == set()
    poison(cache, "words", b"K" * 32)
    assert list_loaded(cache) == set()


def test_a_database_of_ours_does_not_count_under_another_name(cache: pathlib.Path) -> None:
    """A rule is switched off, and compiled; then its database takes the place of the whole one."""
    [whole] = cache.glob("rules-*")
    DatabaseCache(str(cache), KEY).store("rules", "0" * 32, blind_database())
    (cache / f"rules-{'0' * 32}.hsdb").replace(whole)
    assert list_loaded(cache) == set(POISONED) - {"rules"}


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o644])
def test_a_database_that_others_may_use_does_not_count(cache: pathlib.Path, mode: int) -> None:
    [words] = cache.glob("words-*")
    words.chmod(mode)
    assert list_loaded(cache) == set(POISONED) - {"words"}


def test_a_directory_that_others_could_use_is_narrowed(cache: pathlib.Path) -> None:
    cache.chmod(0o777)
    assert list_loaded(cache) == set(POISONED), "what others have put there is not signed"
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


def test_neither_the_directory_nor_a_file_is_reached_through_a_link(
    cache: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(cache)
    assert list_loaded(link) == set()
    [words], [runs] = cache.glob("words-*"), cache.glob("runs-*")
    words.rename(tmp_path / "words")
    words.symlink_to(tmp_path / "words")
    runs.unlink()
    os.mkfifo(runs)
    assert list_loaded(cache) == set(POISONED) - {"words", "runs"}
    Sanitizer(RedactionOptions(), cache_directory=str(cache), cache_key=KEY)
    assert list_loaded(cache) == set(POISONED), "they are rewritten, not through the link"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's files")
def test_what_belongs_to_somebody_else_does_not_count(
    cache: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    [words] = cache.glob("words-*")
    os.chown(words, 65533, 65533)
    assert list_loaded(cache) == set(POISONED) - {"words"}
    os.chown(cache, 65533, 65533)
    assert list_loaded(cache) == set()
    kept = DatabaseCache(str(cache), KEY)
    kept.store("words", "0", b"")
    assert kept.trouble == (
        f"the cache {cache} is not used: it belongs to user 65533, and this is user 0"
    )
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 65533, 65533)
    kept = DatabaseCache(str(home / "cache" / "rules"))  # HOME of the agent, `sudo -E`
    kept.store("words", "0", b"")
    assert kept.trouble.endswith(f"not used: {home} belongs to user 65533, and this is user 0")
    assert not [*home.iterdir()]
    link, target = tmp_path / "link", tmp_path / "target"
    target.mkdir()
    link.symlink_to(target)
    os.lchown(link, 65533, 65533)
    kept = DatabaseCache(str(link / "rules"))
    kept.store("words", "0", b"")
    assert kept.trouble.endswith(f"not used: {link} belongs to user 65533, and this is user 0")
    assert not [*target.iterdir()]


def test_a_cache_has_a_key_of_its_own_where_nothing_is_installed(tmp_path: pathlib.Path) -> None:
    cache = tmp_path / "cache"
    sign_compiled(cache)
    assert list_loaded(cache, None) == set(POISONED)
    key = cache / "key"
    assert (stat.S_IMODE(key.stat().st_mode), key.stat().st_size) == (0o600, 32)
    first = key.read_bytes()
    for damage in (
        lambda: key.write_bytes(b"short"),
        lambda: key.chmod(0o644),
        lambda: key.write_bytes(KEY),
        lambda: (tmp_path / "link").hardlink_to(key),
        lambda: key.unlink(),
    ):
        damage()
        assert list_loaded(cache, None) == set()
        DatabaseCache(str(cache)).store("words", "0", b"")
        (tmp_path / "link").unlink(missing_ok=True)
        key.write_bytes(first)
        key.chmod(0o600)
        assert list_loaded(cache, None) >= set(POISONED)


def test_the_package_has_no_compiled_database() -> None:
    """Its rules are text. One that is ever packaged would need a digest in the code."""
    assert not [*pathlib.Path(str(files("tracesidecar"))).rglob("*.hsdb")]
