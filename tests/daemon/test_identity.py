"""An event is known by where its line stands and by what it is: nothing that an agent writes makes
one of two, or two of one.
"""

from __future__ import annotations

import msgspec

from tests.daemon.sidecar import Sidecar, append, numbered
from tracesidecar import __version__

Row = dict[str, object]


def rows(sidecar: Sidecar) -> list[Row]:
    """Return every row of the lake."""
    return [msgspec.json.decode(line, type=Row) for line in sidecar.lines()]


def test_a_row_says_by_which_program_and_rules_it_was_made(sidecar: Sidecar) -> None:
    sinks = "".join(
        f'[[sink]]\nname = "{name}"\ntype = "directory"\npath = "{sidecar.folder / name}"\n'
        f'format = "event"\n{more}'
        for name, more in (("lake", ""), ("narrow", 'content = "metadata"\n'))
    )
    append(sidecar.traces / "a.jsonl", numbered(0, 2))
    sidecar.configure(sinks)
    assert sidecar.ship().returncode == 0
    made = {row["processed_by"] for row in rows(sidecar)}
    sidecar.lake = sidecar.folder / "narrow"
    assert {row["processed_by"] for row in rows(sidecar)} == made
    [processed_by] = made
    assert str(processed_by).startswith(f"{__version__}+")
    append(sidecar.traces / "a.jsonl", numbered(2, 1))
    sidecar.lake = sidecar.folder / "lake"
    sidecar.configure(sinks, more='[redaction]\ndisable = ["twilio-key"]\n')
    assert sidecar.ship().returncode == 0
    assert len({row["processed_by"] for row in rows(sidecar)}) == 2
