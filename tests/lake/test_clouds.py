"""Lakes at Google and Azure are verified and compacted like one in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import google_storage as google_server
from tests.servers.azurite import Azurite, key_of
from tests.servers.google_storage import GoogleStorage
from tests.servers.stores import SECRET
from tracesidecar.errors import RetryLater
from tracesidecar.sinks.object_store import objects as remote_objects
from tracesidecar.sinks.object_store.azure import sink as azure
from tracesidecar.sinks.object_store.gcs import sink as gcs
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.registry import open_stored_objects
from tracesidecar.sinks.sink import StoredObjects
from tracesidecar.units import Secret

LARGE = bytes(range(256)) * 50_000


def options_for(kind: str, server: GoogleStorage | Azurite) -> SinkOptions:
    """Return the options of a sink at the test server."""
    if isinstance(server, GoogleStorage):
        return gcs.Options(
            name="lake",
            type=kind,
            bucket=google_server.BUCKET,
            prefix="agents",
            endpoint_url=server.open_url,
        )
    key = Secret(key_of(SECRET))
    return azure.Options(
        name="lake",
        type=kind,
        container=server.container,
        prefix="agents",
        account_url=server.url,
        account_key=key,
    )


@pytest.fixture(params=["gcs", "azure"])
def options(request: pytest.FixtureRequest) -> SinkOptions:
    server = request.getfixturevalue({"gcs": "google_storage", "azure": "azurite"}[request.param])
    return options_for(request.param, server)


@pytest.fixture
def store(options: SinkOptions) -> StoredObjects:
    opened = open_stored_objects(options)
    assert opened is not None
    return opened


def test_a_file_is_put_listed_read_replaced_and_removed(
    store: StoredObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_objects, "BLOCK_BYTES", 1_000_003)
    (tmp_path / "large").write_bytes(LARGE)
    (tmp_path / "small").write_bytes(b"{}")
    store.put("parquet/v1/large", str(tmp_path / "large"))
    store.put("_manifest/v1/one.json", str(tmp_path / "small"))
    assert list(store.list("")) == [("_manifest/v1/one.json", 2), ("parquet/v1/large", len(LARGE))]
    assert list(store.list("parquet/")) == [("parquet/v1/large", len(LARGE))]
    assert b"".join(store.read("parquet/v1/large")) == LARGE
    store.put("parquet/v1/large", str(tmp_path / "small"))
    assert b"".join(store.read("parquet/v1/large")) == b"{}"
    for _ in range(2):
        store.remove("parquet/v1/large")
    with pytest.raises(FileNotFoundError):
        list(store.read("parquet/v1/large"))
    store.close()


@pytest.mark.parametrize("kind", ["gcs", "azure"])
def test_a_store_that_is_away_is_said(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_objects, "ATTEMPTS", 1)
    options: dict[str, SinkOptions] = {
        "gcs": gcs.Options(
            name="lake", type="gcs", bucket="traces", endpoint_url="http://127.0.0.1:1"
        ),
        "azure": azure.Options(
            name="lake",
            type="azure",
            container="traces",
            account_url="http://127.0.0.1:1/a",
            account_key=Secret(key_of(SECRET)),
        ),
    }
    store = open_stored_objects(options[kind])
    assert store is not None
    with pytest.raises(RetryLater, match="could not be reached"):
        list(store.list(""))
