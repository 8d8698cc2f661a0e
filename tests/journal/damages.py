"""Damages that a journal may suffer: of bytes, of files, and of rows that are no longer plausible.

Each takes the state directory and a source of random numbers, and leaves the damage behind.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

Damage = Callable[[Path, Random], None]

ODD_VALUES: tuple[object, ...] = (
    None,
    -1,
    2**62,
    1e308,
    "text",
    "\0",
    b"",
    b"\xff\xfe\0",
    b"x" * 5000,
)
"""Values of every type that SQLite has, in and out of any range."""

INVALID_TEXT = "CAST(x'ff80' AS TEXT)"


def journal(state: Path) -> Path:
    """Return the path of the journal."""
    return state / "journal.sqlite"


def pages(state: Path) -> dict[str, list[int]]:
    """Return page numbers (from 1) by what they are: header, table, index, free, other."""
    db = sqlite3.connect(journal(state))
    kinds: dict[str, list[int]] = {"header": [1]}
    try:
        query = (
            "SELECT s.pageno, coalesce(m.type, 'table') FROM dbstat s "
            "LEFT JOIN sqlite_master m ON m.name = s.name"
        )
        with suppress(sqlite3.OperationalError):  # dbstat is a compile-time option
            for number, kind in db.execute(query):
                kinds.setdefault(kind, []).append(number)
        (count,) = db.execute("PRAGMA page_count").fetchone()
    finally:
        db.close()
    known = {number for numbers in kinds.values() for number in numbers}
    kinds["other"] = [number for number in range(1, count + 1) if number not in known]
    return {kind: numbers for kind, numbers in kinds.items() if numbers}


def checkpoint(state: Path) -> None:
    """Bring everything into the main file, so that damage of it cannot be hidden by the WAL."""
    db = sqlite3.connect(journal(state))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def overwrite(path: Path, at: int, data: bytes) -> None:
    """Replace bytes in the middle of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def bytes_of(how: str, old: bytes, rng: Random) -> bytes:
    """Return as many bytes as the old ones: zeros, one bit flipped, or noise."""
    if how == "zero":
        return bytes(len(old))
    if how == "flip":
        changed = bytearray(old)
        changed[rng.randrange(len(old))] ^= 1 << rng.randrange(8)
        return bytes(changed)
    return rng.randbytes(len(old))


def of_page(kind: str, how: str) -> Damage:
    """Damage a page of a kind, or a part of it."""

    def damage(state: Path, rng: Random) -> None:
        checkpoint(state)
        chosen = pages(state)
        number = rng.choice(chosen.get(kind) or chosen["header"])
        with journal(state).open("rb") as file:
            file.seek(16)
            size = int.from_bytes(file.read(2), "big")
            size = 65536 if size == 1 else size
            start, length = (number - 1) * size, size
            if how != "zero" or rng.random() < 0.5:
                length = rng.choice((1, 16, 100, size))
                start += rng.randrange(size - length + 1)
            file.seek(start)
            old = file.read(length)
        overwrite(journal(state), start, bytes_of(how, old, rng))

    return damage


def of_header(state: Path, rng: Random) -> None:
    """Replace four bytes of the header."""
    checkpoint(state)
    overwrite(journal(state), rng.randrange(96), rng.randbytes(4))


