"""Nothing is delivered again without a word: names, journals and machines change.

Whatever identifies offsets may be renamed, removed or copied: then a run goes on, or says why not.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.daemon.conftest import sidecar
from tests.daemon.sidecar import LAKE, PROGRAM, Sidecar, append, body, number_lines
from tests.faults.test_mounts import states
from tests.servers.processes import wait_until

__all__ = ["sidecar"]


def ship_lines(sidecar: Sidecar) -> list[bytes]:
    """Deliver some lines, and return them."""
    lines = number_lines(0, 20)
    append(sidecar.traces / "a.jsonl", lines)
    assert sidecar.ship().returncode == 0
    return lines


def change(sidecar: Sidecar, before: str, after: str) -> None:
    text = sidecar.config.read_text()
    assert before in text
    sidecar.config.write_text(text.replace(before, after))


def notices(sidecar: Sidecar) -> list[str]:
    return [each["event"] for each in json.loads(sidecar.ask("status", "--json").stdout)["notices"]]


def verify(sidecar: Sidecar) -> bool:
    proof = json.loads(sidecar.ask("verify", "lake", "--json").stdout)
    return bool(proof["problems"] == [])


def test_a_renamed_source_goes_on_and_says_so(sidecar: Sidecar) -> None:
    lines = ship_lines(sidecar)
    change(sidecar, 'name = "agent"', 'name = "builder"')
    more = number_lines(100, 5)
    append(sidecar.traces / "a.jsonl", more)
    done = sidecar.ship()
    assert done.returncode == 0
    assert b"source.adopted" in done.stderr
    assert b'id = \\"agent\\"' in done.stderr, "the choice is named"
    assert sidecar.lines() == lines + more
    assert notices(sidecar) == ["source.adopted"]
    assert verify(sidecar)
    assert b"source.adopted" not in sidecar.ship().stderr, "once"


def test_the_id_of_a_source_survives_its_names(sidecar: Sidecar) -> None:
    lines = ship_lines(sidecar)
    (sidecar.traces / "bad.jsonl").write_bytes(b"no json\n")
    for number, name in enumerate(("builder", "third", "fourth")):
        change(sidecar, sidecar.config.read_text().split("[[source]]\n")[1].split("\n")[0], "#")
        change(sidecar, "[[source]]\n#", f'[[source]]\nname = "{name}"')
        if number == 0:
            change(sidecar, "[[source]]\n", '[[source]]\nid = "agent"\n')
            change(sidecar, f'id = "agent"\nname = "{name}"', f'name = "{name}"\nid = "agent"')
        more = number_lines(100 * (number + 1), 5)
        append(sidecar.traces / "a.jsonl", more)
        lines += more
        done = sidecar.ship()
        assert done.returncode == 0
        assert b"source.renamed" in done.stderr
        assert sidecar.lines() == lines
        assert {row["source"] for row in sidecar.list_quarantined()} == {name}
    assert verify(sidecar)


def test_a_source_that_loses_its_id_and_a_name_that_moves_are_announced_as_they_are(
    sidecar: Sidecar,
) -> None:
    change(sidecar, 'name = "agent"', 'name = "agent"\nid = "x"')
    lines = ship_lines(sidecar)
    change(sidecar, '\nid = "x"', "")
    done = sidecar.ship()
    assert b'that it had with id \\"x\\"' in done.stderr
    assert b"no longer configured" not in done.stderr
    other = sidecar.folder / "other"
    other.mkdir()
    append(other / "b.jsonl", number_lines(100, 5))
    sidecar.configure(
        LAKE.format(lake=sidecar.lake),
        more=f'[[source]]\nname = "other"\ninclude = ["{other}/*.jsonl"]\n',
    )
    assert sidecar.ship().returncode == 0
    change(sidecar, 'name = "other"', 'name = "NAME"\nid = "agent"')
    change(sidecar, 'name = "agent"', 'name = "agent"\nid = "new"')
    change(sidecar, "NAME", "other")
    done = sidecar.ship()
    assert done.returncode == 0
    assert b"source.begins_again" not in done.stderr, "nothing comes again"
    assert Counter(sidecar.lines()) == Counter([*lines, *number_lines(100, 5)])


def test_a_source_with_an_id_of_its_own_delivers_again_and_says_so(sidecar: Sidecar) -> None:
    lines = ship_lines(sidecar)
    change(sidecar, 'name = "agent"', 'name = "builder"\nid = "builder"')
    done = sidecar.ship()
    assert done.returncode == 0
    assert b"source.begins_again" in done.stderr
    assert Counter(sidecar.lines()) == Counter(lines * 2)


def test_a_source_with_an_id_of_its_own_does_not_begin_again_with_what_is_only_held(
    sidecar: Sidecar,
) -> None:
    """A running daemon leaves links: of a file that is there, and of one that was deleted."""
    arrived, held = number_lines(0, 20), number_lines(100, 20)
    append(sidecar.traces / "a.jsonl", arrived)
    append(sidecar.traces / "gone.jsonl", held)
    sidecar.start()
    sidecar.arrives(40)
    assert sidecar.stop() == 0
    append(sidecar.traces / "gone.jsonl", number_lines(200, 5))
    (sidecar.traces / "gone.jsonl").unlink()
    change(sidecar, 'name = "agent"', 'name = "builder"\nid = "builder"')
    done = sidecar.ship()
    assert done.returncode == 0
    assert b"delivers 1 files of source" in done.stderr
    assert Counter(sidecar.lines()) == Counter(arrived * 2 + held + number_lines(200, 5))


def test_a_source_that_gets_an_id_continues_and_says_so(sidecar: Sidecar) -> None:
    lines = ship_lines(sidecar)
    change(sidecar, 'name = "agent"', 'name = "agent"\nid = "builder"')
    append(sidecar.traces / "a.jsonl", number_lines(900, 2))
    done = sidecar.ship()
    assert b"has another id than before, and continues its" in done.stderr
    assert b"again" not in done.stderr.partition(b"To deliver them again")[0]
    assert Counter(sidecar.lines()) == Counter([*lines, *number_lines(900, 2)])


def move_folder(traces: Path) -> Path:
    return traces.rename(traces.with_name("moved"))


def copy_folder(traces: Path) -> Path:
    """As to another disk: the inodes are others."""
    moved = traces.with_name("moved")
    shutil.copytree(traces, moved)
    shutil.rmtree(traces)
    return moved


@pytest.mark.parametrize("is_running", [False, True], ids=["once", "daemon"])
@pytest.mark.parametrize("move", [move_folder, copy_folder])
def test_a_source_that_was_renamed_and_moved_goes_on_and_says_so(
    sidecar: Sidecar, move: Callable[[Path], Path], is_running: bool
) -> None:
    lines = number_lines(0, 20)
    append(sidecar.traces / "a.jsonl", lines)
    (sidecar.traces / "deep").mkdir()
    append(sidecar.traces / "deep" / "b.jsonl", number_lines(100, 20))
    append(sidecar.traces / "deep" / "held.jsonl", number_lines(200, 20))
    lines += number_lines(100, 20) + number_lines(200, 20)
    if is_running:
        sidecar.start()
        sidecar.arrives(60)
        assert sidecar.stop() == 0
        append(sidecar.traces / "deep" / "held.jsonl", number_lines(300, 5))
        lines += number_lines(300, 5)
    else:
        assert sidecar.ship().returncode == 0
    (sidecar.traces / "deep" / "held.jsonl").unlink()
    moved = move(sidecar.traces)
    change(sidecar, 'name = "agent"', 'name = "builder"')
    change(sidecar, str(sidecar.traces), str(moved))
    append(moved / "a.jsonl", number_lines(400, 5))
    append(moved / "deep" / "new.jsonl", number_lines(500, 5))
    done = sidecar.ship()
    assert done.returncode == 0
    assert b"source.adopted" in done.stderr
    assert b'id = \\"agent\\"' in done.stderr, "the choice is named"
    assert Counter(sidecar.lines()) == Counter(lines + number_lines(400, 5) + number_lines(500, 5))
    assert notices(sidecar) == ["source.adopted"]
    assert verify(sidecar)
    assert b"source.adopted" not in sidecar.ship().stderr, "once"


def test_a_source_whose_files_a_new_one_does_not_have_is_left_and_says_so(sidecar: Sidecar) -> None:
    """Files that begin alike, and a file under a used inode number, are not those that are gone."""
    lines = ship_lines(sidecar)
    moved = move_folder(sidecar.traces)
    (moved / "a.jsonl").write_bytes(body(lines[:5] + number_lines(100, 20)))
    change(sidecar, 'name = "agent"', 'name = "builder"')
    change(sidecar, str(sidecar.traces), str(moved))
    done = sidecar.ship()
    assert done.returncode == 0
    assert b"source.left" in done.stderr
    assert b'id = \\"agent\\"' in done.stderr, "the choice is named"
    assert notices(sidecar) == ["source.left"]
    assert Counter(sidecar.lines()) == Counter(lines + lines[:5] + number_lines(100, 20))
    assert b"source.left" not in sidecar.ship().stderr, "once"


def test_the_folder_of_a_source_that_is_gone_goes_on_below_a_source_that_was_there(
    sidecar: Sidecar,
) -> None:
    other = f'[[source]]\nname = "other"\ninclude = ["{sidecar.folder}/more/**/*.jsonl"]\n'
    sidecar.configure(LAKE.format(lake=sidecar.lake), more=other)
    (sidecar.folder / "more").mkdir()
    append(sidecar.folder / "more" / "b.jsonl", number_lines(50, 5))
    lines = ship_lines(sidecar) + number_lines(50, 5)
    sidecar.traces.rename(sidecar.folder / "more" / "traces")
    sidecar.config.write_text(
        sidecar.config.read_text().replace(
            f'[[source]]\nname = "agent"\ninclude = ["{sidecar.traces}/**/*.jsonl"]\n'
            'copy_grace = "500ms"\n',
            "",
        )
    )
    append(sidecar.folder / "more" / "traces" / "a.jsonl", number_lines(100, 5))
    done = sidecar.ship()
    assert done.returncode == 0, done.stderr
    assert b"source.adopted" in done.stderr
    assert Counter(sidecar.lines()) == Counter(lines + number_lines(100, 5))


def list_sources_of_files(sidecar: Sidecar) -> set[tuple[str, str]]:
    """Source and name of each file in the manifests."""
    manifests = (sidecar.lake / "_manifest").rglob("*.json")
    return {
        (each["source"], Path(each["path"]).name)
        for manifest in manifests
        for each in json.loads(manifest.read_bytes())["ranges"]
    }


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            [("one", None), ("two", None)],
            [("two", None), ("one", None)],
            ['source "two" continues 1 files of source "one", whose patterns no longer match'],
        ),
        (
            [("one", "x"), ("two", "y")],
            [("one", "y"), ("two", "x")],
            ['source "one" is now "two"', 'source "two" is now "one"'],
        ),
        (
            [("one", None), ("two", None)],
            [("two", "new"), ("one", "two")],
            [
                'source "two" is now "one"',
                'source "two" continues 1 files that source "one" had with id "one"',
            ],
        ),
    ],
    ids=["names", "ids", "an id"],
)
def test_two_sources_that_swap_names_or_ids_go_on_and_say_which_continues_which(
    sidecar: Sidecar,
    before: list[tuple[str, str | None]],
    after: list[tuple[str, str | None]],
    expected: list[str],
) -> None:
    folders = [sidecar.traces, sidecar.folder / "other"]
    folders[1].mkdir()
    base = sidecar.config.read_text()
    head, sinks = base.partition("[[source]]")[0], base[base.index("[[sink]]") :]

    def ship(sources: list[tuple[str, str | None]], first: int) -> str:
        text = head
        for number, (folder, (name, id_)) in enumerate(zip(folders, sources, strict=True)):
            append(folder / f"{number}.jsonl", number_lines(100 * number + first, 5))
            text += f'[[source]]\nname = "{name}"\ninclude = ["{folder}/*.jsonl"]\n'
            text += f'id = "{id_}"\n' if id_ else ""
        sidecar.config.write_text(text + sinks)
        done = sidecar.ship()
        assert done.returncode == 0
        return done.stderr.decode().replace('\\"', '"')

    ship(before, 0)
    shutil.rmtree(sidecar.lake / "_manifest")
    said = ship(after, 5)
    for sentence in expected:
        assert sentence in said
    assert "begins_again" not in said
    names = [name for name, _ in after]
    assert list_sources_of_files(sidecar) == {(names[0], "0.jsonl"), (names[1], "1.jsonl")}
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 10) + number_lines(100, 10))
    assert "source.adopted" not in ship(after, 10), "once"


def test_files_that_no_source_follows_are_not_those_of_the_next_with_their_name(
    sidecar: Sidecar,
) -> None:
    """The source of an id is gone, and another source, which has its own id, gets its name."""
    other = sidecar.folder / "other"
    other.mkdir()
    lines = ship_lines(sidecar)
    with_two = f'[[source]]\nname = "two"\ninclude = ["{other}/*.jsonl"]\n'
    text = sidecar.config.read_text()
    sidecar.config.write_text(text + with_two)
    append(other / "b.jsonl", number_lines(100, 5))
    assert sidecar.ship().returncode == 0
    head, sinks = text.partition("[[source]]")[0], text[text.index("[[sink]]") :]
    taken = with_two.replace('"two"', '"agent"\nid = "two"', 1)
    sidecar.config.write_text(head + taken + sinks)
    append(sidecar.traces / "a.jsonl", number_lines(200, 5))
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter([*lines, *number_lines(100, 5)])
    sidecar.config.write_text(
        head
        + taken
        + text[text.index("[[source]]") :].replace('"agent"', '"back"\nid = "agent"', 1)
    )
    done = sidecar.ship()
    assert done.returncode == 0
    assert b"source.renamed" in done.stderr
    expected = [*lines, *number_lines(100, 5), *number_lines(200, 5)]
    assert Counter(sidecar.lines()) == Counter(expected)


def test_two_sources_that_become_one_go_on(sidecar: Sidecar) -> None:
    other = f'[[source]]\nname = "other"\ninclude = ["{sidecar.traces}/*.log"]\n'
    sidecar.configure(LAKE.format(lake=sidecar.lake), more=other)
    lines = ship_lines(sidecar)
    append(sidecar.traces / "b.log", number_lines(50, 5))
    assert sidecar.ship().returncode == 0
    sidecar.configure(LAKE.format(lake=sidecar.lake))
    change(sidecar, '/**/*.jsonl"]', f'/**/*.jsonl", "{sidecar.traces}/*.log"]')
    append(sidecar.traces / "b.log", number_lines(60, 5))
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(lines + number_lines(50, 5) + number_lines(60, 5))


def test_two_sources_with_one_id_are_rejected(sidecar: Sidecar) -> None:
    other = f'[[source]]\nname = "other"\nid = "agent"\ninclude = ["{sidecar.traces}/*.log"]\n'
    sidecar.configure(LAKE.format(lake=sidecar.lake), more=other)
    answer = sidecar.call("check-config")
    assert answer.returncode == 78
    assert b'source "agent" has the id "agent" too' in answer.stderr


def test_a_renamed_sink_is_rejected_until_the_person_says_where_it_starts(
    sidecar: Sidecar,
) -> None:
    lines = ship_lines(sidecar)
    change(sidecar, 'name = "lake"', 'name = "pond"')
    refused = sidecar.ship()
    assert refused.returncode == 78
    assert b'name the sink "lake" again' in refused.stderr
    assert b'start = "now"' in refused.stderr
    assert sidecar.lines() == lines
    change(sidecar, 'name = "pond"', 'name = "pond"\nstart = "now"')
    append(sidecar.traces / "a.jsonl", number_lines(90, 1))
    done = sidecar.ship()
    assert done.returncode == 0
    assert b"sink.begins_again" in done.stderr
    assert sidecar.lines() == lines
    change(sidecar, 'name = "pond"\nstart = "now"', 'name = "lake"')
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == lines + number_lines(90, 1)


def remove_journal(sidecar: Sidecar) -> None:
    for path in sidecar.state.glob("journal.sqlite*"):
        path.unlink()


def empty_journal(sidecar: Sidecar) -> None:
    remove_journal(sidecar)
    (sidecar.state / "journal.sqlite").touch()


@pytest.mark.parametrize(
    "harm", [remove_journal, pytest.param(empty_journal, marks=pytest.mark.long)]
)
def test_a_journal_that_vanished_is_not_taken_for_a_first_start(
    sidecar: Sidecar, harm: Callable[[Sidecar], None]
) -> None:
    lines = ship_lines(sidecar)
    harm(sidecar)
    for _ in range(2):
        refused = sidecar.ship()
        assert refused.returncode == 78
        assert b"the journal was removed or replaced" in refused.stderr
        assert b"tracesidecar recover lake" in refused.stderr
        assert sidecar.lines() == lines
    change(sidecar, 'name = "lake"', 'name = "lake"\nstart = "beginning"')
    done = sidecar.ship()
    assert done.returncode == 0
    assert b"sink.begins_again" in done.stderr
    assert Counter(sidecar.lines()) == Counter(lines * 2)


@pytest.mark.parametrize(
    "kept",
    [
        "held",
        *(pytest.param(k, marks=pytest.mark.long) for k in ("lock", "cache", "lock cache held")),
    ],
)
def test_a_journal_that_vanished_with_what_it_has_delivered_is_announced(
    sidecar: Sidecar, kept: str
) -> None:
    lines = ship_lines(sidecar)
    for path in sidecar.state.iterdir():
        if path.name not in kept.split():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert {path.name for path in sidecar.state.iterdir()} == set(kept.split())
    done = sidecar.ship()
    assert done.returncode == 0
    assert b"journal.missing" in done.stderr
    assert b"tracesidecar recover SINK" in done.stderr, "the choice is named"
    assert Counter(sidecar.lines()) == Counter(lines * 2)
    assert notices(sidecar) == ["journal.missing"]
    assert b"journal.missing" not in sidecar.ship().stderr, "once"


def test_an_empty_state_directory_is_a_first_start(sidecar: Sidecar) -> None:
    lines = ship_lines(sidecar)
    shutil.rmtree(sidecar.state)
    shutil.rmtree(sidecar.lake)
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == lines


def test_a_journal_that_is_removed_while_we_run_is_written_again(sidecar: Sidecar) -> None:
    lines = number_lines(0, 20)
    append(sidecar.traces / "a.jsonl", lines)
    daemon = sidecar.start()
    sidecar.arrives(20)
    remove_journal(sidecar)
    assert daemon.wait(120) == 75
    assert b"has been written again" in sidecar.log.read_bytes()
    more = number_lines(100, 5)
    append(sidecar.traces / "a.jsonl", more)
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == lines + more
    assert notices(sidecar) == []
    assert verify(sidecar)


def test_a_journal_that_is_replaced_while_we_run_stops_us(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 20))
    daemon = sidecar.start()
    sidecar.arrives(20)
    other = sidecar.folder / "other.sqlite"
    other.write_bytes(b"")
    other.rename(sidecar.state / "journal.sqlite")
    assert daemon.wait(120) == 78
    assert b"was replaced by another file" in sidecar.log.read_bytes()
    assert b"Traceback" not in sidecar.log.read_bytes()


def test_state_and_traces_that_were_copied_go_on_and_say_so(sidecar: Sidecar) -> None:
    lines = ship_lines(sidecar)
    for number in range(10):
        more = number_lines(1000 + number * 10, 10)
        append(sidecar.traces / f"s{number}.jsonl", more)
        lines += more
    assert sidecar.ship().returncode == 0
    for folder in (sidecar.traces, sidecar.state):
        subprocess.run(["cp", "-a", folder, f"{folder}.copy"], check=True)
        shutil.rmtree(folder)
        (folder.parent / f"{folder.name}.copy").rename(folder)
    marker = sidecar.state / "deliveries.json"
    known = json.loads(marker.read_bytes())
    marker.write_text(json.dumps(known | {"machine": "0" * 32, "host": "elsewhere"}))
    append(sidecar.traces / "s3.jsonl", number_lines(5000, 5))
    done = sidecar.ship()
    assert done.returncode == 0
    assert b"comes from another machine (elsewhere)" in done.stderr
    assert Counter(sidecar.lines()) == Counter(lines + number_lines(5000, 5))
    assert notices(sidecar) == ["state.copied"]
    assert b"another machine" not in sidecar.ship().stderr, "once"
    assert verify(sidecar)


@pytest.mark.parametrize("way", ["after a stop", "from a running daemon"])
def test_a_journal_that_is_restored_in_place_is_announced(sidecar: Sidecar, way: str) -> None:
    """`cp` writes into the file that is there: only what is in it shows that it is older."""
    lines = ship_lines(sidecar)
    journal, backup = sidecar.state / "journal.sqlite", sidecar.folder / "yesterday"
    shutil.copy(journal, backup)
    append(sidecar.traces / "new.jsonl", number_lines(1000, 10))
    if way == "from a running daemon":
        sidecar.start()
        sidecar.arrives(len(lines) + 10)
        with closing(sqlite3.connect(journal)) as db, closing(sqlite3.connect(backup)) as copy:
            db.backup(copy)
        append(sidecar.traces / "new.jsonl", number_lines(1010, 10))
        sidecar.arrives(len(lines) + 20)
        assert sidecar.stop() == 0
    else:
        assert sidecar.ship().returncode == 0
    inode = journal.stat().st_ino
    shutil.copy(backup, journal)
    assert journal.stat().st_ino == inode
    done = sidecar.ship()
    assert done.returncode == 0
    assert b"was restored from a backup" in done.stderr
    assert notices(sidecar) == ["state.copied"]
    assert b"was restored" not in sidecar.ship().stderr, "once"


def in_a_world_with_another_host_name(
    sidecar: Sidecar, *words: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a command where the machine has another name (a UTS namespace)."""
    program = [str(PROGRAM), "--config", str(sidecar.config), *words]
    script = ["sh", "-c", 'hostname renamed && exec "$@"', "sh", *program]
    return subprocess.run(
        ["unshare", "--uts", *script],
        capture_output=True,
        env=sidecar.environment(),
        cwd=sidecar.folder,
        timeout=600,
        check=False,
    )


