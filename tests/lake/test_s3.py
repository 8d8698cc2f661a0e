"""A lake in S3 is verified and compacted like one in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from tests.ddl.lakes import event, rows
from tests.lake.shipped import Shipped, kinds
from tests.servers.stores import ACCESS_KEY, BUCKET, SECRET, ObjectStore
from tracesidecar.cli import main
from tracesidecar.errors import RetryLater
from tracesidecar.lake.compact import Compactor
from tracesidecar.lake.rewrite import RewriteLimits
from tracesidecar.lake.verify import verify
from tracesidecar.sinks.object_store import objects as remote_objects
from tracesidecar.sinks.object_store.s3 import sink as s3
from tracesidecar.sinks.object_store.s3.options import Options
from tracesidecar.units import Secret, Size


def options(server: ObjectStore, **changes: object) -> Options:
    usual = Options(
        name="lake",
        type="s3",
        bucket=BUCKET,
        prefix="agents",
        endpoint_url=server.url,
        access_key=Secret(ACCESS_KEY),
        secret_key=Secret(SECRET),
        path_style=True,
    )
    return msgspec.structs.replace(usual, **changes)


def upload(server: ObjectStore, folder: Path) -> None:
    client = server.client()
    for path in folder.rglob("*"):
        if path.is_file():
            client.put_object(
                Bucket=BUCKET,
                Key=f"agents/{path.relative_to(folder).as_posix()}",
                Body=path.read_bytes(),
            )


@pytest.fixture
def shipped(object_store: ObjectStore, tmp_path: Path) -> Shipped:
    made = Shipped(tmp_path / "lake")
    for each in [*rows(), rows()[1]]:
        made.batch([each])
    upload(object_store, made.root)
    return made


def test_a_bucket_is_proved_rewritten_and_proved_again(
    object_store: ObjectStore, shipped: Shipped, tmp_path: Path
) -> None:
    store = s3.open_objects(options(object_store))
    assert verify(store).problems == []
    done = list(
        Compactor(store, str(tmp_path), RewriteLimits(256 << 20)).run("2026-09-02", frozenset())
    )
    assert [(each.partition.dialect, len(each.after), each.obstacle) for each in done] == [
        (name, 1, "") for name in ("claude_code", "codex", "copilot", "generic", "otlp")
    ]
    found = verify(store)
    assert (found.problems, found.notes, found.rows, found.duplicates) == ([], [], len(rows()), 1)
    assert sorted(
        name for name in object_store.objects() if "/dt=2026-09-01/dialect=" in name
    ) == sorted(f"agents/{each.name}" for one in done for each in one.after)
    store.close()


def test_an_object_that_is_gone_or_altered_is_named(
    object_store: ObjectStore, shipped: Shipped
) -> None:
    client = object_store.client()
    client.delete_object(Bucket=BUCKET, Key=f"agents/{shipped.names[0]}")
    client.put_object(Bucket=BUCKET, Key=f"agents/{shipped.names[1]}", Body=b"x")
    assert sorted(kinds(verify(s3.open_objects(options(object_store))).problems)) == [
        "altered",
        "missing",
    ]


def test_a_listing_and_an_object_longer_than_one_answer_are_read_whole(
    object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One page of a listing has at most 1,000 keys; a large file is uploaded in parts and read in
    blocks.
    """
    folder = object_store.folder / "root" / BUCKET / "agents" / "v1"
    folder.mkdir(parents=True)
    for number in range(1005):
        (folder / f"{number:04}").touch()
    store = s3.open_objects(
        options(object_store, multipart_above=Size(1 << 20), part_size=Size(5 << 20))
    )
    assert [name for name, _ in store.list("v1/")] == [f"v1/{number:04}" for number in range(1005)]
    monkeypatch.setattr(remote_objects, "BLOCK_BYTES", 1_000_003)
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * 50_000)
    store.put("parquet/v1/large", str(large))
    assert b"".join(store.read("parquet/v1/large")) == large.read_bytes()
    assert object_store.open_uploads() == []


def test_a_store_that_is_away_is_said_and_ends_with_75(
    object_store: ObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(remote_objects, "ATTEMPTS", 1)
    path = tmp_path / "tracesidecar.toml"
    head = (
        f'state_directory = "{tmp_path}/state"\n[[source]]\nname = "agent"\n'
        f'include = ["{tmp_path}/*.jsonl"]\n'
    )
    keys = f'access_key = "{ACCESS_KEY}"\nsecret_key = "{SECRET}"\n'
    path.write_text(
        head
        + (
            f'[[sink]]\nname = "lake"\ntype = "s3"\nformat = "event"\nbucket = "{BUCKET}"\n'
            f'endpoint_url = "{object_store.url}"\npath_style = true\n'
        )
        + keys
    )
    shipped = Shipped(tmp_path / "lake")
    shipped.batch([("codex", event(1))])
    assert main(["verify", "lake", "--config", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["batches"] == 0
    object_store.stop()
    with pytest.raises(RetryLater):
        list(s3.open_objects(options(object_store)).list(""))
    assert main(["verify", "lake", "--config", str(path)]) == 75
    assert main(["compact", "lake", "--before", "2026-09-02", "--config", str(path)]) == 75
    said = capsys.readouterr().err
    assert SECRET not in said
    assert "could not be reached" in said
