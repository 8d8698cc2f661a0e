"""A lake may belong to somebody else: what stands in it leads nowhere else, and acts nowhere."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.ddl.lakes import rows
from tests.lake.shipped import Shipped, kinds
from tracesidecar.batch import MOST_MANIFEST_BYTES, Manifest, ManifestRange
from tracesidecar.cli import main
from tracesidecar.encode import parse_object_name
from tracesidecar.lake import findings, verify
from tracesidecar.lake.contents import examine
from tracesidecar.lake.coverage import Coverages
from tracesidecar.sinks.directory import Options
from tracesidecar.sinks.directory.folders import LakeFolders
from tracesidecar.sinks.directory.objects import DirectoryObjects

SECRET = "the-line-of-another-user"
UP = "v1/" + "../" * 12
NAMES = (
    "/etc/passwd",
    "{outside}",
    UP + "{outside}",
    "v1/dt=2026-09-02/dialect=codex/../../../../x.jsonl",
    "v1/dt=2026-09-02/dialect=../x.jsonl",
    "v1/dt=2026-09-02/dialect=codex/..",
    "v1/dt=2026-09-02/dialect=codex/\x1b[2Jx.jsonl",
    "v1/dt=2026-09-02/dialect=\u202ex/x.jsonl",
    "v1//dt=2026-09-02/x.jsonl",
    "other/x.jsonl",
    "",
)


@pytest.fixture
def shipped(tmp_path: Path) -> Shipped:
    made = Shipped(tmp_path / "lake")
    made.batch(rows())
    (tmp_path / "outside.jsonl").write_text(SECRET + "\n")
    return made


def manifest_of(shipped: Shipped) -> Path:
    [path] = (shipped.root / "_manifest").rglob("*.json")
    return path


def plant(
    shipped: Shipped, change: Mapping[str, object], in_range: Mapping[str, object] | None = None
) -> None:
    """Change the manifest, and its ranges, as the lake's owner may."""
    path = manifest_of(shipped)
    members = json.loads(path.read_bytes())
    members["ranges"] = [{**each, **(in_range or {})} for each in members["ranges"]]
    path.write_text(json.dumps({**members, **change}))


def commands(shipped: Shipped, tmp_path: Path) -> list[list[str]]:
    """The commands that read a lake back."""
    config = tmp_path / "tracesidecar.toml"
    config.write_text(
        f'state_directory = "{tmp_path / "state"}"\n'
        f'[[source]]\nname = "agent"\ninclude = ["{tmp_path}/traces/*.jsonl"]\n'
        f'[[sink]]\nname = "lake"\ntype = "directory"\npath = "{shipped.root}"\nformat = "event"\n'
    )
    named = ["--config", str(config)]
    return [
        [*named, "verify", "lake"],
        [*named, "verify", "lake", "--json"],
        [*named, "compact", "lake", "--before", "2026-10-01"],
        [*named, "recover", "lake", "--host", "host", "--dry-run"],
    ]


def acts(text: str) -> bool:
    """Return whether a text has what acts on a terminal."""
    return any(not character.isprintable() for character in text if character != "\n")


RANGE = {
    "segment": 1, "source": "agent", "path": "a", "generation": 0, "start": 0, "end": 1, "lines": 0,
    "refused": 0,
}  # fmt: skip
MANIFEST = {
    "version": 3, "batch": "b", "sink": "lake", "time": 1, "host": "h", "program": "0",
    "rules": "r", "fingerprint": "f", "objects": [], "ranges": [], "cuts": {}, "labels": {},
    "redriven": False,
}  # fmt: skip
OBJECT = {"sha256": "0" * 64, "bytes": 1, "rows": 1}
TIMES: tuple[dict[str, object], ...] = ({"time": 10**30}, {"time": -1}, {"time": 1 << 62})


def is_unreadable(shipped: Shipped) -> bool:
    """Return whether `verify` reports a manifest that is none, and nothing as found there."""
    found = verify(DirectoryObjects(Options(name="lake", type="directory", path=str(shipped.root))))
    return "unreadable" in kinds(found.problems) and not found.batches