@pytest.mark.skipif(
    subprocess.run(["unshare", "--uts", "true"], capture_output=True, check=False).returncode != 0,
    reason="needs the right to give this process another host name",
)
def test_a_machine_that_got_another_name_goes_on_and_verifies_what_both_names_delivered(
    sidecar: Sidecar,
) -> None:
    lines = ship_lines(sidecar)
    append(sidecar.traces / "a.jsonl", number_lines(100, 5))
    done = in_a_world_with_another_host_name(sidecar, "ship", "--once")
    assert done.returncode == 0
    assert Counter(sidecar.lines()) == Counter(lines + number_lines(100, 5))
    for call in (sidecar.call, partial(in_a_world_with_another_host_name, sidecar)):
        proof = json.loads(call("verify", "lake", "--json").stdout)
        assert (proof["problems"], proof["lines"]) == ([], 25)
    shutil.rmtree(sidecar.lake / "_manifest")
    answer = in_a_world_with_another_host_name(sidecar, "verify", "lake", "--json")
    assert answer.returncode == 65
    assert {each["kind"] for each in json.loads(answer.stdout)["problems"]} == {"missing", "stray"}


def test_an_empty_store_is_no_proof_for_a_sink_that_has_delivered(sidecar: Sidecar) -> None:
    assert sidecar.ask("verify", "lake").returncode == 0
    ship_lines(sidecar)
    shutil.rmtree(sidecar.lake)
    answer = sidecar.ask("verify", "lake")
    assert answer.returncode == 65
    assert b"no manifest of sink lake" in b" ".join(answer.stdout.split())


