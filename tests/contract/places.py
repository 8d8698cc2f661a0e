"""A destination under test: how to make a sink for it, and what has arrived there."""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from tests.contract.patience import PATIENT
from tests.servers.receiving import ReceivingServer
from tests.servers.stores import ACCESS_KEY, BUCKET, SECRET, ObjectStore
from tests.servers.toxiproxy import FaultyWay
from tracesidecar.model import Compression
from tracesidecar.sinks import http
from tracesidecar.sinks.directory import sink as directory
from tracesidecar.sinks.object_store.s3 import sink as s3
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.registry import sink_type
from tracesidecar.sinks.sink import Promise, Sink
from tracesidecar.sinks.stdout import sink as stdout
from tracesidecar.sinks.transport import http_auth


class Place(Protocol):
    """What the contract tests need to know about every destination."""

    type: str
    compression: Compression

    def sink(self) -> Sink:
        """Make a new sink for it."""
        ...

    def lines(self) -> list[bytes]:
        """Read back every record that it has stored, by the destination's own means.

        A repeat that it can detect counts once.
        """
        ...


class NetworkPlace(Place, Protocol):
    """A destination that is a server behind a fault proxy, with credentials in a file."""

    way: FaultyWay
    credentials: Path

    def options(self, **changes: object) -> SinkOptions:
        """Make the options of a sink for it; `changes` replaces the usual ones."""
        ...

    def sink(self, **changes: object) -> Sink:
        """Make a new sink; these options replace the usual ones."""
        ...

    def credentials_with(self, secret: str) -> str:
        """Return what the file `credentials` must hold for a secret."""
        ...

    def accept_only(self, secret: str) -> None:
        """Have the server accept only this secret from now on; at first it accepts `SECRET`."""
        ...

    def start_server(self) -> None:
        """Start the server, for the first time or again."""
        ...

    def stop_server(self) -> None:
        """Stop the server; it keeps what it has stored."""
        ...

    def writes(self) -> int:
        """Return how many objects or requests it has stored."""
        ...


def promise(place: Place) -> Promise:
    """Return the promise of the sink's type."""
    return sink_type(place.type).promise


@dataclass
class Folder:
    """The destination of the directory sink."""

    path: Path
    type: str = "directory"
    compression: Compression = "gzip"

    def sink(self) -> Sink:
        """Make a new sink for it."""
        return directory.build(
            directory.Options(name="lake", type="directory", path=str(self.path))
        )

    def lines(self) -> list[bytes]:
        """Read back every record that it has stored."""
        objects = sorted(self.path.rglob("*.jsonl.gz"))
        return [
            line
            for path in objects
            for line in gzip.decompress(path.read_bytes()).split(b"\n")[:-1]
        ]


@dataclass
class OutputFile:
    """The destination of the stdout sink: a file behind the descriptor."""

    path: Path
    type: str = "stdout"
    compression: Compression = "none"

    def __post_init__(self) -> None:
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def sink(self) -> Sink:
        """Make a new sink for it."""
        return stdout.StdoutSink(self._descriptor)

    def lines(self) -> list[bytes]:
        """Read back every record that it has stored."""
        return self.path.read_bytes().split(b"\n")[:-1]

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


@dataclass
class Endpoint:
    """The destination of the HTTP sink."""

    receiver: ReceivingServer
    way: FaultyWay
    credentials: Path
    type: str = "http"
    compression: Compression = "gzip"
    secret: str = SECRET

    def options(self, **changes: object) -> http.Options:
        """Make the options of a sink that goes through the fault proxy."""
        usual = http.Options(
            name="web",
            type="http",
            url=f"http://127.0.0.1:{self.way.port}/ingest",
            auth=http_auth.Bearer(token_file=str(self.credentials)),
        )
        return msgspec.structs.replace(usual, **(PATIENT | changes))

    def sink(self, **changes: object) -> Sink:
        """Make a new sink for it; `changes` replaces the usual options."""
        return http.build(self.options(**changes))

    def lines(self) -> list[bytes]:
        """Read back every record that it has stored."""
        return self.receiver.read_kept_lines()

    def credentials_with(self, secret: str) -> str:
        """Return what the file `credentials` must hold for a secret."""
        return f"{secret}\n"

    def accept_only(self, secret: str) -> None:
        """Have the server accept only this secret from now on."""
        self.secret = secret
        self.receiver.order(authorization=f"Bearer {secret}")

    def writes(self) -> int:
        """Return how many requests it has stored."""
        return sum(request.kept for request in self.receiver.requests())

    def start_server(self) -> None:
        """Start the server, for the first time or again."""
        self.receiver.server.start()
        self.accept_only(self.secret)

    def stop_server(self) -> None:
        """Stop the server; it keeps what it has stored."""
        self.receiver.server.stop()


@dataclass
class BucketPlace:
    """The destination of the S3 sink."""

    store: ObjectStore
    way: FaultyWay
    credentials: Path
    type: str = "s3"
    compression: Compression = "gzip"

    def options(self, **changes: object) -> s3.Options:
        """Make the options of a sink that goes through the fault proxy."""
        usual = s3.Options(
            name="lake",
            type="s3",
            prefix="agents",
            path_style=True,
            bucket=BUCKET,
            endpoint_url=f"http://127.0.0.1:{self.way.port}",
            credentials_file=str(self.credentials),
        )
        return msgspec.structs.replace(usual, **(PATIENT | changes))

    def sink(self, **changes: object) -> Sink:
        """Make a new sink for it; `changes` replaces the usual options."""
        return s3.build(self.options(**changes))

    def lines(self) -> list[bytes]:
        """Read back every record that it has stored."""
        objects = sorted(
            (key, content)
            for key, content in self.store.objects().items()
            if key.endswith(".jsonl.gz")
        )
        return [
            line for _, content in objects for line in gzip.decompress(content).split(b"\n")[:-1]
        ]

    def writes(self) -> int:
        """Return how many data objects it has."""
        return sum(key.endswith(".jsonl.gz") for key in self.store.objects())

    def credentials_with(self, secret: str) -> str:
        """Return what the file `credentials` must hold for a secret."""
        return f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {secret}\n"

    def accept_only(self, secret: str) -> None:
        """Have the server accept only this secret from now on."""
        self.store.accept_only(secret)

    def start_server(self) -> None:
        """Start the server, for the first time or again."""
        self.store.start()

    def stop_server(self) -> None:
        """Stop the server; it keeps what it has stored."""
        self.store.stop()
