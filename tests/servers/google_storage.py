"""fake-gcs-server, which honours conditions and checksums, behind a door that checks credentials:
the server itself accepts any.
"""

from __future__ import annotations

import base64
import json
import secrets
import ssl
from collections.abc import Iterator, Mapping
from functools import cache
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from tests.servers.processes import Server, free_port, require
from tests.servers.stores import SECRET

BUCKET = "traces"
SUBJECT = "what-the-cluster-says-of-a-workload"


@cache
def _key(secret: str) -> rsa.RSAPrivateKey:
    """Return the private key for a secret."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class GoogleStorage:
    """A storage process on a folder, and its door, which issues tokens to clients that sign with
    the current key.
    """

    def __init__(self, folder: Path, *, certificate: Path | None = None) -> None:
        self._inner, self.port, self._tokens = free_port(), free_port(), free_port()
        self._certificate = certificate
        self.secret = SECRET
        self.token = secrets.token_hex(8)
        # The server tells clients where to continue an upload: it must give the door's address.
        places = [
            "-host",
            "127.0.0.1",
            "-port",
            str(self._inner),
            "-external-url",
            self.url,
            "-public-host",
            f"127.0.0.1:{self.port}",
        ]
        kept: list[str | Path] = [
            "-backend",
            "filesystem",
            "-filesystem-root",
            folder / "root",
            "-log-level",
            "error",
        ]
        self._server = Server(
            [require("fake-gcs-server"), "-scheme", "http", *places, *kept],
            self._inner,
            folder / "log",
        )
        self._doors: list[ThreadingHTTPServer] = []
        (folder / "root" / BUCKET).mkdir(parents=True)

    @property
    def url(self) -> str:
        """Its address without a proxy."""
        return f"{'http' if self._certificate is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def token_url(self) -> str:
        """The address that issues tokens."""
        return f"http://127.0.0.1:{self._tokens}"

    @property
    def open_url(self) -> str:
        """Its address behind the door, which needs no credentials."""
        return f"http://127.0.0.1:{self._inner}"

    def start(self) -> None:
        """Start the process and open the doors: tokens have a host of their own, as at Google."""
        self._server.start()
        self._doors = [self._door(self.port, self._certificate), self._door(self._tokens, None)]

    def stop(self) -> None:
        """Close the doors and stop the process; it keeps its data."""
        for door in self._doors:
            door.shutdown()
            door.server_close()
        self._doors = []
        self._server.stop()

    def accept_only(self, secret: str) -> None:
        """Accept only what that secret's key has signed, and no token that was issued before."""
        self.secret, self.token = secret, secrets.token_hex(8)

    def key_file(self, secret: str) -> str:
        """Return the key file of a service account, as Google issues it."""
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        pem = _key(secret).private_bytes(encoding, form, serialization.NoEncryption()).decode()
        account = {
            "client_email": "shipper@project.iam.gserviceaccount.com",
            "private_key_id": "1",
            "private_key": pem,
        }
        return json.dumps(
            {"type": "service_account", "token_uri": f"{self.token_url}/token", **account}
        )

    def bucket(self) -> storage.Bucket:
        """Return the bucket, behind the door."""
        options = {"api_endpoint": self.open_url}
        return storage.Client(
            project="none", credentials=AnonymousCredentials(), client_options=options
        ).bucket(BUCKET)

    def objects(self) -> dict[str, bytes]:
        """Read everything back."""
        return {
            blob.name: blob.download_as_bytes(raw_download=True)
            for blob in self.bucket().list_blobs()
        }

    def token_for(self, form: Mapping[str, list[str]]) -> str | None:
        """Issue a token for the workload's own token (RFC 8693), or for an assertion (RFC 7523)
        that is signed with the current key.
        """
        if "subject_token" in form:
            return self.token if form["subject_token"] == [SUBJECT] else None
        signed, _, signature = form["assertion"][0].rpartition(".")
        try:
            _key(self.secret).public_key().verify(
                _decode(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature:
            return None
        return self.token

    def _door(self, port: int, certificate: Path | None) -> ThreadingHTTPServer:
        door = ThreadingHTTPServer(
            ("127.0.0.1", port), type("Door", (_Door,), {"store": self, "inner": self._inner})
        )
        door.daemon_threads = True
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
            door.socket = context.wrap_socket(
                door.socket, server_side=True, do_handshake_on_connect=False
            )
        Thread(target=door.serve_forever, args=(0.01,), daemon=True).start()
        return door


class _Door(BaseHTTPRequestHandler):
    store: GoogleStorage
    inner: int
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path in {"/token", "/sts"}:
            token = self.store.token_for(parse_qs(body.decode()))
            issued = "urn:ietf:params:oauth:token-type:access_token"
            grant = {
                "access_token": token,
                "issued_token_type": issued,
                "token_type": "Bearer",
                "expires_in": 3600,
            }
            self._answer(
                *(
                    (200, json.dumps(grant).encode())
                    if token
                    else (
                        400,
                        b'{"error":"invalid_grant","error_description":"Invalid JWT Signature."}',
                    )
                )
            )
        elif self.headers.get("Authorization") != f"Bearer {self.store.token}":
            self._answer(
                401,
                b'{"error":{"code":401,"message":"Invalid '
                b'Credentials","errors":[{"reason":"authError"}]}}',
            )
        else:
            self._pass_on(body)

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def log_message(self, *args: object) -> None:
        """Write no log: the tests look at what is stored."""

    def _pass_on(self, body: bytes) -> None:
        connection = HTTPConnection("127.0.0.1", self.inner, timeout=120)
        connection.request(
            self.command,
            self.path,
            body,
            {name: value for name, value in self.headers.items() if name.lower() != "connection"},
        )
        response = connection.getresponse()
        content = response.read()
        kept = ("content-type", "location", "range", "x-goog-hash", "retry-after")
        self._answer(
            response.status,
            content,
            {name: value for name, value in response.getheaders() if name.lower() in kept},
        )
        connection.close()

    def _answer(
        self, status: int, content: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        try:
            self.send_response(status)
            for name, value in (headers or {"Content-Type": "application/json"}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            self.close_connection = True  # the client has gone, as some tests intend


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.fixture
def google_storage(tmp_path: Path) -> Iterator[GoogleStorage]:
    """Run a store for one test."""
    store = GoogleStorage(tmp_path / "google")
    store.start()
    yield store
    store.stop()
