"""Nothing is delivered again without a word: names, journals and machines change.

Whatever offsets hang on may be renamed, removed or copied: then a run goes on, or says why not.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable

import pytest

from tests.daemon.conftest import sidecar
from tests.daemon.sidecar import LAKE, Sidecar, append, body, numbered
from tests.servers.processes import eventually

__all__ = ["sidecar"]


def shipped(sidecar: Sidecar) -> list[bytes]:
    """Deliver some lines, and return them."""
    lines = numbered(0, 20)
    append(sidecar.traces / "a.jsonl", lines)
    assert sidecar.ship().returncode == 0
    return lines


def change(sidecar: Sidecar, before: str, after: str) -> None:
    text = sidecar.config.read_text()
    assert before in text
    sidecar.config.write_text(text.replace(before, after))


def notices(sidecar: Sidecar) -> list[str]:
    return [
        each["event"] for each in json.loads(sidecar.call("status", "--json").stdout)["notices"]
    ]


def verified(sidecar: Sidecar) -> bool:
    proof = json.loads(sidecar.call("verify", "lake", "--json").stdout)
    return bool(proof["problems"] == [])


def test_a_renamed_source_goes_on_and_says_so(sidecar: Sidecar) -> None:
    lines = shipped(sidecar)
    change(sidecar, 'name = "agent"', 'name = "builder"')
    more = numbered(100, 5)
    append(sidecar.traces / "a.jsonl", more)
    done = sidecar.ship()
    assert done.returncode == 0
    assert b"source.adopted" in done.stderr
    assert b'id = \\"agent\\"' in done.stderr, "the choice is named"
    assert sidecar.lines() == lines + more
    assert notices(sidecar) == ["source.adopted"]
    assert verified(sidecar)
    assert b"source.adopted" not in sidecar.ship().stderr, "once"


def test_the_id_of_a_source_survives_its_names(sidecar: Sidecar) -> None:
    lines = shipped(sidecar)
    (sidecar.traces / "bad.jsonl").write_bytes(b"no json\n")
    for number, name in enumerate(("builder", "third", "fourth")):
        change(sidecar, sidecar.config.read_text().split("[[source]]\n")[1].split("\n")[0], "#")
        change(sidecar, "[[source]]\n#", f'[[source]]\nname = "{name}"')
        if number == 0:
            change(sidecar, "[[source]]\n", '[[source]]\nid = "agent"\n')
            change(sidecar, f'id = "agent"\nname = "{name}"', f'name = "{name}"\nid = "agent"')
        more = numbered(100 * (number + 1), 5)
        append(sidecar.traces / "a.jsonl", more)
        lines += more
        done = sidecar.ship()
        assert done.returncode == 0
        assert b"source.renamed" in done.stderr
        assert sidecar.lines() == lines
        assert {row["source"] for row in sidecar.quarantined()} == {name}
    assert verified(sidecar)


def test_a_source_with_an_id_of_its_own_delivers_again_and_says_so(sidecar: Sidecar) -> None:
    lines = shipped(sidecar)
    change(sidecar, 'name = "agent"', 'name = "builder"\nid = "builder"')
    done = sidecar.ship()
    assert done.returncode == 0
    assert b"source.begins_again" in done.stderr
    assert Counter(sidecar.lines()) == Counter(lines * 2)


def test_a_source_that_was_renamed_and_moved_says_that_it_begins_again(sidecar: Sidecar) -> None:
    shipped(sidecar)
    moved = sidecar.traces.rename(sidecar.traces.with_name("moved"))
    change(sidecar, 'name = "agent"', 'name = "builder"')
    change(sidecar, str(sidecar.traces), str(moved))
    done = sidecar.ship()
    assert done.returncode == 0
    assert b"source.left" in done.stderr
    assert b'id = \\"agent\\"' in done.stderr, "the choice is named"
    assert notices(sidecar) == ["source.left"]
    assert b"source.left" not in sidecar.ship().stderr, "once"


def test_two_sources_that_become_one_go_on(sidecar: Sidecar) -> None:
    other = f'[[source]]\nname = "other"\ninclude = ["{sidecar.traces}/*.log"]\n'
    sidecar.configure(LAKE.format(lake=sidecar.lake), more=other)
    lines = shipped(sidecar)
    append(sidecar.traces / "b.log", numbered(50, 5))
    assert sidecar.ship().returncode == 0
    sidecar.configure(LAKE.format(lake=sidecar.lake))
    change(sidecar, '/**/*.jsonl"]', f'/**/*.jsonl", "{sidecar.traces}/*.log"]')
    append(sidecar.traces / "b.log", numbered(60, 5))
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(lines + numbered(50, 5) + numbered(60, 5))


def test_two_sources_with_one_id_are_rejected(sidecar: Sidecar) -> None:
    other = f'[[source]]\nname = "other"\nid = "agent"\ninclude = ["{sidecar.traces}/*.log"]\n'
    sidecar.configure(LAKE.format(lake=sidecar.lake), more=other)
    answer = sidecar.call("check-config")
    assert answer.returncode == 78
    assert b'source "agent" has the id "agent" too' in answer.stderr


def test_a_renamed_sink_is_rejected_until_the_person_says_where_it_starts(
    sidecar: Sidecar,
) -> None:
    lines = shipped(sidecar)
    change(sidecar, 'name = "lake"', 'name = "pond"')
    refused = sidecar.ship()
    assert refused.returncode == 78
    assert b'name it "lake" again' in refused.stderr
    assert b'start = "now"' in refused.stderr
    assert sidecar.lines() == lines
    change(sidecar, 'name = "pond"', 'name = "pond"\nstart = "now"')
    append(sidecar.traces / "a.jsonl", numbered(90, 1))
    done = sidecar.ship()
    assert done.returncode == 0
    assert b"sink.begins_again" in done.stderr
    assert sidecar.lines() == lines
    change(sidecar, 'name = "pond"\nstart = "now"', 'name = "lake"')
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == lines + numbered(90, 1)


def remove_journal(sidecar: Sidecar) -> None:
    for path in sidecar.state.glob("journal.sqlite*"):
        path.unlink()


def empty_journal(sidecar: Sidecar) -> None:
    remove_journal(sidecar)
    (sidecar.state / "journal.sqlite").touch()


@pytest.mark.parametrize("harm", [remove_journal, empty_journal])
def test_a_journal_that_vanished_is_not_taken_for_a_first_start(
    sidecar: Sidecar, harm: Callable[[Sidecar], None]
) -> None:
    lines = shipped(sidecar)
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


def test_an_empty_state_directory_is_a_first_start(sidecar: Sidecar) -> None:
    lines = shipped(sidecar)
    shutil.rmtree(sidecar.state)
    shutil.rmtree(sidecar.lake)
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == lines


def test_a_journal_that_is_removed_while_we_run_is_written_again(sidecar: Sidecar) -> None:
    lines = numbered(0, 20)
    append(sidecar.traces / "a.jsonl", lines)
    daemon = sidecar.start()
    sidecar.arrives(20)
    remove_journal(sidecar)
    assert daemon.wait(120) == 75
    assert b"has been written again" in sidecar.log.read_bytes()
    more = numbered(100, 5)
    append(sidecar.traces / "a.jsonl", more)
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == lines + more
    assert notices(sidecar) == []
    assert verified(sidecar)


def test_a_journal_that_is_replaced_while_we_run_stops_us(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", numbered(0, 20))
    daemon = sidecar.start()
    sidecar.arrives(20)
    other = sidecar.folder / "other.sqlite"
    other.write_bytes(b"")
    other.rename(sidecar.state / "journal.sqlite")
    assert daemon.wait(120) == 78
    assert b"was replaced by another file" in sidecar.log.read_bytes()
    assert b"Traceback" not in sidecar.log.read_bytes()


def test_state_and_traces_that_were_copied_go_on_and_say_so(sidecar: Sidecar) -> None:
    lines = shipped(sidecar)
    for number in range(10):
        more = numbered(1000 + number * 10, 10)
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
    append(sidecar.traces / "s3.jsonl", numbered(5000, 5))
    done = sidecar.ship()
    assert done.returncode == 0
    assert b"comes from another machine (elsewhere)" in done.stderr
    assert Counter(sidecar.lines()) == Counter(lines + numbered(5000, 5))
    assert notices(sidecar) == ["state.copied"]
    assert b"another machine" not in sidecar.ship().stderr, "once"
    assert verified(sidecar)


def test_a_file_that_lost_its_end_delivers_only_what_is_new_and_says_so(sidecar: Sidecar) -> None:
    path = sidecar.traces / "a.jsonl"
    lines = numbered(0, 500)
    append(path, lines)
    assert sidecar.ship().returncode == 0
    os.truncate(path, len(body(lines[:400])) + 7)  # a power cut of the agent's disk, in mid-line
    os.truncate(path, len(body(lines[:400])))
    append(path, numbered(1000, 10))
    done = sidecar.ship()
    assert done.returncode == 0
    assert Counter(sidecar.lines()) == Counter(lines + numbered(1000, 10))
    [event] = [
        json.loads(line) for line in done.stderr.splitlines() if b"collect.rewritten" in line
    ]
    assert event["unchanged_bytes"] == len(body(lines[:400]))
    assert event["read_bytes"] == len(body(lines))
    [source] = json.loads(sidecar.call("status", "--json").stdout)["sources"]
    assert (source["rewritten"], source["lost_bytes"]) == (1, 0)
    assert verified(sidecar)


def test_a_file_that_is_rewritten_while_we_run_is_counted_and_sent_from_its_first_change(
    sidecar: Sidecar,
) -> None:
    path = sidecar.traces / "a.jsonl"
    lines = numbered(0, 500)
    append(path, lines)
    sidecar.start()
    sidecar.arrives(500)
    eventually(lambda: json.loads(sidecar.get("/status")[1])["sinks"][0]["lag_bytes"] == 0)
    changed = [*lines[:250], lines[250].replace(b"line", b"LINE"), *lines[251:]]
    with path.open("r+b") as file:
        file.write(body(changed))
    sidecar.arrives(750)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(lines + changed[250:])
    assert b"collect.rewritten" in sidecar.log.read_bytes()
    assert verified(sidecar)