def test_a_file_that_lost_its_end_delivers_only_what_is_new_and_says_so(sidecar: Sidecar) -> None:
    path = sidecar.traces / "a.jsonl"
    lines = number_lines(0, 500)
    append(path, lines)
    assert sidecar.ship().returncode == 0
    os.truncate(path, len(body(lines[:400])) + 7)  # a power cut of the agent's disk, in mid-line
    os.truncate(path, len(body(lines[:400])))
    append(path, number_lines(1000, 10))
    done = sidecar.ship()
    assert done.returncode == 0
    assert Counter(sidecar.lines()) == Counter(lines + number_lines(1000, 10))
    [event] = [
        json.loads(line) for line in done.stderr.splitlines() if b"collect.rewritten" in line
    ]
    assert event["unchanged_bytes"] == len(body(lines[:400]))
    assert event["read_bytes"] == len(body(lines))
    [source] = json.loads(sidecar.ask("status", "--json").stdout)["sources"]
    assert (source["rewritten"], source["lost_bytes"]) == (1, 0)
    assert verify(sidecar)


def replace(path: Path, lines: list[bytes]) -> None:
    """Write a file anew under another name, and rename it over the old one."""
    new = path.with_suffix(".new")
    new.write_bytes(body(lines))
    new.rename(path)


