"""Secrets in dumps, in codes of characters and in pieces that are joined: what anyone can undo."""

from __future__ import annotations

import base64
from collections.abc import Callable

import msgspec
import pytest

from tracesidecar.sanitize.rejections import RejectionReason
from tracesidecar.sanitize.sanitizer import Sanitizer

TOKEN = "AKIA" + "Q7LPMN5HFZKE2345"
WIDTH = 16


def list_rows(text: str) -> list[tuple[int, bytes]]:
    """Return the rows of a dump: their offset and 16 bytes."""
    content = text.encode()
    return [(at, content[at : at + WIDTH]) for at in range(0, len(content), WIDTH)]


def dump_as_hexdump(text: str) -> str:
    """`hexdump -C`."""
    rows = [
        f"{at:08x}  {row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}  |{row.decode()}|"
        for at, row in list_rows(text)
    ]
    return "\n".join([*rows, f"{len(text):08x}"])


def dump_as_xxd(text: str) -> str:
    """`xxd`."""
    rows = list_rows(text)
    return "\n".join(f"{at:08x}: {row.hex(' ', -2):<39}  {row.decode()}" for at, row in rows)


def dump_as_od_x1(text: str) -> str:
    """`od -t x1z`."""
    rows = list_rows(text)
    return "\n".join(f"{at:07o} {row.hex(' '):<47}  >{row.decode()}<" for at, row in rows)


def dump_as_words(text: str) -> str:
    """`hexdump` and `od -x`."""
    lines = []
    for at, row in list_rows(text):
        even = row + bytes(len(row) % 2)
        words = [even[i : i + 2][::-1].hex() for i in range(0, len(even), 2)]
        lines.append(f"{at:07x} {' '.join(words)}")
    return "\n".join(lines)


def dump_as_characters(text: str) -> str:
    """`od -c`."""
    rows = list_rows(text)
    return "\n".join(f"{at:07o}" + "".join(f"   {c}" for c in row.decode()) for at, row in rows)


def encode_for_powershell(text: str) -> str:
    """The argument of `powershell -enc`."""
    return "powershell -enc " + base64.b64encode(text.encode("utf-16-le")).decode()


FORMS: dict[str, Callable[[str], str]] = {
    "hexdump -C": dump_as_hexdump,
    "xxd": dump_as_xxd,
    "od -t x1z": dump_as_od_x1,
    "hexdump": dump_as_words,
    "od -c": dump_as_characters,
    "hex": lambda text: text.encode().hex(),
    "hex in capitals": lambda text: text.encode().hex().upper(),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "powershell": encode_for_powershell,
    "octal": lambda text: "".join(f"\\{ord(c):03o}" for c in text),
    "fromCharCode": lambda text: f"String.fromCharCode({','.join(str(ord(c)) for c in text)})",
    "bytes": lambda text: f"bytes([{', '.join(str(ord(c)) for c in text)}])",
    "hex codes": lambda text: f"{{{', '.join(f'0x{ord(c):02x}' for c in text)}}}",
    "chr": lambda text: ".".join(f"chr({ord(c)})" for c in text),
}


def redact(sanitizer: Sanitizer, text: str) -> str:
    """Return the text as it leaves in a line."""
    redacted = sanitizer.redact_line(msgspec.json.encode({"type": "tool", "content": text}))
    assert not isinstance(redacted, RejectionReason)
    content = msgspec.json.decode(redacted)["content"]
    assert isinstance(content, str)
    return content


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize(
    "secret", [f"key: {TOKEN}", f"key {TOKEN} of the bucket", "user = me, password = Hay5tack!7x"]
)
@pytest.mark.parametrize("before", ["", "$ dump it\n", "a line of words " * 200 + "\n"])
def test_a_secret_in_a_dump_is_redacted(
    secrets_only: Sanitizer, name: str, secret: str, before: str
) -> None:
    dumped = FORMS[name](secret)
    shown = redact(secrets_only, f"{before}{dumped}\n(and so on)")
    assert "[REDACTED:" in shown
    assert shown.startswith(before)
    assert shown.endswith("(and so on)")
    at = max(secret.find("Q7LP"), secret.find("Hay5"))
    assert dumped not in shown
    assert FORMS[name](secret[at : at + 4]) not in shown


JOINED = (
    '"AKIA" + "Q7LPMN5HFZKE2345"',
    "'AKIA' . 'Q7LPMN5HFZKE2345'",
    '"AKIAQ7LP" \\\n  "MN5HFZKE2345"',
    '"AKIAQ7LP" +\n    "MN5HFZKE2345"',
    '"AKIA" & "Q7LPMN5HFZKE2345"',
)


@pytest.mark.parametrize("text", JOINED)
def test_a_token_in_joined_literals_is_redacted(secrets_only: Sanitizer, text: str) -> None:
    shown = redact(secrets_only, f"key = {text}\nand so on")
    assert "[REDACTED:" in shown
    assert "MN5HFZKE2345" not in shown
    assert shown.endswith("and so on")


def test_a_password_in_joined_literals_is_redacted_whole(secrets_only: Sanitizer) -> None:
    shown = redact(secrets_only, 'password = "Hay5t" + "ack!7x"\nand so on')
    assert "Hay5t" not in shown
    assert "ack!7x" not in shown


FOX = "The quick brown fox jumps over the lazy dog"
ORDINARY = (
    *(form(f"{FOX}, and so on and on.") for form in FORMS.values()),
    "d670460b4b4aece5915caf5c68d12f560a9fe3e4 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c",
    "String.fromCharCode(72,101,108,108,111,44,32,119,111,114,108,100)",
    'message = "Hello, " + "world" + "!"',
    "00000000  7f 45 4c 46 02 01 01 00  00 00 00 00 00 00 00 00  |.ELF............|",
    "matrix = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120]",
)


@pytest.mark.parametrize("text", ORDINARY)
def test_a_dump_without_a_secret_stays(secrets_only: Sanitizer, text: str) -> None:
    assert redact(secrets_only, text) == text
