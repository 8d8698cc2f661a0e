"""A gate in front of a real server: it requires credentials, speaks TLS, can answer in place of the
server, and forwards all other requests unchanged.

usage: gate.py --port N --upstream N --orders FILE --seen FILE [--certificate FILE [--client-ca
FILE]]
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

import aiohttp
from aiohttp import web
from receiver import tls_context  # beside this script
from yarl import URL

KEPT_HEADERS = ("Content-Type", "Content-Encoding")


class Gate:
    """Reads its orders again for each request, because a test writes them while it runs."""

    def __init__(self, upstream: int, orders: Path, seen: Path) -> None:
        self._upstream = f"http://127.0.0.1:{upstream}"
        self._orders = orders
        self._seen = seen
        self._given: dict[str, int] = {}
        self._written = ""

    async def take(self, request: web.Request) -> web.Response:
        """Answer one request."""
        body = await request.read()
        response = await self._answer(request, body)
        line = {
            "path": request.path,
            "bytes": len(body),
            "status": response.status,
            "encoding": request.headers.get("Content-Encoding"),
        }
        with self._seen.open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")
        return response

    async def _answer(self, request: web.Request, body: bytes) -> web.Response:
        written = self._orders.read_text()
        if written != self._written:
            self._written, self._given = written, {}
        orders = json.loads(written)
        if (
            orders["authorization"] is not None
            and request.headers.get("Authorization") != orders["authorization"]
        ):
            return web.Response(status=401)
        for ending, answers in orders["answers"].items():
            number = self._given.get(ending, 0)
            if request.path.endswith(ending) and number < len(answers):
                self._given[ending] = number + 1
                if answers[number] != {}:
                    return await _answer_as_ordered(answers[number])
        return await self._forward(request, body)

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        headers = {name: request.headers[name] for name in KEPT_HEADERS if name in request.headers}
        url = URL(f"{self._upstream}{request.raw_path}", encoded=True)
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, url, data=body, headers=headers) as response,
        ):
            return web.Response(
                status=response.status,
                body=await response.read(),
                content_type=response.content_type,
            )


async def _answer_as_ordered(answer: dict[str, object]) -> web.Response:
    await asyncio.sleep(float(str(answer.get("delay_seconds", 0))))
    body = str(answer.get("body", "")).encode()
    headers = answer.get("headers")
    assert headers is None or isinstance(headers, dict)
    return web.Response(status=int(str(answer["status"])), headers=headers, body=body)


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    for name in ("port", "upstream"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("orders", "seen"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--client-ca", type=Path)
    arguments = parser.parse_args()
    gate = Gate(arguments.upstream, arguments.orders, arguments.seen)
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", gate.take)
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