def truncate(state: Path, rng: Random) -> None:
    """Cut the file off, at an odd place or an even one."""
    checkpoint(state)
    size = journal(state).stat().st_size
    os.truncate(journal(state), rng.choice((0, 1, 99, 100, 4096, size // 2, size - 1)))


def grow(state: Path, rng: Random) -> None:
    """Append noise."""
    checkpoint(state)
    with journal(state).open("ab") as file:
        file.write(rng.randbytes(rng.choice((1, 4096, 10000))))


def replace_by_noise(state: Path, rng: Random) -> None:
    """Replace the whole file by noise."""
    journal(state).write_bytes(rng.randbytes(rng.choice((10, 4096, 100000))))


def beside(suffix: str, how: str) -> Damage:
    """Damage the WAL (`-wal`) or the index of it (`-shm`)."""

    def damage(state: Path, rng: Random) -> None:
        path = journal(state).with_name(f"journal.sqlite{suffix}")
        if how == "remove":
            path.unlink(missing_ok=True)
        elif how == "directory":
            path.unlink(missing_ok=True)
            path.mkdir()
        elif how == "other":
            path.write_bytes(other_wal(state) if suffix == "-wal" else rng.randbytes(32768))
        elif path.exists() and path.stat().st_size:
            size = path.stat().st_size
            if how == "truncate":
                os.truncate(path, rng.randrange(size))
                return
            length = rng.choice((1, 32, size))
            start = rng.randrange(size - length + 1)
            with path.open("rb") as file:
                file.seek(start)
                old = file.read(length)
            overwrite(path, start, bytes_of(how, old, rng))

    return damage


def other_wal(state: Path) -> bytes:
    """Return the WAL of another journal with the same tables and other rows."""
    folder = state.with_name("other")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(state, folder, ignore=shutil.ignore_patterns("cache", "*.sock"))
    db = sqlite3.connect(journal(folder), isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("UPDATE sink SET lines = lines + 1000")
        db.execute("UPDATE offset SET segment = segment + 1")
        return journal(folder).with_name("journal.sqlite-wal").read_bytes()
    finally:
        db.close()


def kind_of_file(how: str) -> Damage:
    """Put something else in the place of the file, or change its rights."""

    def damage(state: Path, _rng: Random) -> None:
        checkpoint(state)
        path = journal(state)
        if how == "directory":
            path.unlink()
            path.mkdir()
        elif how == "fifo":
            path.unlink()
            os.mkfifo(path)
        elif how == "dangling":
            path.unlink()
            path.symlink_to(state / "nowhere" / "journal.sqlite")
        elif how == "loop":
            path.unlink()
            path.symlink_to(path)
        elif how == "symlink":
            path.rename(state / "elsewhere.sqlite")
            path.symlink_to(state / "elsewhere.sqlite")
        elif how == "missing":
            path.unlink()
        elif how == "unreadable":
            path.chmod(0)
        elif how == "read-only":
            path.chmod(0o400)

    return damage


def tables(state: Path) -> dict[str, list[str]]:
    """Return the columns of each table."""
    db = sqlite3.connect(journal(state))
    try:
        return {
            name: [column[1] for column in db.execute(f"PRAGMA table_info({name})")]
            for (name,) in db.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            ).fetchall()
        }
    finally:
        db.close()


def change(state: Path, statement: str, *values: object) -> None:
    """Change rows as an SQLite shell would; what SQLite rejects changes nothing."""
    db = sqlite3.connect(journal(state), isolation_level=None)
    try:
        with suppress(sqlite3.IntegrityError, OverflowError):
            db.execute(statement, values)
    finally:
        db.close()


def of_value(table: str, column: str, value: object) -> Damage:
    """Set a column to a value in every row."""

    def damage(state: Path, _rng: Random) -> None:
        change(state, f"UPDATE {table} SET {column} = ?", value)

    return damage


def of_text(table: str, column: str) -> Damage:
    """Set a column to text that is not UTF-8 in every row."""

    def damage(state: Path, _rng: Random) -> None:
        change(state, f"UPDATE {table} SET {column} = {INVALID_TEXT}")

    return damage


def statement(sql: str) -> Damage:
    """Run a statement as an SQLite shell would."""

    def damage(state: Path, _rng: Random) -> None:
        change(state, sql)

    return damage


def of_index(state: Path, _rng: Random) -> None:
    """Leave an index that lacks what its table has."""
    db = sqlite3.connect(journal(state), isolation_level=None)
    try:
        db.execute("PRAGMA writable_schema=ON")
        (sql,) = db.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'offset_by_segment'"
        ).fetchone()
        db.execute(
            "UPDATE sqlite_master SET sql = sql || ' WHERE segment < 0' WHERE sql = ?", (sql,)
        )
    finally:
        db.close()
    db = sqlite3.connect(journal(state), isolation_level=None)
    try:
        db.execute("REINDEX offset_by_segment")
        db.execute("PRAGMA writable_schema=ON")
        db.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'offset_by_segment'", (sql,))
    finally:
        db.close()


def all_damages(state: Path) -> Iterator[tuple[str, Damage]]:
    """Return every damage with its name, for a journal as it is now."""
    for kind in ("header", "table", "index", "other"):
        for how in ("zero", "flip", "noise"):
            yield f"page-{kind}-{how}", of_page(kind, how)
    yield "header-bytes", of_header
    yield "truncate", truncate
    yield "grow", grow
    yield "noise", replace_by_noise
    yield "index-incomplete", of_index
    for suffix in ("-wal", "-shm"):
        for how in ("remove", "directory", "other", "zero", "flip", "noise", "truncate"):
            yield f"{suffix[1:]}-{how}", beside(suffix, how)
    for how in (
        "directory",
        "fifo",
        "dangling",
        "loop",
        "symlink",
        "missing",
        "unreadable",
        "read-only",
    ):
        yield f"file-{how}", kind_of_file(how)
    for table, columns in tables(state).items():
        yield f"drop-{table}", statement(f"DROP TABLE {table}")
        yield f"empty-{table}", statement(f"DELETE FROM {table}")
        yield f"rename-{table}", statement(f"ALTER TABLE {table} RENAME TO former")
        for column in columns:
            yield f"{table}.{column}-invalid-text", of_text(table, column)
            for number, value in enumerate(ODD_VALUES):
                yield f"{table}.{column}-{number}", of_value(table, column, value)
    for key in ("schema", "key", "installation"):
        yield f"meta-{key}-missing", statement(f"DELETE FROM meta WHERE key = '{key}'")
