"""A complete store is proved; anything missing, altered, repeated or foreign is reported."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.ddl.lakes import event, rows
from tests.lake.shipped import Shipped, kinds
from tracesidecar.cli import main
from tracesidecar.lake.findings import Proof
from tracesidecar.lake.verify import verify
from tracesidecar.sinks.directory.objects import DirectoryObjects
from tracesidecar.sinks.directory.sink import Options


def store(root: Path) -> DirectoryObjects:
    return DirectoryObjects(Options(name="lake", type="directory", path=str(root)))


def proof(root: Path) -> Proof:
    return verify(store(root))


@pytest.fixture(params=["json", "parquet"])
def shipped(request: pytest.FixtureRequest, tmp_path: Path) -> Shipped:
    made = Shipped(tmp_path / "lake", request.param)
    made.batch(rows(), rejected=2)
    made.batch([("codex", event(50)), ("codex", event(51))])
    return made


def test_a_whole_store_is_proved_with_its_counts(shipped: Shipped) -> None:
    found = proof(shipped.root)
    assert found.problems == []
    assert found.notes == []
    assert (found.batches, found.objects, found.rows) == (2, len(shipped.names), 15)
    assert (found.coverages.lines, found.coverages.rejected) == (15, 2)
    assert [coverage.end for coverage in found.coverages] == [2000]


def spoil_last_byte(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [(Path.unlink, "missing"), (spoil_last_byte, "altered"), (shorten, "altered")],
)
def test_a_spoilt_object_is_named(
    shipped: Shipped, spoil: Callable[[Path], None], kind: str
) -> None:
    for name in shipped.names:
        path = shipped.root / name
        before = path.read_bytes()
        spoil(path)
        assert [(problem.kind, problem.where) for problem in proof(shipped.root).problems] == [
            (kind, name)
        ]
        path.write_bytes(before)


def test_a_manifest_that_is_gone_leaves_strays_and_a_gap(shipped: Shipped) -> None:
    first = shipped.batches[0]
    next((shipped.root / "_manifest").rglob(f"{first.batch}.json")).unlink()
    found = proof(shipped.root)
    assert sorted(kinds(found.problems)) == ["gap"] + ["stray"] * len(first.objects)
    assert "0 to 1000" in next(
        problem.detail for problem in found.problems if problem.kind == "gap"
    )


def test_a_range_that_is_there_twice_is_named(shipped: Shipped) -> None:
    shipped.end -= 500
    shipped.batch([("codex", event(60))])
    [problem] = proof(shipped.root).problems
    assert (problem.kind, "1500 to 2000" in problem.detail) == ("overlap", True)


def test_rows_that_a_manifest_does_not_have_are_named(shipped: Shipped) -> None:
    wrong = shipped.batches.pop()
    [one] = wrong.objects
    shipped.put(msgspec.structs.replace(wrong, objects=(msgspec.structs.replace(one, rows=3),)))
    assert kinds(proof(shipped.root).problems) == ["rows", "rows"]


def test_a_manifest_of_rubbish_is_named(shipped: Shipped) -> None:
    (shipped.root / "_manifest" / "v1" / "dt=2026-09-02" / "x.json").write_text("{")
    assert kinds(proof(shipped.root).problems) == ["unreadable"]


def test_an_object_that_nobody_shipped_is_a_stray_unless_its_batch_is_under_way(
    shipped: Shipped,
) -> None:
    name = f"{shipped.names[0].rpartition('/')[0]}/other-20260902T000000Z-aaaaaaaaaaaaaaaa.jsonl.gz"
    (shipped.root / name).write_bytes(gzip.compress(b"{}\n"))
    assert kinds(proof(shipped.root).problems) == ["stray"]
    found = verify(store(shipped.root), under_way=frozenset({name}))
    assert (found.holds, kinds(found.notes)) == (True, ["under_way"])


def test_a_sink_that_began_in_the_middle_has_no_gap_before(tmp_path: Path) -> None:
    shipped = Shipped(tmp_path, end=700)
    shipped.batch(rows())
    assert kinds(proof(tmp_path).problems) == ["gap"]
    assert verify(store(tmp_path), begins_anywhere=True).holds


def test_generations_and_hosts_are_apart(tmp_path: Path) -> None:
    for host in ("a", "b"):
        Shipped(tmp_path, host=host).batch(rows())
    assert proof(tmp_path).holds
    other = Shipped(tmp_path, host="c")
    first = other.batch(rows())
    again = tuple(msgspec.structs.replace(each, generation=1) for each in first.ranges)
    other.put(
        msgspec.structs.replace(
            first, batch="0123456789abcdef", ranges=again, objects=first.objects
        )
    )
    assert set(kinds(proof(tmp_path).problems)) == {"twice"}


def test_a_host_that_got_another_name_goes_on_in_its_segments(tmp_path: Path) -> None:
    """After a rename, or with a state directory that came from another machine."""
    former = Shipped(tmp_path, host="a")
    former.batch(rows(), rejected=1)
    renamed = Shipped(tmp_path, host="b", end=former.end)
    renamed.batch([("codex", event(50))])
    renamed.batch([("codex", event(51))])
    assert proof(tmp_path).problems == []
    renamed.end = 200
    redriven = renamed.batch([("codex", event(52))], more=100)
    renamed.put(msgspec.structs.replace(redriven, redriven=True))
    assert proof(tmp_path).problems == []
    renamed.end = 500
    renamed.batch([("codex", event(53))], more=100)
    assert kinds(proof(tmp_path).problems) == ["overlap"]


def test_what_no_name_of_the_host_has_is_a_gap(tmp_path: Path) -> None:
    former = Shipped(tmp_path, host="a")
    former.batch(rows())
    Shipped(tmp_path, host="b", end=former.end + 100).batch([("codex", event(50))])
    assert kinds(proof(tmp_path).problems) == ["gap"]


def test_lines_redriven_count_once_and_only_where_they_were_rejected(shipped: Shipped) -> None:
    def redriven(start: int, number: int) -> None:
        shipped.end = start
        manifest = shipped.batch([("codex", event(number))], more=100)
        shipped.batches.pop()
        shipped.put(msgspec.structs.replace(manifest, redriven=True))

    redriven(200, 70)
    found = proof(shipped.root)
    assert (found.problems, found.coverages.rejected, found.coverages.lines) == ([], 1, 16)
    redriven(250, 71)
    assert kinds(proof(shipped.root).problems) == ["overlap"]


def test_the_command_proves_and_ends_with_65_when_it_cannot(
    shipped: Shipped, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tracesidecar.toml"
    head = (
        f'state_directory = "{tmp_path}/state"\n[[source]]\nname = "agent"\n'
        f'include = ["{tmp_path}/*.jsonl"]\n'
    )
    path.write_text(
        head
        + (
            '[[sink]]\nname = "lake"\ntype = "directory"\nformat = "event"\n'
            f'path = "{shipped.root}"\n[[sink]]\nname = "out"\ntype = "stdout"\n'
        )
    )
    assert main(["verify", "lake", "--config", str(path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (
        document["proved"],
        document["rows"],
        document["refused"],
        document["segments"][0]["end"],
    ) == (True, 15, 2, 2000)
    assert main(["verify", "lake", "--config", str(path)]) == 0
    assert "once and unaltered" in capsys.readouterr().out
    (shipped.root / shipped.names[0]).unlink()
    assert main(["verify", "lake", "--config", str(path)]) == 65
    assert "missing" in capsys.readouterr().out
    assert main(["verify", "out", "--config", str(path)]) == 64
    assert "lake" in capsys.readouterr().err
