"""A batch of which some objects arrived in Google's or Azure's store before the process ended, and
whose source then changed: what arrived counts object by object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.daemon.sidecar import Sidecar, append, body
from tests.daemon.test_crash import kill_at, remove_links
from tests.faults.test_half_arrived import BATCH, ids, losses, make_messages, problems, rows
from tests.servers.azurite import Azurite, key_of
from tests.servers.google_storage import BUCKET, GoogleStorage
from tests.servers.stores import SECRET

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class StorePlace:
    """A store: the options of a sink for it, what is in it, and how to remove an object."""

    options: str
    objects: Callable[[], dict[str, bytes]]
    remove: Callable[[str], object]


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    folder = tmp_path / "sidecar"
    folder.mkdir()
    sidecar = Sidecar(folder)
    yield sidecar
    sidecar.kill()


@pytest.fixture
def gcs_store(google_storage: GoogleStorage, tmp_path: Path) -> StorePlace:
    credentials = tmp_path / "google.json"
    credentials.write_text(google_storage.key_file(SECRET))
    return StorePlace(
        f'type = "gcs"\nbucket = "{BUCKET}"\nendpoint_url = "{google_storage.url}"\n'
        f'credentials_file = "{credentials}"',
        google_storage.objects,
        lambda name: google_storage.bucket().blob(name).delete(),
    )


@pytest.fixture
def azure_store(azurite: Azurite) -> StorePlace:
    return StorePlace(
        f'type = "azure"\ncontainer = "{azurite.container}"\n'
        f'account_url = "{azurite.url}"\naccount_key = "{key_of(SECRET)}"',
        azurite.objects,
        lambda name: azurite.client().delete_blob(name),
    )


@pytest.fixture
def store(request: pytest.FixtureRequest, sidecar: Sidecar) -> StorePlace:
    found: StorePlace = request.getfixturevalue(request.param)
    sidecar.configure(f'[[sink]]\nname = "lake"\n{found.options}\n{BATCH}')
    return found


def cut_short(sidecar: Sidecar, store: StorePlace, day: int) -> None:
    """Leave what a kill between two objects leaves: those of one day, and no manifest."""
    kill_at(sidecar, "sent")
    for name in store.objects():
        if f"dt=2026-01-{day:02d}" not in name:
            store.remove(name)
    remove_links(sidecar)


def read_objects(store: StorePlace) -> list[bytes]:
    return [content for name, content in store.objects().items() if name.endswith(".jsonl.gz")]


@pytest.mark.parametrize("store", ["gcs_store", "azure_store"], indirect=True)
@pytest.mark.parametrize("change", ["deleted", "rewritten", "truncated"])
def test_what_arrived_counts_object_by_object(
    sidecar: Sidecar, store: StorePlace, change: str
) -> None:
    path, other = sidecar.traces / "a.jsonl", sidecar.traces / "b.jsonl"
    append(path, make_messages(1, 0) + make_messages(2, 0))
    append(other, make_messages(1, 20) + make_messages(3, 20))
    cut_short(sidecar, store, day=1)
    fresh = [] if change == "deleted" else make_messages(4, 0, 3)
    if change == "deleted":
        other.unlink()
    elif change == "truncated":
        with other.open("r+b") as file:
            file.truncate()
        append(other, fresh)
    else:
        other.with_suffix(".tmp").write_bytes(body(fresh))
        other.with_suffix(".tmp").replace(other)
    assert sidecar.ship().returncode == 0
    assert rows(read_objects(store)) == ids(
        make_messages(1, 0) + make_messages(2, 0) + make_messages(1, 20) + fresh
    )
    assert losses(sidecar) == len(body(make_messages(3, 20)))
    assert problems(sidecar) == []


@pytest.mark.parametrize("store", ["gcs_store", "azure_store"], indirect=True)
def test_what_arrived_whole_is_not_lost_with_its_file(sidecar: Sidecar, store: StorePlace) -> None:
    append(sidecar.traces / "a.jsonl", make_messages(1, 0) + make_messages(2, 0))
    kill_at(sidecar, "sent")
    remove_links(sidecar)
    (sidecar.traces / "a.jsonl").unlink()
    assert sidecar.ship().returncode == 0
    assert rows(read_objects(store)) == ids(make_messages(1, 0) + make_messages(2, 0))
    assert losses(sidecar) == 0
    assert problems(sidecar) == []
