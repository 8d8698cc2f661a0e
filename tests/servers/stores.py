"""Real S3 servers: versitygw, which honours conditions, checksums and credentials, and rclone,
which ignores conditions.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.servers.processes import Server, free_port, require

ACCESS_KEY = "test-access-key"
SECRET = "first-secret-0123456789"
BUCKET = "traces"


class ObjectStore:
    """A store process on a folder; it keeps its data when it is restarted, also with another
    secret.
    """

    def __init__(self, folder: Path, *, certificate: Path | None = None) -> None:
        (folder / "root" / BUCKET).mkdir(parents=True)
        self.port = free_port()
        self.secret = SECRET
        self.folder = folder
        self._certificate = certificate
        self._scheme = "http" if certificate is None else "https"
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Its address without a proxy."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the process."""
        self._server = Server(self.command(), self.port, self.folder / "log", self.environment())
        self._server.start()

    def stop(self) -> None:
        """Stop the process."""
        if self._server is not None:
            self._server.stop()

    def accept_only(self, secret: str) -> None:
        """Start again with another secret."""
        self.stop()
        self.secret = secret
        self.start()

    def command(self) -> list[str | Path]:
        """Return the command that starts versitygw."""
        tls: list[str | Path] = (
            []
            if self._certificate is None
            else ["--cert", self._certificate, "--key", self._certificate]
        )
        address = f"127.0.0.1:{self.port}"
        binary, users, metadata = (
            require("versitygw"),
            self._make_folder("users"),
            self._make_folder("metadata"),
        )
        gateway = [binary, "--quiet", "--keep-alive", "--port", address, "--iam-dir", users, *tls]
        return [*gateway, "posix", "--sidecar", metadata, self.folder / "root"]

    def environment(self) -> dict[str, str]:
        """Return the credentials, as its environment."""
        return {**os.environ, "ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": self.secret}

    def client(self) -> Any:
        """Make a client for the tests, independent of the sink."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=self.secret,
            config=Config(
                retries={"total_max_attempts": 3, "mode": "standard"},
                s3={"addressing_style": "path"},
            ),
        )

    def objects(self) -> dict[str, bytes]:
        """Read everything back."""
        client = self.client()
        keys = [
            item["Key"]
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
            for item in page.get("Contents", ())
        ]
        return {key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}

    def open_uploads(self) -> list[str]:
        """List the keys of multipart uploads that are open."""
        return [
            upload["Key"]
            for upload in self.client().list_multipart_uploads(Bucket=BUCKET).get("Uploads", ())
        ]

    def add_user(self, access_key: str, secret: str) -> None:
        """Add a user without any rights."""
        admin = [
            str(require("versitygw")),
            "admin",
            "--access",
            ACCESS_KEY,
            "--secret",
            self.secret,
            "--endpoint-url",
            self.url,
        ]
        subprocess.run(
            [*admin, "create-user", "--access", access_key, "--secret", secret, "--role", "user"],
            check=True,
            capture_output=True,
        )

    def allow(self, access_key: str, actions: list[str]) -> None:
        """Allow a user these actions on every object, and nothing else."""
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": [access_key]},
            "Action": actions,
            "Resource": [f"arn:aws:s3:::{BUCKET}/*"],
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.client().put_bucket_policy(Bucket=BUCKET, Policy=policy)

    def _make_folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder


class IgnorantStore(ObjectStore):
    """rclone: it accepts every write, and ignores conditions."""

    def command(self) -> list[str | Path]:
        """Return the command that starts rclone."""
        address, keys = f"127.0.0.1:{self.port}", f"{ACCESS_KEY},{self.secret}"
        return [
            Path(sys.executable).with_name("rclone"),
            "serve",
            "s3",
            "--addr",
            address,
            "--auth-key",
            keys,
            self.folder / "root",
        ]


@pytest.fixture
def object_store(tmp_path: Path) -> Iterator[ObjectStore]:
    """Run a store for one test."""
    store = ObjectStore(tmp_path / "store")
    store.start()
    yield store
    store.stop()


@pytest.fixture
def ignorant_store(tmp_path: Path) -> Iterator[IgnorantStore]:
    """Run a store that ignores conditions, for one test."""
    store = IgnorantStore(tmp_path / "ignorant-store")
    store.start()
    yield store
    store.stop()