def test_a_million_planted_problems_are_counted_and_the_first_are_told(
    shipped: Shipped,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(findings, "MOST_FINDINGS", 3)
    names = [f"v1/dt=2026-01-01/dialect=a/{number}.jsonl" for number in range(5)]
    plant(
        shipped,
        {
            "objects": [{**OBJECT, "rows": 0, "name": name} for name in names],
            "ranges": [{**RANGE, "segment": number, "start": 1} for number in range(5)],
        },
    )
    verify_, *_ = commands(shipped, tmp_path)
    assert main([*verify_, "--json"]) == 65
    document = json.loads(capsys.readouterr().out)
    strays = len(shipped.names)
    assert [each["kind"] for each in document["problems"]] == ["missing"] * 3
    assert document["problem_count"] == 5 + 5 + strays
    assert len(document["segments"]) == 5
    assert main(verify_) == 65
    printed = capsys.readouterr().out
    assert f"and {document['problem_count'] - 3} more" in printed
    assert f"{document['problem_count']} problems" in printed


def test_an_object_that_only_a_manifest_has_is_not_asked_for(
    shipped: Shipped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To ask for 789,000 of them took minutes."""
    missing = "v1/dt=2026-01-01/dialect=a/x.jsonl"
    plant(shipped, {"objects": [{**OBJECT, "name": missing}]})
    objects = DirectoryObjects(Options(name="lake", type="directory", path=str(shipped.root)))
    read, asked = objects.read, list[str]()

    def ask(name: str) -> Iterator[bytes]:
        asked.append(name)
        return read(name)

    monkeypatch.setattr(objects, "read", ask)
    assert "missing" in kinds(verify(objects).problems)
    assert asked
    assert missing not in asked


def test_planted_redrives_and_hosts_are_judged_without_comparing_all_with_all() -> None:
    """Each with each would be 10^8 comparisons, some minutes."""
    many = 10_000
    coverages = Coverages()
    manifest = msgspec.json.decode(msgspec.json.encode(MANIFEST), type=Manifest)
    places = ({"start": 3 * number, "end": 3 * number + 2} for number in range(many))
    ranges = [msgspec.convert({**RANGE, **place}, ManifestRange) for place in places]
    for is_redriven in (False, True):
        coverages.add(msgspec.structs.replace(manifest, ranges=tuple(ranges), redriven=is_redriven))
    for number in range(many):
        moved = msgspec.structs.replace(ranges[1], segment=9, start=number + 1, end=number + 1)
        coverages.add(
            msgspec.structs.replace(manifest, host=f"h{number}", ranges=(moved,), redriven=False)
        )
    began = time.monotonic()
    first, *hosts = coverages
    assert list(first.find_unexpected_redrives()) == []
    assert sum(1 for _ in first.gaps()) == many - 1
    assert all(any(each.gaps()) for each in hosts)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_with_a_planted_name_counts_as_unreadable(
    shipped: Shipped, tmp_path: Path, name: str
) -> None:
    named = name.format(outside=tmp_path / "outside.jsonl")
    plant(shipped, {"objects": [{**OBJECT, "name": named}]})
    assert is_unreadable(shipped)


@pytest.mark.parametrize(
    "field",
    ["segment", "generation", "source_generation", "start", "end", "device", "inode"],
)
def test_so_does_one_with_a_number_that_nothing_has(shipped: Shipped, field: str) -> None:
    original = manifest_of(shipped).read_bytes()
    name = json.loads(original)["objects"][0]["name"]
    no_rows: dict[str, object] = {"objects": [{**OBJECT, "name": name, "rows": -1}]}
    for change in (no_rows, *TIMES):
        plant(shipped, change)
        assert is_unreadable(shipped), change
        manifest_of(shipped).write_bytes(original)
    beyond = (1 << 63) - 1 if "generation" in field else 1 << 64  # the next one must be one, too
    for number in (-1, beyond, 10**400):
        plant(shipped, {}, {field: number})
        assert is_unreadable(shipped), number
        manifest_of(shipped).write_bytes(original)


def test_no_command_reads_what_a_planted_name_leads_to(
    shipped: Shipped, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = (UP + "{outside}").format(outside=tmp_path / "outside.jsonl")
    plant(shipped, {"objects": [{**OBJECT, "name": named}]})
    for command in commands(shipped, tmp_path)[:-1]:
        assert main(command) == 65, command
    assert SECRET not in "".join(capsys.readouterr())


def test_what_a_manifest_says_is_printed_without_what_acts(
    shipped: Shipped, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b]0;owned\x07 \u202e \x9b2J"
    plant(shipped, {"host": evil, "batch": evil}, {"source": evil, "path": evil, "start": 5})
    folder = manifest_of(shipped).parent
    (folder / "\x1b[2J.json").write_text("{}")
    (shipped.root / "v1" / "dt=2026-09-02" / "\u202e\x1b[2Jx").write_text("")
    for command in commands(shipped, tmp_path):
        assert main(command) == 65, command
    printed = "".join(capsys.readouterr())
    assert "\\x1b" in printed
    assert not acts(printed)


def test_a_manifest_that_is_too_large_is_not_read(shipped: Shipped, tmp_path: Path) -> None:
    path = manifest_of(shipped)
    with path.open("r+b") as file:  # a hole: it costs its owner nothing
        file.truncate(3 << 30)
    tracemalloc.start()
    assert is_unreadable(shipped)
    assert tracemalloc.get_traced_memory()[1] < MOST_MANIFEST_BYTES
    tracemalloc.stop()
    for command in commands(shipped, tmp_path)[:-1]:
        assert main(command) == 65, command


def test_what_nobody_reads_of_a_manifest_is_not_decoded(shipped: Shipped) -> None:
    """A small object or number takes many times its bytes: labels of 64 MiB were 4 GiB."""
    many: dict[str, object] = {f"{number:x}": {} for number in range(100_000)}
    plant(shipped, {"labels": many, "cuts": dict.fromkeys(many, 1)})
    size_bytes = manifest_of(shipped).stat().st_size
    assert not is_unreadable(shipped)
    tracemalloc.start()
    assert not is_unreadable(shipped)
    assert tracemalloc.get_traced_memory()[1] < 4 * size_bytes
    tracemalloc.stop()


def test_very_many_ranges_of_a_file_take_no_more_time_than_they_are(
    shipped: Shipped, tmp_path: Path
) -> None:
    """Each was compared with all before it: a file that lived long took hours to recover."""
    [described] = json.loads(manifest_of(shipped).read_bytes())["ranges"]
    plant(shipped, {"ranges": [described] * 20_000})
    *_, recover = commands(shipped, tmp_path)
    began = time.process_time()
    assert main(recover) == 0
    assert time.process_time() - began < 5  # it was twice that


DEEP = b"[" * 200_000 + b"]" * 200_000


@pytest.mark.parametrize("content", [b'{"x":' + DEEP + b"}", b'{"labels":' + DEEP + b"}"])
def test_a_record_that_is_nested_very_deep_is_none(
    shipped: Shipped, tmp_path: Path, content: bytes
) -> None:
    compaction = shipped.root / "_manifest" / "compact" / "v1" / "dt=2026-09-02" / "x.json"
    for path in (manifest_of(shipped), compaction):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        for command in commands(shipped, tmp_path)[1:-1]:
            assert main(command) == 65, command
        path.unlink()


def parquet(columns: Mapping[str, object]) -> bytes:
    made = io.BytesIO()
    pq.write_table(pa.table(columns), made)
    return made.getvalue()


FOREIGN = {
    "a.parquet": b"PAR1" + b"\x15\xff" * 500 + (500).to_bytes(4, "little") + b"PAR1",
    "b.parquet": parquet({"native_id": ["a", "b"]}),
    "c.parquet": parquet({"schema_version": ["2", "2"], "event_id": ["a", "b"]}),
    "d.jsonl": b'{"x":' + DEEP + b"}\n",
    "e.jsonl": b'{"event_kind":"state","input_tokens":9223372036854775808}\n',
}


@pytest.mark.parametrize("file", FOREIGN)
def test_an_object_that_is_none_of_ours_is_left_as_it_is(
    shipped: Shipped, tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = FOREIGN[file]
    root = "parquet/v1" if file.endswith(".parquet") else "v1"
    names = [f"{root}/dt=2026-09-02/dialect=pi/{each}{file}" for each in "xy"]  # one is not due
    for name in names:
        (shipped.root / name).parent.mkdir(parents=True, exist_ok=True)
        (shipped.root / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    rows = 2 if file[0] in "bc" else 1
    described = {"sha256": digest, "bytes": len(content), "rows": rows}
    plant(shipped, {"objects": [{**described, "name": name} for name in names]})
    for command in commands(shipped, tmp_path)[1:-1]:
        assert main(command) == 65, command
    assert "bug" not in "".join(capsys.readouterr())
    assert all((shipped.root / name).read_bytes() == content for name in names)


@pytest.mark.parametrize("file", ["x.jsonl", "x.parquet"])
def test_of_an_object_that_is_larger_than_its_manifest_says_no_more_is_read(
    shipped: Shipped, tmp_path: Path, file: str
) -> None:
    root = "parquet/v1" if file.endswith(".parquet") else "v1"
    name = f"{root}/dt=2026-09-02/dialect=pi/{file}"
    (shipped.root / name).parent.mkdir(parents=True, exist_ok=True)
    with (shipped.root / name).open("wb") as made:  # a hole: it costs its owner nothing
        made.truncate(1 << 42)
    plant(shipped, {"objects": [{**OBJECT, "name": name}]})
    [_, verifies, compacts, _] = commands(shipped, tmp_path)
    assert main(verifies) == 65
    assert main(compacts) == (0 if file.endswith(".parquet") else 65)  # a single one is not due


@pytest.mark.parametrize(
    ("name", "open_"), [("a.jsonl.gz", gzip.open), ("a.jsonl.zst", zstandard.open)]
)
def test_an_object_that_expands_very_far_is_counted_in_little_memory(
    name: str, open_: Callable[..., BinaryIO], tmp_path: Path
) -> None:
    with open_(tmp_path / name, "wb") as file:
        for _ in range(128):
            file.write(bytes(1 << 20))
    content = (tmp_path / name).read_bytes()
    tracemalloc.start()
    assert examine(name, [content]).rows == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20


@pytest.mark.parametrize("name", ["/etc", "..", "../x", "v1/../..", "v1//x", "./v1", "/", "v1/"])
def test_no_folder_of_a_lake_is_outside_of_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "v1").mkdir()
    with LakeFolders(str(tmp_path)) as folders:
        for opens in (folders.find, folders.make, folders.open_file, folders.stat):
            with pytest.raises(FileNotFoundError):
                opens(name)
    assert os.listdir(tmp_path) == ["v1"]


def test_the_names_of_a_lake_are_taken_apart_and_put_together_alike() -> None:
    for name, parts in {
        "raw/v1/dt=2026-09-02/h-20260902T000000Z-0123456789abcdef.jsonl.gz": ("raw/v1", ""),
        "v1/dt=2026-09-02/dialect=claude_code/-h.x-20260902T000000Z-0.jsonl": ("v1", "claude_code"),
        "parquet/v1/dt=2026-09-02/dialect=pi/compact-0123456789abcdef-00000.parquet": (
            "parquet/v1",
            "pi",
        ),
        "otlp/v1/dt=2026-09-02/dialect=pi/h-1.jsonl.zst": ("otlp/v1", "pi"),
    }.items():
        found = parse_object_name(name)
        assert found is not None
        assert (found.root, found.dialect) == parts
        assert found.day == "2026-09-02"
        assert name.endswith(f"/{found.file}")
