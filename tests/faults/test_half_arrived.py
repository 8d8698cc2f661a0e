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