def list_replacements(log: bytes) -> list[tuple[str, str, int]]:
    """Name, reason and bytes of each file of which the log says that it was rewritten."""
    events = [json.loads(line) for line in log.splitlines() if b"collect.rewritten" in line]
    return sorted((Path(e["path"]).name, e["reason"], e["read_bytes"]) for e in events)


VERSIONS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "changed": lambda lines: [*lines[:5], b'{"line": "new"}', *lines[6:]],
    "dropped": lambda lines: lines[3:],
    "grown": lambda lines: [*lines, *number_lines(900, 2)],
    "other": lambda lines: [lines[0], *number_lines(910, 3)],  # all begin with the same line
    "shorter": lambda lines: lines[:5],
}
AGAIN = ["changed", "dropped", "shorter"]


@pytest.mark.parametrize("is_running", [True, False])
def test_a_file_that_is_replaced_by_another_version_of_it_is_announced(
    sidecar: Sidecar, is_running: bool
) -> None:
    paths = {name: sidecar.traces / f"{name}.jsonl" for name in VERSIONS}
    before = {name: number_lines(100 * i, 10) for i, name in enumerate(VERSIONS)}
    for name, path in paths.items():
        append(path, before[name])
    sidecar.start()
    sidecar.arrives(50)
    if not is_running:
        assert sidecar.stop() == 0
    for name, path in paths.items():
        replace(path, VERSIONS[name](before[name]))
    if not is_running:
        sidecar.start()
    sidecar.arrives(50 + 10 + 7 + 2 + 4 + 5)
    assert sidecar.stop() == 0
    assert list_replacements(sidecar.log.read_bytes()) == [
        (f"{name}.jsonl", "replaced", len(body(before[name]))) for name in AGAIN
    ]
    [source] = json.loads(sidecar.ask("status", "--json").stdout)["sources"]
    assert source["rewritten"] == len(AGAIN)
    ranges = json.loads(sidecar.ask("explain", str(paths["shorter"]), "--json").stdout)["ranges"]
    assert max(each["generation"] for each in ranges) == 1
    assert verify(sidecar)


