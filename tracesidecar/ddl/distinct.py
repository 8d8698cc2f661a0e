"""The events of a lake, each once, by the rules of `compact`, in the SQL that all engines share.

A lake may have an event several times, and two lines with one event id. Rows by the rules of the
newest one count, and those that `lake/repeats.py` calls left behind. Of several lines the one that
came first keeps the id; the others get the id under which `compact` and databases keep them, too.
"""

from __future__ import annotations

from collections.abc import Callable

from tracesidecar.ddl.statement import ROW, wrap_list

DeriveId = Callable[[str], str]
"""Returns an engine's expression for the derived id of the row of a table alias.

It is the first 32 hexadecimal digits of the SHA-256 of event_id, a NUL byte and line_sha256.
"""

KEPT_ID = "kept_id"
"""The column with the id of an event, derived if another line keeps the event's own.

Windows are by dialect, too, so that a query of one dialect reads no other.
"""

_LATEST = "{0}.ingest_time DESC, {0}.source_file, {0}.source_offset"


def select_identified(source: str, derive_id: DeriveId, condition: str) -> str:
    """Return a query for the rows of `source` that count, with `kept_id` as an added column.

    An event may have several rows. `condition` is about the table `e`.
    """
    latest = _LATEST.format("e")
    by_rules = "PARTITION BY e.dialect, e.event_id, e.processed_by"
    return f"""SELECT r.*,
  CASE
    WHEN r.processed_by IS NULL OR r.line_sha256 IS NULL OR r.line_sha256 = r.first_line
    THEN r.event_id ELSE {derive_id("r")}
  END AS {KEPT_ID}
FROM (
  SELECT n.*,
    FIRST_VALUE(n.line_sha256) OVER (
      PARTITION BY n.dialect, n.event_id
      ORDER BY CASE WHEN COALESCE(n.processed_by, '') = n.newest_rules THEN 0 ELSE 1 END,
        n.ingest_time, n.source_file, n.source_offset
    ) AS first_line
  FROM (
    SELECT e.*,
      FIRST_VALUE(COALESCE(e.processed_by, '')) OVER (
        PARTITION BY e.dialect, e.event_id ORDER BY {latest}
      ) AS newest_rules,
      FIRST_VALUE(e.processed_by) OVER (
        PARTITION BY e.dialect, e.event_id, e.source_file, e.source_offset
        ORDER BY e.ingest_time DESC
      ) AS newest_rules_there,
      MIN(e.line_sha256) OVER ({by_rules}) <> MAX(e.line_sha256) OVER ({by_rules}) AS has_conflict
    FROM {source} AS e
    WHERE {condition}
  ) AS n
  WHERE COALESCE(n.processed_by, '') = n.newest_rules
    OR (n.has_conflict AND n.processed_by = n.newest_rules_there)
) AS r"""


def select_distinct(source: str, derive_id: DeriveId, condition: str) -> str:
    """Return a query for each event of `source` once, with `kept_id` as an added column."""
    latest = _LATEST.format("i")
    return f"""SELECT *
FROM (
  SELECT i.*, ROW_NUMBER() OVER (
      PARTITION BY i.dialect, i.{KEPT_ID} ORDER BY {latest}
    ) AS place
  FROM (
{indent(select_identified(source, derive_id, condition), 4)}
  ) AS i
) AS numbered
WHERE place = 1"""


def merge(
    target: str, source: str, derive_id: DeriveId, condition: str, *, same_partition: str
) -> str:
    """Return the statement that inserts the events that a table does not have yet.

    A row that is there stays as it is, and keeps its id. `same_partition` compares the partitions
    of the table `t` and the new rows `s`.
    """
    values = wrap_list(f"s.{'stored_id' if c.name == 'event_id' else c.name}" for c in ROW)
    return f"""MERGE INTO {target} AS t
USING (
  SELECT d.*, CASE WHEN o.event_id IS NULL THEN d.{KEPT_ID} ELSE {derive_id("d")} END AS stored_id
  FROM (
{indent(select_distinct(source, derive_id, condition), 4)}
  ) AS d
  LEFT JOIN (
    SELECT e.event_id, e.line_sha256, e.processed_by FROM {target} AS e WHERE {condition}
  ) AS o ON o.event_id = d.event_id
  WHERE o.event_id IS NULL
    OR (o.line_sha256 <> d.line_sha256 AND o.processed_by = d.processed_by)
) AS s
ON t.event_id = s.stored_id AND {same_partition}
WHEN NOT MATCHED THEN INSERT (
{wrap_list(c.name for c in ROW)}
) VALUES (
{values}
)"""


def indent(text: str, spaces: int) -> str:
    """Return a query with its lines moved to the right."""
    return "\n".join(f"{' ' * spaces}{line}" for line in text.split("\n"))
