"""An HTTP server that keeps every request on disk and answers as ordered; it runs as a process of
its own.

`PUT /_control` sets how it answers: {"answers": [{"status", "headers", "body" or "body_base64",
"delay_seconds"}, …]} are used up one by one by requests that write ({"every_method": true}: by all
requests); then an {"intake"} of `intakes.py` decides, or {"authorization", "poison",
"record_limit_bytes"}. `POST /_token` is an OAuth2 token endpoint, which takes the orders
{"token_seconds"} and {"token_status"}.
`kept` in the file of requests says whether the response was a 2xx, and so whether the server has
stored the records.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import ssl
from pathlib import Path
from typing import Any

from aiohttp import web
from intakes import INTAKES

from tracesidecar.encode.jsonl import decode_lines
from tracesidecar.model import Compression


class Receiver:
    """The server's state."""

    def __init__(self, store: Path) -> None:
        self._store = store.open("ab", buffering=0)
        self._control: dict[str, Any] = {}
        self._tokens = 0

    async def control(self, request: web.Request) -> web.Response:
        """Store new orders."""
        self._control = json.loads(await request.read())
        self._tokens = self._control.get("tokens_given", self._tokens)
        return web.Response(status=204)

    async def token(self, request: web.Request) -> web.Response:
        """Issue an access token to the right client, a new one each time."""
        if "token_status" in self._control:
            return web.Response(status=self._control["token_status"])
        form = dict(await request.post())
        client = base64.b64encode(b"client+id:client%2Fsecret").decode()
        if (
            request.headers.get("Authorization") != f"Basic {client}"
            or form.get("grant_type") != "client_credentials"
        ):
            return web.json_response({"error": "invalid_client"}, status=401)
        self._tokens += 1
        lifetime = self._control.get("token_seconds", 3600)
        return web.json_response(
            {
                "access_token": f"token-{self._tokens}",
                "token_type": "Bearer",
                "expires_in": lifetime,
            }
        )

    async def take(self, request: web.Request) -> web.Response:
        """Keep a request and answer it."""
        body = await request.read()
        answers = self._control.get("answers")
        if (
            isinstance(answers, list)
            and answers
            and (request.method != "HEAD" or self._control.get("every_method"))
        ):
            answer = answers.pop(0)
        else:
            answer = self._judge(request, body)
        record = {
            "method": request.method,
            "path": request.path_qs,
            "headers": dict(request.headers),
            "body": base64.b64encode(body).decode(),
            "status": answer["status"],
            "kept": 200 <= answer["status"] < 300,
        }
        self._store.write(json.dumps(record).encode() + b"\n")
        await asyncio.sleep(answer.get("delay_seconds", 0))
        return web.Response(
            status=answer["status"],
            headers=[
                (name, value)
                for name, values in answer.get("headers", {}).items()
                for value in ([values] if isinstance(values, str) else values)
            ],
            body=base64.b64decode(answer.get("body_base64", "")) or answer.get("body", "").encode(),
        )

    def _judge(self, request: web.Request, body: bytes) -> dict[str, Any]:
        if "intake" not in self._control:
            return {"status": self._status(request, body)}
        plain = decode_lines(body, compression_of(request))
        status, said = INTAKES[self._control["intake"]](request.headers, plain, self._control)
        return {"status": status, "body": said if isinstance(said, str) else json.dumps(said)}

    def _status(self, request: web.Request, body: bytes) -> int:
        wanted = self._control.get("authorization")
        if wanted is not None and request.headers.get("Authorization") != wanted:
            return 401
        if request.method == "HEAD":
            return 405
        plain = decode_lines(body, compression_of(request))
        limit = self._control.get("record_limit_bytes")
        if limit is not None and any(len(line) > limit for line in plain.split(b"\n")):
            return 413
        poison = self._control.get("poison")
        return 400 if poison is not None and poison.encode() in plain else 204


def compression_of(request: web.Request) -> Compression:
    """Return the compression of a request's body."""
    known: dict[str, Compression] = {"none": "none", "gzip": "gzip", "zstd": "zstd"}
    return known[request.headers.get("Content-Encoding", "none")]


def tls_context(certificate: Path | None, client_ca: Path | None) -> ssl.SSLContext | None:
    """Return a context for TLS if there is a certificate; require clients' if there is a CA for
    them.
    """
    if certificate is None:
        return None
    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cafile=None if client_ca is None else str(client_ca)
    )
    context.load_cert_chain(certificate)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--client-ca", type=Path)
    arguments = parser.parse_args()
    receiver = Receiver(arguments.store)
    app = web.Application(client_max_size=1 << 30)
    app.router.add_put("/_control", receiver.control)
    app.router.add_post("/_token", receiver.token)
    app.router.add_route("*", "/{path:.*}", receiver.take)
    context = tls_context(arguments.certificate, arguments.client_ca)
    web.run_app(
        app,
        host="127.0.0.1",
        port=arguments.port,
        ssl_context=context,
        auto_decompress=False,
        access_log=None,
        print=None,
    )


if __name__ == "__main__":
    main()
