"""A batch of which some objects arrived before the process ended, and whose source changed before
the next start: what arrived counts, the rest is planned again, and a manifest lists what is there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.daemon.sidecar import Sidecar, append, body
from tests.daemon.test_crash import kill_at, remove_links
from tests.servers.stores import ACCESS_KEY, BUCKET, SECRET, ObjectStore, object_store
from tracesidecar.encode.jsonl import decode_lines

__all__ = ["object_store"]

BATCH = 'format = "event"\nbatch = { age = "500ms", idle = "100ms" }\n'


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    sidecar = Sidecar(tmp_path)
    sidecar.configure(
        f'[[sink]]\nname = "lake"\ntype = "directory"\npath = "{sidecar.lake}"\n{BATCH}'
    )
    yield sidecar
    sidecar.kill()


def make_messages(day: int, first: int, count: int = 10) -> list[bytes]:
    """Messages of one day, as an agent writes them."""
    return [
        json.dumps(
            {
                "type": "user",
                "timestamp": f"2026-01-{day:02d}T10:00:{n:02d}Z",
                "sessionId": "s",
                "uuid": f"u{day}-{n}",
                "message": {"role": "user", "content": f"said {n} on day {day}"},
            }
        ).encode()
        for n in range(first, first + count)
    ]


def rows(contents: list[bytes]) -> Counter[str]:
    """Count the rows of gzip objects by what was said."""
    found: Counter[str] = Counter()
    for content in contents:
        for line in decode_lines(content, "gzip").splitlines():
            found[json.loads(json.loads(line)["raw"])["uuid"]] += 1
    return found


def ids(lines: list[bytes]) -> Counter[str]:
    return Counter(json.loads(line)["uuid"] for line in lines)


def count_stored(sidecar: Sidecar) -> Counter[str]:
    return rows([path.read_bytes() for path in sidecar.objects()])


def cut_short(sidecar: Sidecar, *, arrived: tuple[int, ...]) -> None:
    """Leave what a kill between two objects leaves: those of some days, and no manifest."""
    kill_at(sidecar, "sent")
    for path in sidecar.objects():
        if not any(f"dt=2026-01-{day:02d}" in str(path) for day in arrived):
            path.unlink()
    for path in sidecar.lake.rglob("_manifest/v1/dt=*/*.json"):
        path.unlink()
    remove_links(sidecar)


def losses(sidecar: Sidecar) -> int:
    return int(
        msgspec.json.decode(sidecar.ask("status", "--json").stdout)["sources"][0]["lost_bytes"]
    )


def problems(sidecar: Sidecar) -> list[str]:
    done = sidecar.ask("verify", "lake", "--json")
    return [each["kind"] for each in msgspec.json.decode(done.stdout)["problems"]]


def test_an_arrived_object_counts_when_the_file_of_another_was_rewritten(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", make_messages(1, 0) + make_messages(2, 0))
    append(sidecar.traces / "b.jsonl", make_messages(3, 0))
    cut_short(sidecar, arrived=(1,))
    (sidecar.traces / "b.jsonl").write_bytes(body(make_messages(4, 0, 3)))
    assert sidecar.ship().returncode == 0
    assert count_stored(sidecar) == ids(
        make_messages(1, 0) + make_messages(2, 0) + make_messages(4, 0, 3)
    )
    assert losses(sidecar) == len(body(make_messages(3, 0)))
    assert problems(sidecar) == []


def test_of_a_file_that_is_gone_only_what_did_not_arrive_is_lost(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", make_messages(1, 0) + make_messages(2, 0))
    append(sidecar.traces / "b.jsonl", make_messages(3, 0))
    cut_short(sidecar, arrived=(1,))
    (sidecar.traces / "a.jsonl").unlink()
    assert sidecar.ship().returncode == 0
    assert count_stored(sidecar) == ids(make_messages(1, 0) + make_messages(3, 0))
    assert losses(sidecar) == len(body(make_messages(2, 0)))
    assert problems(sidecar) == []


def test_an_object_with_lines_of_two_files_counts_for_both(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", make_messages(1, 0) + make_messages(2, 0))
    append(sidecar.traces / "b.jsonl", make_messages(1, 20) + make_messages(2, 20))
    cut_short(sidecar, arrived=(1,))
    (sidecar.traces / "b.jsonl").write_bytes(body(make_messages(4, 0, 3)))
    assert sidecar.ship().returncode == 0
    assert count_stored(sidecar) == ids(
        make_messages(1, 0) + make_messages(2, 0) + make_messages(1, 20) + make_messages(4, 0, 3)
    )
    assert losses(sidecar) == len(body(make_messages(2, 20)))
    assert problems(sidecar) == []


def test_what_is_missing_before_what_arrived_is_lost_and_explained(sidecar: Sidecar) -> None:
    path = sidecar.traces / "a.jsonl"
    append(path, make_messages(1, 0) + make_messages(2, 0) + make_messages(3, 0))
    cut_short(sidecar, arrived=(2,))
    path.write_bytes(body(make_messages(4, 0, 3)))
    assert sidecar.ship().returncode == 0
    assert count_stored(sidecar) == ids(make_messages(2, 0) + make_messages(4, 0, 3))
    assert losses(sidecar) == len(body(make_messages(1, 0) + make_messages(3, 0)))
    assert problems(sidecar) == ["gap"], "the bytes that nobody has, and no stray object"


@pytest.mark.parametrize("point", ["planned", "sent"])
def test_a_second_kill_while_the_rest_is_sent_changes_nothing(sidecar: Sidecar, point: str) -> None:
    append(sidecar.traces / "a.jsonl", make_messages(1, 0) + make_messages(2, 0))
    append(sidecar.traces / "b.jsonl", make_messages(1, 20) + make_messages(3, 20))
    cut_short(sidecar, arrived=(1,))
    (sidecar.traces / "b.jsonl").unlink()
    kill_at(sidecar, point)
    assert sidecar.ship().returncode == 0
    assert count_stored(sidecar) == ids(
        make_messages(1, 0) + make_messages(2, 0) + make_messages(1, 20)
    )
    assert losses(sidecar) == len(body(make_messages(3, 20)))
    assert problems(sidecar) == []


def test_lines_of_two_days_that_alternate_are_told_apart(sidecar: Sidecar) -> None:
    mixed = [line for n in range(10) for line in (*make_messages(1, n, 1), *make_messages(2, n, 1))]
    append(sidecar.traces / "a.jsonl", mixed)
    append(sidecar.traces / "b.jsonl", make_messages(3, 0))
    cut_short(sidecar, arrived=(1,))
    (sidecar.traces / "a.jsonl").unlink()
    assert sidecar.ship().returncode == 0
    assert count_stored(sidecar) == ids(make_messages(1, 0) + make_messages(3, 0))
    assert losses(sidecar) == len(body(make_messages(2, 0)))
    assert set(problems(sidecar)) == {"gap"}


def test_raw_lines_of_which_nothing_arrived_are_planned_again(sidecar: Sidecar) -> None:
    sidecar.configure(
        f'[[sink]]\nname = "lake"\ntype = "directory"\npath = "{sidecar.lake}"\n'
        'batch = { age = "500ms", idle = "100ms" }\n'
    )
    append(sidecar.traces / "a.jsonl", make_messages(1, 0))
    append(sidecar.traces / "b.jsonl", make_messages(2, 0))
    cut_short(sidecar, arrived=())
    (sidecar.traces / "b.jsonl").unlink()
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == make_messages(1, 0)
    assert losses(sidecar) == len(body(make_messages(2, 0)))
    assert problems(sidecar) == []


def test_raw_lines_that_arrived_without_their_manifest_count(sidecar: Sidecar) -> None:
    sidecar.configure(
        f'[[sink]]\nname = "lake"\ntype = "directory"\npath = "{sidecar.lake}"\n'
        'batch = { age = "500ms", idle = "100ms" }\n'
    )
    append(sidecar.traces / "a.jsonl", make_messages(1, 0))
    append(sidecar.traces / "b.jsonl", make_messages(2, 0))
    kill_at(sidecar, "sent")
    for path in sidecar.lake.rglob("_manifest/v1/dt=*/*.json"):
        path.unlink()
    remove_links(sidecar)
    (sidecar.traces / "a.jsonl").unlink()
    (sidecar.traces / "b.jsonl").write_bytes(body(make_messages(5, 0, 2)))
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(
        make_messages(1, 0) + make_messages(2, 0) + make_messages(5, 0, 2)
    )
    assert losses(sidecar) == 0
    assert problems(sidecar) == []


def into_bucket(sidecar: Sidecar, store: ObjectStore, user: str, secret: str) -> None:
    sidecar.configure(
        f'[[sink]]\nname = "lake"\ntype = "s3"\nbucket = "{BUCKET}"\nregion = "us-east-1"\n'
        f'endpoint_url = "{store.url}"\npath_style = true\naccess_key = "{user}"\n'
        f'secret_key = "{secret}"\n{BATCH}'
    )


def test_credentials_that_may_only_write_hold_nothing_up_and_repeat_nothing(
    sidecar: Sidecar, object_store: ObjectStore
) -> None:
    """Nobody can tell what arrived: what can be read goes under the planned names, once."""
    object_store.add_user("putter", "putter-secret-123456")
    object_store.allow("putter", ["s3:PutObject"])
    into_bucket(sidecar, object_store, "putter", "putter-secret-123456")
    append(sidecar.traces / "a.jsonl", make_messages(1, 0) + make_messages(2, 0))
    append(sidecar.traces / "b.jsonl", make_messages(3, 0))
    kill_at(sidecar, "sent")
    for name in object_store.objects():
        if "dt=2026-01-01" not in name:
            object_store.client().delete_object(Bucket=BUCKET, Key=name)
    remove_links(sidecar)
    (sidecar.traces / "b.jsonl").unlink()
    assert sidecar.ship().returncode == 0
    contents = [
        content for name, content in object_store.objects().items() if name.endswith(".jsonl.gz")
    ]
    assert rows(contents) == ids(make_messages(1, 0) + make_messages(2, 0))
    assert losses(sidecar) == len(body(make_messages(3, 0)))


def test_an_object_store_counts_object_by_object_too(
    sidecar: Sidecar, object_store: ObjectStore
) -> None:
    into_bucket(sidecar, object_store, ACCESS_KEY, SECRET)
    append(sidecar.traces / "a.jsonl", make_messages(1, 0) + make_messages(2, 0))
    append(sidecar.traces / "b.jsonl", make_messages(1, 20) + make_messages(3, 20))
    kill_at(sidecar, "sent")
    for name in object_store.objects():
        if "dt=2026-01-01" not in name:
            object_store.client().delete_object(Bucket=BUCKET, Key=name)
    remove_links(sidecar)
    (sidecar.traces / "b.jsonl").unlink()
    assert sidecar.ship().returncode == 0
    contents = [
        content for name, content in object_store.objects().items() if name.endswith(".jsonl.gz")
    ]
    assert rows(contents) == ids(make_messages(1, 0) + make_messages(2, 0) + make_messages(1, 20))
    assert losses(sidecar) == len(body(make_messages(3, 20)))
    assert problems(sidecar) == []


def test_lines_that_were_rejected_stay_in_quarantine_when_their_file_is_gone(
    sidecar: Sidecar,
) -> None:
    """One file has nothing but rejected lines, in another they stand between those that arrived."""
    append(
        sidecar.traces / "a.jsonl",
        [*make_messages(1, 0, 5), b"{torn", *make_messages(2, 0, 5), b"nul\0"],
    )
    append(sidecar.traces / "b.jsonl", [b"{no", b"{json"])
    kill_at(sidecar, "sent")
    remove_links(sidecar)
    for name in ("a", "b"):
        (sidecar.traces / f"{name}.jsonl").unlink()
    assert sidecar.ship().returncode == 0
    assert count_stored(sidecar) == ids(make_messages(1, 0, 5) + make_messages(2, 0, 5))
    assert losses(sidecar) == 0
    listed = msgspec.json.decode(sidecar.ask("quarantine", "list", "--json").stdout)
    names = sorted(Path(each["path"]).name for each in listed["quarantine"])
    assert names == ["a.jsonl", "a.jsonl", "b.jsonl", "b.jsonl"]
    assert problems(sidecar) == []


D1, D2 = make_messages(1, 0), make_messages(2, 0)


def change(path: Path, *, kept: int, way: str) -> list[bytes]:
    """Change a file with D1 and D2 after some lines; return what is in it then."""
    lines = (D1 + D2)[:kept]
    if way == "cut":
        with path.open("r+b") as file:
            file.truncate(len(body(lines)))
        append(path, make_messages(3, 0, 3))
        return lines + make_messages(3, 0, 3)
    path.write_bytes(body(lines + make_messages(4, 0, 40)))
    return lines + make_messages(4, 0, 40)


def find_events(stderr: bytes, name: str) -> list[dict[str, object]]:
    records = [json.loads(line) for line in stderr.splitlines()]
    return [record for record in records if record["event"] == name]


WAYS = [
    pytest.param(5, "cut"),
    pytest.param(15, "write", marks=pytest.mark.long),
    pytest.param(5, "write", marks=pytest.mark.long),
    pytest.param(15, "cut", marks=pytest.mark.long),
]
"""How many lines stay, of which ten arrived, and what is done to the file."""


@pytest.mark.parametrize(("kept", "way"), WAYS)
def test_what_arrived_of_a_file_that_is_cut_or_rewritten_before_the_next_start_comes_once(
    sidecar: Sidecar, kept: int, way: str
) -> None:
    path = sidecar.traces / "a.jsonl"
    append(path, D1 + D2)
    cut_short(sidecar, arrived=(1,))
    now = change(path, kept=kept, way=way)
    done = sidecar.ship()
    assert done.returncode == 0
    [rewritten] = find_events(done.stderr, "collect.rewritten")
    assert rewritten["unchanged_bytes"] == len(body(now[:kept]))
    assert count_stored(sidecar) == ids(list(dict.fromkeys(D1 + now)))
    assert losses(sidecar) == len(body(D2)) - len(body(D2[: max(0, kept - 10)]))
    assert problems(sidecar) == []
    append(path, make_messages(5, 0, 2))
    assert sidecar.ship().returncode == 0
    assert count_stored(sidecar) == ids(list(dict.fromkeys(D1 + now + make_messages(5, 0, 2))))


@pytest.mark.long
@pytest.mark.parametrize("point", ["planned", "sent", "committing"])
def test_a_second_kill_before_it_is_known_what_arrived_changes_nothing(
    sidecar: Sidecar, point: str
) -> None:
    path = sidecar.traces / "a.jsonl"
    append(path, D1 + D2)
    cut_short(sidecar, arrived=(1,))
    now = change(path, kept=15, way="cut")
    kill_at(sidecar, point)
    assert sidecar.ship().returncode == 0
    assert count_stored(sidecar) == ids(list(dict.fromkeys(D1 + now)))
    assert problems(sidecar) == []


@pytest.mark.long
def test_what_arrived_after_something_that_did_not_comes_again_and_is_announced(
    sidecar: Sidecar,
) -> None:
    """A sink is at one place of a file: before what is missing, if that can still be read."""
    path = sidecar.traces / "a.jsonl"
    append(path, D1 + D2)
    cut_short(sidecar, arrived=(2,))
    now = change(path, kept=15, way="cut")
    done = sidecar.ship()
    assert done.returncode == 0
    [again] = find_events(done.stderr, "sink.arrived_comes_again")
    assert (again["offset"], again["bytes"]) == (len(body(D1)), len(body(D2[:5])))
    [sink] = json.loads(sidecar.ask("status", "--json").stdout)["sinks"]
    assert sink["repeated_bytes"] == again["bytes"]
    [explained] = [
        each
        for each in json.loads(sidecar.ask("explain", "--json", str(path)).stdout)["ranges"]
        if each["state"] == "live"
    ]
    assert [
        (piece["start"], piece["end"], bool(piece["detail"])) for piece in explained["pieces"]
    ] == [
        (0, len(body(D1)), False),
        (len(body(D1)), len(body(now)), True),
    ]
    assert count_stored(sidecar) == ids(now + D2)
    assert losses(sidecar) == 0


@pytest.mark.long
@pytest.mark.parametrize(("kept", "way"), WAYS)
def test_what_arrived_in_an_object_store_of_a_file_that_is_cut_or_rewritten_comes_once(
    sidecar: Sidecar, object_store: ObjectStore, kept: int, way: str
) -> None:
    into_bucket(sidecar, object_store, ACCESS_KEY, SECRET)
    path = sidecar.traces / "a.jsonl"
    append(path, D1 + D2)
    kill_at(sidecar, "sent")
    for name in object_store.objects():
        if "dt=2026-01-01" not in name:
            object_store.client().delete_object(Bucket=BUCKET, Key=name)
    now = change(path, kept=kept, way=way)
    assert sidecar.ship().returncode == 0
    contents = [
        content for name, content in object_store.objects().items() if name.endswith(".jsonl.gz")
    ]
    assert rows(contents) == ids(list(dict.fromkeys(D1 + now)))
    assert problems(sidecar) == []
