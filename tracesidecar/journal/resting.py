"""Which segments rest: their records are read only once something is met that may be theirs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from tracesidecar.journal.database import JournalDatabase
from tracesidecar.journal.segment_keys import (
    PREFIX_DIGEST_BITS,
    as_signed,
    number_name,
    number_prefix,
)
from tracesidecar.tail import Folder, MountIdentity, Rest


class RestingTable:
    """Searches the keys of segments: the tailer's `RestingStore`."""

    def __init__(self, database: JournalDatabase) -> None:
        self._database = database

    def list_folders(self) -> list[Folder]:
        """Return the folders of the segments that may rest."""
        query = (
            "SELECT id, path, device, place FROM folder "
            "WHERE id IN (SELECT folder FROM segment_key)"
        )
        rows = self._database.read(tuple[int, str, int, bytes], query)
        try:
            return [
                Folder(id_, path, device, _decode_place(place)) for id_, path, device, place in rows
            ]
        except msgspec.DecodeError as error:
            raise self._database.explain_damage("the place of a folder cannot be read") from error

    def find_others(
        self,
        rest: Rest,
        takers: Mapping[str, Sequence[str]],
        left: Collection[str],
        needed: Collection[int],
    ) -> list[int]:
        """Return the segments that do not rest, because of `rest` or because a taker lacks some.

        `needed` do not, and neither does a segment with the inode of one that does not. All others
        of the sources that are `left` do.
        """
        conditions = [
            "folder IS NULL",
            "folder NOT IN (SELECT value FROM json_each(?))",
            "name IN (SELECT value FROM json_each(?))",
            "modified_ns > ?",
            "source NOT IN (SELECT value FROM json_each(?))",
        ]
        values: list[object] = [
            _list(rest.folders),
            _list(map(number_name, rest.present)),
            rest.before_ns,
            _list(takers),
        ]
        for sink in sorted({sink for names in takers.values() for sink in names}):
            conditions.append(
                "(source IN (SELECT value FROM json_each(?)) AND coalesce((SELECT offset FROM "
                "offset WHERE sink = ? AND segment = segment_key.segment), -1) < size)"
            )
            values += [_list(source for source, names in takers.items() if sink in names), sink]
        query = (
            "SELECT segment FROM segment_key "  # noqa: S608 - our own conditions
            f"WHERE source NOT IN (SELECT value FROM json_each(?)) AND ({' OR '.join(conditions)})"
        )
        found = self._find(query, _list(left), *values)
        return sorted({*found, *needed, *self._find_with_inodes_of([*found, *needed])})

    def find_files(self, paths: Collection[str], inodes: Collection[int]) -> list[int]:
        """Return the segments that have one of these inodes and, but for chance, these paths."""
        query = (
            "SELECT segment FROM segment_key WHERE name IN (SELECT value FROM json_each(?)) "
            "OR inode IN (SELECT value FROM json_each(?))"
        )
        return self._find(query, _list(map(number_name, paths)), _list(map(as_signed, inodes)))

    def list_sources(self) -> list[str]:
        """Return the names that sources of segments have."""
        query = "SELECT DISTINCT source FROM segment_key"
        return [name for (name,) in self._database.read(tuple[str], query)]

    def find_of_sources(self, names: Collection[str]) -> list[int]:
        """Return the segments of these sources."""
        query = "SELECT segment FROM segment_key WHERE source IN (SELECT value FROM json_each(?))"
        return self._find(query, _list(names))

    def require_keys(self) -> None:
        """Raise StateError if a segment has no key: it would be delivered again."""
        query = "SELECT (SELECT count(*) FROM segment), (SELECT count(*) FROM segment_key)"
        [(segments, keys)] = self._database.read(tuple[int, int], query)
        if segments != keys:
            raise self._database.explain_damage("a segment has no key")

    def is_empty(self) -> bool:
        """Return whether there is no segment that may rest."""
        query = "SELECT 1 FROM segment_by_inode LIMIT 1"
        return not self._database.read(tuple[int], query)

    def find_with_inode(self, inode: int) -> list[int]:
        """Return the segments that may rest and whose file had this inode."""
        query = "SELECT segment FROM segment_by_inode WHERE inode = ?"
        return self._find(query, as_signed(inode))

    def find_with_prefix(self, prefixes: Iterable[tuple[int, bytes]]) -> list[int]:
        """Return the segments that may rest and begin with so many bytes of such a digest."""
        query = (
            "SELECT segment FROM segment_by_prefix WHERE prefix IN (SELECT value FROM json_each(?))"
        )
        return self._find(query, _list(number_prefix(*prefix) for prefix in prefixes))

    def list_prefix_lengths(self) -> list[int]:
        """Return of how many first bytes there are digests."""
        # UNION ends at a length that was there: a damaged prefix, as text, is above every number
        query = (
            "WITH RECURSIVE length (bytes) AS ("
            "SELECT min(prefix) >> ?1 FROM segment_by_prefix UNION "
            "SELECT (SELECT min(prefix) >> ?1 FROM segment_by_prefix "
            "WHERE prefix >= bytes + 1 << ?1) FROM length WHERE bytes IS NOT NULL"
            ") SELECT bytes FROM length WHERE bytes IS NOT NULL"
        )
        return self._find(query, PREFIX_DIGEST_BITS)

    def list_missed(
        self, sources: Collection[str], after: int, limit: int
    ) -> list[tuple[int, float | None]]:
        """Return the next segments that may rest, and since when each is missed."""
        query = (
            "SELECT segment, missed_at FROM segment_key WHERE segment > ? AND folder IS NOT NULL "
            "AND source IN (SELECT value FROM json_each(?)) ORDER BY segment LIMIT ?"
        )
        return self._database.read(tuple[int, float | None], query, after, _list(sources), limit)

    def note_missed(self, segments: Collection[int], at: float | None) -> None:
        """Record since when segments are missed; None if they are found."""
        query = (
            "SELECT segment FROM segment_key WHERE segment IN (SELECT value FROM json_each(?)) "
            "AND missed_at IS NOT ?"
        )
        changed = self._find(query, _list(segments), at)
        if changed:
            with self._database.transaction() as db:
                db.executemany(
                    "UPDATE segment_key SET missed_at = ? WHERE segment = ?",
                    [(at, segment) for segment in changed],
                )

    def remove_unused_folders(self) -> None:
        """Remove the folders that no segment is in any more."""
        with self._database.transaction() as db:
            db.execute(
                "DELETE FROM folder WHERE id NOT IN (SELECT coalesce(folder, 0) FROM segment_key)"
            )

    def _find_with_inodes_of(self, segments: Collection[int]) -> list[int]:
        query = (
            "SELECT other.segment FROM segment_key one JOIN segment_by_inode other USING (inode) "
            "WHERE one.segment IN (SELECT value FROM json_each(?))"
        )
        return self._find(query, _list(segments))

    def _find(self, query: str, *values: object) -> list[int]:
        return [segment for (segment,) in self._database.read(tuple[int], query, *values)]


def _list(values: Iterable[int | str]) -> str:
    """Return values as the JSON array that `json_each` takes."""
    return msgspec.json.encode(list(values)).decode()


def _decode_place(body: bytes) -> MountIdentity | None:
    return msgspec.msgpack.decode(body, type=MountIdentity) if body else None