def test_an_older_version_of_a_file_whose_link_is_gone_is_announced(sidecar: Sidecar) -> None:
    paths = [sidecar.traces / f"{name}.jsonl" for name in ("older", "other")]
    lines = number_lines(0, 10)
    for path in paths:
        append(path, lines)
    assert sidecar.ship().returncode == 0  # and lets go of the links
    replace(paths[0], lines[:3] + number_lines(700, 9))
    replace(paths[1], lines[:1] + number_lines(800, 9))
    done = sidecar.ship()
    assert done.returncode == 0
    assert list_replacements(done.stderr) == [("older.jsonl", "replaced", len(body(lines)))]


def test_a_version_of_a_file_that_was_deleted_and_forgotten_is_announced(sidecar: Sidecar) -> None:
    """An editor, or a program that synchronizes, deletes a file first and writes it later."""
    lines = {name: number_lines(100 * k, 60) for k, name in enumerate("abcdefg")}
    versions = {
        "a": lines["a"],
        "b": [*lines["b"][:30], *number_lines(1000, 1), *lines["b"][31:]],
        "c": lines["c"][:-3],
        "d": [*lines["d"], *number_lines(2000, 5)],
        "e": [*number_lines(3000, 1), *lines["e"][1:]],
        "f": [*lines["f"][:1], *number_lines(4000, 20)],
        "g": number_lines(5000, 60),
    }
    others = {"f": "the next file of an agent whose files all begin alike", "g": "another file"}
    append(sidecar.traces / "kept.jsonl", number_lines(900, 1))
    for name, written in lines.items():
        append(sidecar.traces / f"{name}.jsonl", written)
    sidecar.start()
    sidecar.arrives(421)
    for name in lines:
        (sidecar.traces / f"{name}.jsonl").unlink()
    wait_until(lambda: sum(states(sidecar).values()) == 1, 60)
    for name, written in versions.items():
        aside = sidecar.folder / name
        append(aside, written)
        aside.rename(sidecar.traces / f"{name}.jsonl")
    sidecar.arrives(421 + sum(map(len, versions.values())))
    found = [each for each in sidecar.events() if each.get("event") == "collect.rewritten"]
    announced = {Path(str(each["path"])).stem for each in found}
    assert announced == versions.keys() - others.keys()
    assert {each["reason"] for each in found} == {"replaced"}
    assert sidecar.stop() == 0
    [row] = json.loads(sidecar.ask("status", "--json").stdout)["sources"]
    assert row["rewritten"] == 5


