"""An acknowledgement is judged by its content: a page for people is none, and no message repeats
what was sent.
"""

from __future__ import annotations

import base64
import gzip
import json
import secrets
import zlib
from typing import Any
from urllib.parse import quote

import pytest

from tests.contract.batches import batch_for, lines_of
from tests.contract.deliveries import delivery
from tests.servers.receiving import ReceivingServer
from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.sinks.registry import build_sink, sink_type
from tracesidecar.sinks.sink import Sink
from tracesidecar.sinks.transport.excerpts import make_excerpt
from tracesidecar.sinks.transport.http_auth import Basic, Bearer, OAuth2
from tracesidecar.sinks.transport.http_responses import HttpRequest, HttpResponse
from tracesidecar.units import Seconds, Secret

PASSWORD = "correct+horse/battery"
PAGE = "<!DOCTYPE html><html><head><title>Log on</title></head><body>Who are you?</body></html>"
HTML = {"Content-Type": "text/html; charset=utf-8"}
JSON = {"Content-Type": "application/json"}

PATHS = {
    "datadog": "/api/v2/logs",
    "elasticsearch": "",
    "http": "/hook/T0123456789/s3cr3t-hook-path",
    "loki": "/loki/api/v1/push",
    "otlp": "/v1/logs",
    "splunk": "",
}
CREDENTIALS: dict[str, dict[str, object]] = {
    "datadog": {"api_key": Secret(PASSWORD)},
    "elasticsearch": {"auth": Basic(username="agent", password=Secret(PASSWORD))},
    "http": {"auth": Basic(username="agent", password=Secret(PASSWORD)), "probe": False},
    "loki": {"auth": Bearer(token=Secret(PASSWORD))},
    "otlp": {"auth": Bearer(token=Secret(PASSWORD))},
    "splunk": {"token": Secret(PASSWORD)},
}
YES: dict[str, list[dict[str, Any]]] = {
    "datadog": [
        {"status": 202, "body": "{}"},
        {"status": 202},
        {"status": 200, "body": "{}"},
        {"status": 200, "body": '{"status":"ok"}'},
    ],
    "elasticsearch": [],
    "http": [
        {"status": 200},
        {"status": 203},
        {"status": 204, "headers": HTML},
        {"status": 202, "body": "queued"},
        {"status": 200, "headers": {"Content-Type": "text/plain; charset=idna"}, "body": "ok"},
        {"status": 200, "headers": {"Content-Type": "text/plain; charset=undefined"}, "body": "ok"},
        {"status": 200, "body": '{"error": null}', "headers": JSON},
        {"status": 200, "body": '{"error": "who knows"}', "headers": JSON},
        {"status": 200, "body": "<?xml version='1.0'?><response>stored</response>"},
        {"status": 200, "body": "<a:stored/>"},
    ],
    "loki": [{"status": 204}, {"status": 200}, {"status": 204, "headers": HTML}],
    "otlp": [
        {"status": 200},
        {"status": 200, "body": "{}", "headers": JSON},
        {"status": 200, "body": '{"partialSuccess":{}}'},
        {"status": 200, "headers": {"Content-Type": "application/x-protobuf"}},
    ],
    "splunk": [
        {"status": 200, "body": '{"text":"Success","code":0}'},
        {"status": 200, "body": '{"text":"Success","code":0,"ackId":7}'},
    ],
}
PROBES: dict[str, list[dict[str, Any]]] = {
    **{name: answers[:1] for name, answers in YES.items()},
    "elasticsearch": [{"status": 405}],
    "http": [],
}


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


