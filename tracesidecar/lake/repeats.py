"""Which rows with the same event id are repeats, and which are of two lines that both stay.

The rows by the rules and the program of the newest one stay. A row by others is the same line,
redacted or interpreted otherwise; unless these made two lines with the id, and newer ones made
nothing of its place in its file: then nobody has it again.

Of one line the newest row stays. If there are several, the line by the newest rules that came first
(by `ingest_time`, then file and offset) keeps the id, with its oldest row, and the others get
derived ids, as in a database. So it does not matter in which objects the rows are.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, NamedTuple

from tracesidecar.dialects import derive_id

if TYPE_CHECKING:
    import pyarrow as pa

_SLICE_ROWS = 1 << 16
_FIRST_TO_LAST = ("event_id", "ingest_time", "file", "offset")


class _Row(NamedTuple):
    """A row that shares its event id. `program` is 0 if the row does not say what made it."""

    row: int
    event_id: str
    ingest_time: int
    line: str
    program: int
    file: int
    offset: int

    @property
    def place(self) -> tuple[int, int]:
        """Where the line stood."""
        return self.file, self.offset


def resolve_repeats(
    keys: pa.Table, unknown_program: int, announce_conflicts: Callable[[int], object]
) -> tuple[pa.Array, dict[int, str]]:
    """Return the rows that stay, in their order, and the new event ids of some of them.

    `keys` has the columns event_id, ingest_time, line, program, file and offset, without NULL but
    in `ingest_time`. Rows of `unknown_program` are all of one line. `announce_conflicts` is called
    with the number of rows that share an id with another line, and may raise.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pc.count_distinct(keys.column("event_id")).as_py() == keys.num_rows:
        return pa.array(range(keys.num_rows), pa.int64()), {}
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in _FIRST_TO_LAST])
    ids = keys.column("event_id").take(order).combine_chunks()
    is_same = pc.equal(ids.slice(1), ids.slice(0, len(ids) - 1))
    edge = pa.array([False])
    is_shared = pc.or_(pa.concat_arrays([edge, is_same]), pa.concat_arrays([is_same, edge]))
    stays = array("q")
    conflicts: list[list[_Row]] = []
    count = 0
    for _, group in groupby(_rows(keys, order.filter(is_shared)), key=itemgetter(1)):
        rows = _one_of_each_line(list(group), unknown_program)
        if len(rows) == 1:
            stays.append(rows[0].row)
            continue
        conflicts.append(rows)
        count += len(rows)
        announce_conflicts(count)
    kept, derived = _resolve_conflicts(keys, conflicts)
    stays.extend(kept)
    found = pa.concat_arrays(
        [order.filter(pc.invert(is_shared)).cast(pa.int64()), pa.array(stays, pa.int64())]
    )
    return found.take(pc.sort_indices(found)), derived


def _rows(keys: pa.Table, order: pa.Array) -> Iterator[_Row]:
    """Yield rows in this order."""
    import pyarrow as pa

    columns = keys.select(["event_id", "ingest_time", "line", "program", "file", "offset"])
    times = columns.column("ingest_time").cast(pa.int64()).fill_null(0)
    columns = columns.set_column(1, "ingest_time", times)
    for start in range(0, len(order), _SLICE_ROWS):
        some = order.slice(start, _SLICE_ROWS)
        values = (column.to_pylist() for column in columns.take(some).columns)
        yield from map(_Row._make, zip(some.to_pylist(), *values, strict=True))


def _one_of_each_line(rows: list[_Row], unknown_program: int) -> list[_Row]:
    """Return one row of each line that stays; the first of them keeps the id.

    `rows` have one event id and are in the order in which they came.
    """
    newest = max(rows, key=attrgetter("ingest_time"))
    lines: dict[int, set[str]] = {}
    last_program_at: dict[tuple[int, int], int] = {}
    for row in rows:
        last_program_at[row.place] = row.program
        lines.setdefault(row.program, set()).add(row.line)
    says_line = bool(newest.line) and newest.program != unknown_program
    first: dict[str, _Row] = {} if says_line else {"": newest}
    for row in sorted(rows, key=lambda row: row.program != newest.program):
        is_by_newest = says_line and row.program == newest.program
        is_left_behind = (
            len(lines[row.program] - {""}) > 1 and last_program_at[row.place] == row.program
        )
        if row.line and row.program != unknown_program and (is_by_newest or is_left_behind):
            first.setdefault(row.line, row)
    return list(first.values()) if len(first) > 1 else [newest]


def _resolve_conflicts(
    keys: pa.Table, conflicts: list[list[_Row]]
) -> tuple[list[int], dict[int, str]]:
    """Return the rows that stay, and the new ids of some of them.

    A line that is there under its derived id already, because it was compacted before, is a repeat.
    """
    kept: list[int] = []
    derived: dict[int, str] = {}
    wanted = {
        row.row: (derive_id(row.event_id, row.line), row.line) for rows in conflicts for row in rows
    }
    lines = _lines_of(keys, {id_ for id_, _ in wanted.values()})
    for rows in conflicts:
        new = [row.row for row in rows if row.line not in lines.get(wanted[row.row][0], ())]
        kept += new[:1]
        for repeat in {row.row for row in rows} - set(new[1:]):
            del wanted[repeat]
    while wanted:
        further: dict[int, tuple[str, str]] = {}
        for row, (id_, line) in wanted.items():
            if id_ not in lines:
                kept.append(row)
                derived[row] = id_
            elif line not in lines[id_]:  # a third line has the derived id
                further[row] = derive_id(id_, line), line
        wanted = further
        lines = _lines_of(keys, {id_ for id_, _ in wanted.values()})
    return kept, derived


def _lines_of(keys: pa.Table, ids: set[str]) -> dict[str, set[str]]:
    """Return the lines of those of these ids that rows have."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found: dict[str, set[str]] = {}
    if ids:
        rows = keys.select(["event_id", "line"]).filter(
            pc.is_in(keys.column("event_id"), pa.array(ids, keys.column("event_id").type))
        )
        for id_, line in zip(*(column.to_pylist() for column in rows.columns), strict=True):
            found.setdefault(id_, set()).add(line)
    return found
