"""moto: an S3 simulator that reports an object's encryption, storage class and lock, which the
other servers do not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.servers.processes import Server, free_port

BUCKET = "locked"


class Moto:
    """The simulator as a process, with a bucket that has Object Lock; any credentials will do."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self._server = Server(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)],
            self._port,
            folder / "log",
        )

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start the process and make the bucket."""
        self._server.start()
        self.client().create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)

    def stop(self) -> None:
        """Stop the process."""
        self._server.stop()

    def client(self) -> Any:
        """Make a client for the tests."""
        config = Config(
            retries={"total_max_attempts": 3, "mode": "standard"}, s3={"addressing_style": "path"}
        )
        keys = {
            "aws_access_key_id": "any",
            "aws_secret_access_key": "any",
            "region_name": "us-east-1",
        }
        return boto3.client("s3", endpoint_url=self.url, config=config, **keys)


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """Run one moto server for all tests."""
    server = Moto(tmp_path_factory.mktemp("moto"))
    server.start()
    yield server
    server.stop()