@pytest.mark.long
@pytest.mark.parametrize("is_forgotten", [True, False])
def test_a_version_of_an_archive_is_announced(sidecar: Sidecar, *, is_forgotten: bool) -> None:
    change(sidecar, "/**/*.jsonl", "/**/*.jsonl*")
    path, aside = sidecar.traces / "a.jsonl.gz", sidecar.folder / "aside"
    append(sidecar.traces / "kept.jsonl", number_lines(900, 1))
    path.write_bytes(gzip.compress(body(number_lines(0, 300))))
    sidecar.start()
    sidecar.arrives(301)
    if is_forgotten:
        path.unlink()
        wait_until(lambda: sum(states(sidecar).values()) == 1, 60)
    aside.write_bytes(gzip.compress(body(number_lines(0, 290))))
    aside.replace(path)
    sidecar.wait_for_event("collect.rewritten")
    sidecar.arrives(591)
    assert sidecar.stop() == 0


def test_a_file_that_is_rewritten_while_we_run_is_counted_and_sent_from_its_first_change(
    sidecar: Sidecar,
) -> None:
    path = sidecar.traces / "a.jsonl"
    lines = number_lines(0, 500)
    append(path, lines)
    sidecar.start()
    sidecar.arrives(500)
    wait_until(lambda: json.loads(sidecar.get("/status")[1])["sinks"][0]["lag_bytes"] == 0)
    changed = [*lines[:250], lines[250].replace(b"line", b"LINE"), *lines[251:]]
    with path.open("r+b") as file:
        file.write(body(changed))
    sidecar.arrives(750)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(lines + changed[250:])
    assert b"collect.rewritten" in sidecar.log.read_bytes()
    assert verify(sidecar)