NO: dict[str, dict[str, Any]] = {
    "a login page": {"status": 200, "headers": HTML, "body": PAGE},
    "a page that is called JSON": {"status": 200, "headers": JSON, "body": f"\n {PAGE}"},
    "a page without a type": {"status": 202, "body": PAGE.lower()},
    "a compressed page": {
        "status": 200,
        "headers": {**HTML, "Content-Encoding": "gzip"},
        "body_base64": in_base64(gzip.compress(PAGE.encode())),
    },
    "a page in a coding that was not offered": {
        "status": 200,
        "headers": {"Content-Encoding": "deflate"},
        "body_base64": in_base64(zlib.compress(PAGE.encode())),
    },
    "a page that is compressed twice": {
        "status": 200,
        "headers": {"Content-Encoding": "gzip, gzip"},
        "body_base64": in_base64(gzip.compress(gzip.compress(PAGE.encode()))),
    },
    "a page in UTF-16": {"status": 200, "body_base64": in_base64(PAGE.encode("utf-16"))},
    "a page in a charset that nobody knows": {
        "status": 200,
        "headers": {"Content-Type": "text/html; charset=klingon"},
        "body": PAGE,
    },
    "a huge page": {"status": 200, "headers": HTML, "body": PAGE * 100_000},
    "an XHTML page": {
        "status": 200,
        "headers": {"Content-Type": "application/xhtml+xml"},
        "body": "<?xml version='1.0'?><html/>",
    },
    "a type that is there twice": {
        "status": 200,
        "headers": {"Content-Type": "text/html, text/html"},
        "body": "<p>Who are you?</p>",
    },
    "a type that is there twice, of a page the second time": {
        "status": 200,
        "headers": {"Content-Type": ["application/json", "text/html"]},
        "body": "Who are you?",
    },
    "two types in one header": {
        "status": 200,
        "headers": {"Content-Type": "application/json; charset=utf-8, text/html"},
        "body": "Who are you?",
    },
    "a page after many blanks": {"status": 200, "headers": JSON, "body": " \n" * 4000 + PAGE},
    "HTML without a body": {"status": 200, "headers": HTML},
    "a paragraph without a type": {"status": 200, "body": "<p>Who are you?</p>"},
    "a heading that is called text": {
        "status": 200,
        "headers": {"Content-Type": "text/plain"},
        "body": "<h1 class='x'>Log on</h1>",
    },
    "a comment without an end": {"status": 200, "body": "<!-- served by proxy 7" + " " * 4000},
    "a comment, then text": {"status": 200, "body": "<!-- proxy 7 -->Who are you?"},
    "a page after a mark and blanks": {"status": 200, "body": f"\n\ufeff \ufeff\r\n{PAGE}"},
    "a page in UTF-16 without a mark": {
        "status": 200,
        "body_base64": in_base64(PAGE.encode("utf-16-be")),
    },
    "a link": {"status": 200, "body": '<A\nHREF="/login">Log on</A>'},
}
NOT_THE_PROTOCOLS: dict[str, dict[str, Any]] = {
    "an error of another protocol": {"status": 200, "body": '{"error":"who is this?"}'},
    "truncated JSON": {"status": 200, "headers": JSON, "body": '{"text":"Success","co'},
    "a success that a proxy has changed": {"status": 203, "body": "{}"},
    "an empty success that a proxy has changed": {"status": 203},
    "code 0 of another protocol": {
        "status": 200,
        "headers": JSON,
        "body": '{"code":0,"data":{"login":"https://x/"},"msg":"please log in"}',
    },
    "code 0 of a text that is none": {"status": 200, "body": '{"text":null,"code":0}'},
    "code 0, a text and more": {"status": 200, "body": '{"text":"no","code":0,"login":"/"}'},
    "code 0 without a text": {"status": 200, "headers": JSON, "body": '{"code":0}'},
    "a code that is no number": {"status": 200, "body": '{"text":"Success","code":"0"}'},
    "a code with a fraction": {"status": 200, "body": '{"text":"Success","code":0.0}'},
    "ok, and a login": {"status": 200, "body": '{"status":"ok","message":"log in"}'},
    "an answer about spans": {"status": 200, "body": '{"partialSuccess":{"rejectedSpans":"20"}}'},
    "items of nothing": {"status": 200, "body": '{"errors":false,"items":[]}'},
    "more items than documents": {
        "status": 200,
        "body": '{"items":[' + ",".join(['{"create":{"status":201}}'] * 4) + "]}",
    },
    "items of other documents": {
        "status": 200,
        "body": '{"items":[' + ",".join(['{"create":{"_id":"x","status":201}}'] * 3) + "]}",
    },
    "more rejected records than were sent": {
        "status": 200,
        "body": '{"partialSuccess":{"rejectedLogRecords":"4"}}',
    },
    "items of another protocol": {
        "status": 200,
        "body": '{"items":[' + ",".join(['{"login":{"status":200}}'] * 3) + "]}",
    },
    "a list": {"status": 200, "headers": JSON, "body": "[]"},
    "five thousand brackets": {"status": 200, "headers": JSON, "body": '{"x":' * 5000},
    "a charset that takes no wrong bytes": {
        "status": 200,
        "headers": {"Content-Type": "text/plain; charset=idna"},
        "body": "not\u00e4.." * 9,
    },
    "a word": {"status": 200, "headers": {"Content-Type": "text/plain"}, "body": "OK"},
    "another encoding than is declared": {
        "status": 200,
        "headers": {"Content-Encoding": "gzip"},
        "body": "not compressed at all",
    },
    "a bomb": {
        "status": 200,
        "headers": {"Content-Encoding": "gzip"},
        "body_base64": in_base64(gzip.compress(b" " * (64 << 20))),
    },
}


