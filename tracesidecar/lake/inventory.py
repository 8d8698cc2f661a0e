"""Which objects a store has, and which its manifests and compactions say that it has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from tracesidecar.batch import ManifestObject
from tracesidecar.lake.records import Compaction
from tracesidecar.lake.scratch import needing_room, open_scratch, pack, unpack

_SCHEMA = """
CREATE TABLE object (
    name BLOB PRIMARY KEY, is_there INT DEFAULT 0, is_replaced INT DEFAULT 0,
    is_expected INT DEFAULT 0, sha256 BLOB, bytes INT, rows INT
) WITHOUT ROWID;
CREATE TABLE compaction (content BLOB);
"""
_NOTE = """
INSERT INTO object (name, is_there) VALUES (?, 1)
ON CONFLICT (name) DO UPDATE SET is_there = 1
"""
_REPLACE = """
INSERT INTO object (name, is_replaced) VALUES (?, 1)
ON CONFLICT (name) DO UPDATE SET is_replaced = 1
"""
_EXPECT = """
INSERT INTO object (name, is_expected, sha256, bytes, rows) VALUES (?, 1, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET is_expected = 1, sha256 = excluded.sha256,
    bytes = excluded.bytes, rows = excluded.rows
"""
_COLUMNS = "SELECT name, sha256, bytes, rows FROM object"


class ObjectInventory:
    """The objects of a store by name. It is on disk: a store may list millions."""

    def __init__(self) -> None:
        self._scratch = open_scratch(_SCHEMA)

    def note_existing(self, names: Iterable[str]) -> None:
        """Note that objects with these names are there."""
        with needing_room():
            self._scratch.executemany(_NOTE, ((pack(name),) for name in names))

    def note_arrived(self, names: Iterable[str]) -> None:
        """Note that those of these objects are there that are expected."""
        query = "UPDATE object SET is_there = 1 WHERE name = ? AND is_expected"
        with needing_room():
            self._scratch.executemany(query, ((pack(name),) for name in names))

    def remember(self, compaction: Compaction) -> None:
        """Keep the record of a compaction."""
        with needing_room():
            query = "INSERT INTO compaction VALUES (?)"
            self._scratch.execute(query, (msgspec.msgpack.encode(compaction),))

    def list_compactions(self) -> Iterator[Compaction]:
        """Yield the records of compactions, in the order in which they came."""
        with needing_room():
            for (content,) in self._scratch.execute(
                "SELECT content FROM compaction ORDER BY rowid"
            ):
                yield msgspec.msgpack.decode(content, type=Compaction)

    def find_expected(self, name: str) -> ManifestObject | None:
        """Return what is expected under a name."""
        condition = "WHERE name = ? AND is_expected"
        return next(self._read(condition, pack(name)), None)

    def expect(self, each: ManifestObject) -> None:
        """Note what a manifest or a compaction says."""
        with needing_room():
            values = pack(each.name), pack(each.sha256), each.bytes, each.rows
            self._scratch.execute(_EXPECT, values)

    def note_replaced(self, name: str) -> None:
        """Note that a compaction has replaced an object."""
        with needing_room():
            self._scratch.execute(_REPLACE, (pack(name),))

    def list_expected(self, *, is_there: bool, is_replaced: bool) -> Iterator[ManifestObject]:
        """Yield what should be there, by name."""
        condition = "WHERE is_expected AND is_there = ? AND is_replaced = ? ORDER BY name"
        return self._read(condition, is_there, is_replaced)

    def list_replaced_strays(self) -> Iterator[str]:
        """Yield what a compaction has replaced, and nobody shipped."""
        return self._list_names("WHERE is_replaced AND NOT is_expected ORDER BY name")

    def list_strays(self) -> Iterator[str]:
        """Yield what is there, and nobody lists."""
        condition = "WHERE is_there AND NOT is_expected AND NOT is_replaced ORDER BY name"
        return self._list_names(condition)

    def has_missing(self) -> bool:
        """Return whether something is expected that is not there."""
        return next(self.list_expected(is_there=False, is_replaced=False), None) is not None

    def _read(self, condition: str, *values: object) -> Iterator[ManifestObject]:
        with needing_room():
            for name, sha256, size_bytes, rows in self._scratch.execute(
                f"{_COLUMNS} {condition}", values
            ):
                yield ManifestObject(unpack(name), unpack(sha256), size_bytes, rows)

    def _list_names(self, condition: str) -> Iterator[str]:
        with needing_room():
            query = f"SELECT name FROM object {condition}"  # noqa: S608 - a constant of this module
            for (name,) in self._scratch.execute(query):
                yield unpack(name)