def test_a_second_daemon_does_not_start_although_the_lock_was_removed(sidecar: Sidecar) -> None:
    """Seen: both delivered every later line. The socket of `status` was not made again, either."""
    lines = number_lines(0, 20)
    append(sidecar.traces / "a.jsonl", lines)
    daemon = sidecar.start()
    sidecar.arrives(20)
    (sidecar.state / "lock").unlink()
    (sidecar.state / "status.sock").unlink()
    second = sidecar.ship()
    assert second.returncode == 75
    assert f"is in use by process {daemon.pid}:".encode() in second.stderr
    more = number_lines(100, 5)
    append(sidecar.traces / "a.jsonl", more)
    sidecar.arrives(25)
    wait_until(lambda: (sidecar.state / "status.sock").exists() or sidecar.has_ended())
    shown = json.loads(sidecar.ask("status", "--json").stdout)
    assert (shown["running"], shown["figures_from"]) == (True, "daemon")
    assert sidecar.stop() == 0
    assert sidecar.lines() == lines + more
    assert verify(sidecar)


def test_a_state_directory_that_is_moved_while_we_run_is_named_and_not_begun_again(
    sidecar: Sidecar,
) -> None:
    """Seen: the journal was written into the new directory; what was held stayed in the old."""
    lines = number_lines(0, 20)
    append(sidecar.traces / "a.jsonl", lines)
    daemon = sidecar.start()
    sidecar.arrives(20)
    wait_until((sidecar.state / "deliveries.json").exists)  # the batch is committed
    moved = sidecar.state.rename(sidecar.folder / "state.old")
    sidecar.state.mkdir(0o700)
    append(sidecar.traces / "a.jsonl", more := number_lines(100, 5))
    assert daemon.wait(120) == 78
    assert f"was moved to {moved} while".encode() in sidecar.log.read_bytes()
    assert b"Traceback" not in sidecar.log.read_bytes()
    arrived = sidecar.lines()
    assert sidecar.ship().returncode == 78, "the new one is not taken for a first start"
    assert sidecar.lines() == arrived
    shutil.rmtree(sidecar.state)
    moved.rename(sidecar.state)
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == lines + more
    assert verify(sidecar)