def sink_for(name: str, port: int, **changes: object) -> Sink:
    more: dict[str, Any] = {
        "url": f"http://127.0.0.1:{port}{PATHS[name]}",
        "timeout": Seconds(60),
        **CREDENTIALS[name],
        **({"check_template": False} if name == "elasticsearch" else {}),
        **changes,
    }
    return build_sink(sink_type(name).options(name="x", type=name, **more))


async def error_of(
    receiver: ReceivingServer, name: str, answer: dict[str, Any], **changes: object
) -> RetryLater | None:
    """Send a batch to a server that answers so; return the RetryLater, None if it acknowledges."""
    receiver.order(answers=[*PROBES[name], answer])
    async with sink_for(name, receiver.port, **changes) as sink:
        try:
            await sink.send(batch_for(name, lines_of(3)))
        except RetryLater as error:
            return error
    return None


@pytest.mark.parametrize("name", sorted(YES))
async def test_what_the_destination_answers_is_a_yes(receiver: ReceivingServer, name: str) -> None:
    for answer in YES[name]:
        assert await error_of(receiver, name, answer) is None, answer


@pytest.mark.parametrize("name", sorted(PATHS))
async def test_a_page_for_people_is_no_yes_and_is_described(
    receiver: ReceivingServer, name: str
) -> None:
    kinds = NO if name in {"http", "otlp"} else ["a login page", "a compressed page", "a huge page"]
    for kind in kinds:
        answer = NO[kind]
        error = await error_of(receiver, name, answer)
        assert error is not None, kind
        assert error.reason == "answer", kind
        assert f"127.0.0.1:{receiver.port} answered {answer['status']}" in str(error), kind
    error = await error_of(receiver, name, NO["a login page"])
    assert f"text/html, {len(PAGE)} bytes, beginning '{PAGE[:80]}'" in str(error)
    error = await error_of(receiver, name, NO["a huge page"])
    assert "text/html, at least " in str(error)


@pytest.mark.parametrize("name", sorted(set(PATHS) - {"http"}))
async def test_a_body_that_is_not_of_the_protocol_is_no_yes(
    receiver: ReceivingServer, name: str
) -> None:
    for kind, answer in NOT_THE_PROTOCOLS.items():
        error = await error_of(receiver, name, answer)
        assert (kind, error and error.reason) == (kind, "answer")


@pytest.mark.parametrize("name", sorted(PATHS))
async def test_a_page_that_comes_with_400_rejects_no_record(
    receiver: ReceivingServer, name: str
) -> None:
    for status in (400, 422, 413):
        for page in ({"headers": HTML, "body": PAGE}, {"body": "<p>Who are you?</p>"}):
            error = await error_of(receiver, name, {"status": status, **page})
            assert error is not None
            assert (error.reason, f"answered {status}" in str(error)) == ("answer", True)


@pytest.mark.parametrize("name", sorted(PATHS))
async def test_a_page_that_calls_a_large_request_too_large_is_about_the_request(
    receiver: ReceivingServer, name: str
) -> None:
    """nginx answers so above `client_max_body_size`: smaller requests pass."""
    page = {"status": 413, "headers": HTML, "body": "<html><h1>413 Entity Too Large</h1></html>"}
    lines = [b'{"n":%d,"text":"%s"}' % (n, secrets.token_hex(8 << 10).encode()) for n in range(2)]
    stored = {
        "elasticsearch": {"status": 200, "body": '{"items":[{"create":{"status":201}}]}'},
        **{other: YES[other][0] for other in PATHS if other != "elasticsearch"},
    }[name]
    receiver.order(answers=[*PROBES[name], page, stored, stored])
    async with sink_for(name, receiver.port) as sink:
        assert await delivery(sink).send(batch_for(name, lines)) == ()


async def test_a_page_is_a_rejection_if_the_configuration_says_so(
    receiver: ReceivingServer,
) -> None:
    from tracesidecar.sinks.http.responses import Expectation

    page = {"status": 400, "headers": HTML, "body": PAGE}
    changes: list[dict[str, object]] = [
        {"status": {"400": "reject"}},
        {"expect": Expectation(header="Content-Type: text/html")},
    ]
    for change in changes:
        with pytest.raises(Rejected, match="answered 400"):
            await error_of(receiver, "http", page, **change)


@pytest.mark.parametrize("name", sorted(set(PATHS) - {"elasticsearch", "http"}))
async def test_a_login_page_is_noticed_at_the_start(receiver: ReceivingServer, name: str) -> None:
    receiver.order(answers=[NO["a login page"]])
    with pytest.raises(RetryLater, match="text/html"):
        await sink_for(name, receiver.port).__aenter__()


async def test_a_redirect_to_a_login_is_not_followed(receiver: ReceivingServer) -> None:
    for name in PATHS:
        answer = {"status": 302, "headers": {**HTML, "Location": "/login"}, "body": PAGE}
        error = await error_of(receiver, name, answer)
        assert (name, error and error.reason) == (name, "redirected")


ECHOES = {
    "the password": PASSWORD,
    "a part of it": "horse/ba",
    "it in upper case": PASSWORD.upper(),
    "it percent-encoded": quote(PASSWORD, safe=""),
    "it in base64": base64.b64encode(b"xy" + PASSWORD.encode()).decode(),
    "it in hexadecimal": PASSWORD.encode().hex(),
    "it as entities": "".join(f"&#{ord(character)};" for character in PASSWORD),
    "it escaped": "".join(f"\\u{ord(character):04x}" for character in PASSWORD),
    "it with blanks between": " ".join(PASSWORD),
    "the body": lines_of(3)[0].decode()[30:60],
    "the body, escaped": json.dumps(lines_of(3)[0].decode()[:40]),
}


@pytest.mark.parametrize("name", sorted(PATHS))
async def test_an_answer_that_repeats_what_was_sent_is_not_shown(
    receiver: ReceivingServer, name: str
) -> None:
    kinds = ECHOES if name == "http" else ["a part of it", "it in base64", "the body"]
    for kind in kinds:
        echo = ECHOES[kind]
        answer = {"status": 200, "headers": HTML, "body": f"<p>{echo}</p>"}
        error = await error_of(receiver, name, answer)
        assert error is not None
        assert (kind, "not shown, because it repeats what was sent" in str(error)) == (kind, True)
        assert echo not in str(error)


async def test_an_answer_that_repeats_the_path_or_a_header_is_not_shown(
    receiver: ReceivingServer,
) -> None:
    headers = {"X-Tenant": Secret("blue-monday")}
    for echo in ("s3cr3t-hook-path", "T0123456789", "BLUE-MONDAY", "agent:correct+horse"):
        answer = {"status": 200, "headers": HTML, "body": f"<p>{echo}</p>"}
        error = await error_of(receiver, "http", answer, headers=headers)
        assert error is not None
        assert "not shown" in str(error), echo
    for content_type in ("text/blue-monday", f"a/{PASSWORD}", "text/html" + "x" * 500):
        answer = {"status": 200, "headers": {"Content-Type": content_type}, "body": "<html>"}
        error = await error_of(receiver, "http", answer, headers=headers)
        assert error is not None
        assert "an odd content type" in str(error)


async def test_a_credential_of_few_characters_is_not_shown_either(
    receiver: ReceivingServer,
) -> None:
    for auth in (
        Basic(username="someone", password=Secret("hunter2")),
        Bearer(token=Secret("hunter2")),
        Bearer(token=Secret("pä$$")),
    ):
        secret = "pä$$" if isinstance(auth, Bearer) and auth.token == "pä$$" else "hunter2"
        for echo in (secret, secret.upper(), in_base64(f"x:{secret}".encode())):
            answer = {"status": 200, "headers": HTML, "body": f"<p>{echo}</p>"}
            error = await error_of(receiver, "http", answer, auth=auth)
            assert (echo, "not shown" in str(error)) == (echo, True)
    answer = {"status": 200, "headers": HTML, "body": "<p>a bearer token is needed</p>"}
    error = await error_of(receiver, "http", answer, auth=Bearer(token=Secret("hunter2")))
    assert "a bearer token is needed" in str(error)


async def test_a_secret_in_an_answer_is_redacted(receiver: ReceivingServer) -> None:
    secret = "AKIA" + "Z7QXTKW4MNRBVC2P"
    answer = {"status": 200, "headers": HTML, "body": f"<html>key {secret} of a stranger"}
    error = await error_of(receiver, "otlp", answer)
    assert error is not None
    assert secret not in str(error)
    assert "[REDACTED:" in str(error)


@pytest.mark.parametrize(("end", "is_page"), [("<Error/>", False), ("<html>", True)])
def test_many_comments_before_an_answer_do_not_stop_the_process(end: str, is_page: bool) -> None:
    # one with 40 comments took as long as 2 to the power of 40 attempts, and held up all sinks
    body = '<?xml version="1.0"?>' + 100 * "<!-- note --> " + end
    response = HttpResponse(200, {}, body.encode(), HttpRequest("https://hook.test", {}))
    assert response.is_html is is_page


@pytest.mark.parametrize("charset", ["punycode", "utf-7", "unicode_escape", "hz", "cp037", "zlib"])
def test_a_body_is_read_by_few_charsets_only(charset: str) -> None:
    """`punycode` takes 20 s for the MiB that a hostile server may send."""
    body = b"-" + b"a1b2" * (64 << 10) + b"~{ +AGg- \\u0068"
    headers = {"Content-Type": f"text/plain; charset={charset}"}
    assert HttpResponse(200, headers, body, HttpRequest("x", {})).text == body.decode()


def test_a_body_is_read_by_its_own_charset() -> None:
    for charset in ("utf-16", "UTF-16LE", "iso-8859-1", "windows-1252", "utf-8", "us-ascii"):
        body = ("<html>" if charset == "us-ascii" else "<html>\u00e9").encode(charset)
        headers = {"Content-Type": f'text/plain; charset="{charset}"'}
        assert HttpResponse(200, headers, body, HttpRequest("x", {})).is_html


def test_an_excerpt_is_one_short_line() -> None:
    assert make_excerpt("a\n\tb\x00\x1b[31m\u2028c" + "d" * 500, ()) == "a b [31m c" + "d" * 70
    assert make_excerpt("", [b"anything"]) == ""
    assert make_excerpt("seven77", [b"seven77"]) == "seven77"
    assert make_excerpt("eight888", [b"eight888"]) is None


@pytest.mark.parametrize(
    ("expect", "answer", "is_yes"),
    [
        ({"status": [200]}, {"status": 200}, True),
        ({"status": [200]}, {"status": 202}, False),
        ({"status": [200]}, NO["a login page"], False),
        ({"status": [202, 409]}, {"status": 409}, True),
        ({"header": "X-Stored"}, {"status": 200}, False),
        ({"header": "X-Stored"}, {"status": 200, "headers": {"x-stored": "3"}}, True),
        ({"header": "X-Stored: yes"}, {"status": 200, "headers": {"X-Stored": "no"}}, False),
        ({"header": "x-stored:YES"}, {"status": 200, "headers": {"X-Stored": " yes"}}, True),
        ({"header": "Content-Type: text/html"}, NO["a login page"], True),
        ({"header": "Content-Type: text/html"}, {"status": 200}, False),
        (
            {"status": [200], "header": "Content-Type: application/json"},
            {"status": 200, "headers": JSON, "body": "{}"},
            True,
        ),
        (
            {"status": [200], "header": "Content-Type: application/json"},
            NO["a login page"],
            False,
        ),
        ({"header": "X-Stored"}, {"status": 500, "headers": {"X-Stored": "1"}}, False),
    ],
)
async def test_expect_says_what_an_acknowledgement_looks_like(
    receiver: ReceivingServer, expect: dict[str, Any], answer: dict[str, Any], is_yes: bool
) -> None:
    from tracesidecar.sinks.http.responses import Expectation

    status = tuple(expect["status"]) if "status" in expect else None
    made = Expectation(status=status, header=expect.get("header", ""))
    assert (await error_of(receiver, "http", answer, expect=made) is None) is is_yes


async def test_a_status_that_is_declared_as_accept_may_come_with_a_page_unless_it_is_2xx(
    receiver: ReceivingServer,
) -> None:
    page = {"headers": HTML, "body": PAGE}
    status = {"409": "accept", "200": "accept"}
    assert await error_of(receiver, "http", {"status": 409, **page}, status=status) is None
    assert await error_of(receiver, "http", {"status": 200, **page}, status=status) is not None


async def test_a_token_endpoint_that_is_a_login_page_is_described_without_the_credentials(
    receiver: ReceivingServer,
) -> None:
    auth = OAuth2(
        token_url=f"http://127.0.0.1:{receiver.port}/elsewhere",
        client_id="agent",
        client_secret=Secret(PASSWORD),
    )
    for body, shown in ((PAGE, "<!DOCTYPE html>"), (f"<p>{PASSWORD}</p>", "not shown")):
        receiver.order(answers=[{"status": 200, "headers": HTML, "body": body}])
        with pytest.raises(RetryLater, match="holds no access_token") as caught:
            await sink_for("http", receiver.port, auth=auth).__aenter__()
        assert shown in str(caught.value)
        assert PASSWORD not in str(caught.value)
    receiver.order(answers=[{"status": 200, "body": '{"access_token":"a\\r\\nX-Other: b"}'}])
    with pytest.raises(RetryLater, match="not one line of text"):
        await sink_for("http", receiver.port, auth=auth).__aenter__()
