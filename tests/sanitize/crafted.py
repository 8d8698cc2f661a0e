"""Lines crafted to keep a redactor busy.

Each builder returns a valid JSON line of about the requested size.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import random
import zlib
from collections.abc import Callable, Iterator
from functools import partial

Builder = Callable[[int], bytes]

_TOKEN = "AKIA" + "Q7LPMN5HFZKE2345"
_UNITS = {
    "assignment": "password=hunter2x ",
    "assignment without blanks": "password=x1",
    "assignments, comma": "password=x1y2z3,",
    "assignments, semicolon": "a=b;password=x1y2z3;",
    "quoted assignments": 'password="x1y2z3" ',
    "half an assignment": "password=",
    "half a quoted assignment": 'password="',
    "words": "password ",
    "glued words": "password",
    "words with colons": "password: ",
    "yaml": "password: x1y2z3\n",
    "keys": "api_key ",
    "key assignments": "my_api_key=a1b2c3d4e5f6g7h8 ",
    "calls": "password(",
    "angle": "<password>x1y2",
    "member": '"a":',
    "member without a blank": 'a"b:',
    "escaped member": '\\"password\\":',
    "escaped quotes": '\\"',
    "backslashes": "\\",
    "double backslash u": "\\\\u",
    "unicode escapes": "\\u0041",
    "deep unicode escapes": "\\\\\\\\u0041",
    "braced escapes": "\\u{41}",
    "byte escapes": "\\x41",
    "bytes and units": "\\x41\\u0042",
    "percent": "%41",
    "percent of percent": "%25%34%31",
    "percent equals": "key%3Dab ",
    "quoted printable": "=41",
    "soft line breaks": "=\n",
    "entities": "&#x41;",
    "entities of entities": "&amp;#x41;",
    "named entities": "&amp;",
    "half an entity": "&#",
    "rows of xxd": "00000000: 4141 4141 4141 4141 4141 4141 4141 4141  AAAAAAAAAAAAAAAA\n",
    "rows of hexdump": "00000000  41 41 41 41 41 41 41 41  41 41 41 41 41 41 41 41  |AAAAAAAA|\n",
    "rows of od": "0000000 4141 4141 4141 4141 4141 4141 4141 4141\n",
    "rows of characters": "0000000   A   A   A   A   A   A   A   A\n",
    "beginnings of rows": "0000000 ",
    "hex of letters": "41",
    "hex with lines": "4141414141414141414141414141414141414141\n",
    "base32 of letters": "IFAUCQKB",
    "base64 of utf-16": "QQBBAEEA",
    "character codes": "65,",
    "calls of chr": "chr(65)+",
    "codes in hex": "0x41,",
    "octal escapes": "\\101",
    "joined literals": '"a" + ',
    "joined tokens": '"AKIA" + ',
    "ansi": "\x1b[0m",
    "half an ansi": "\x1b[",
    "title": "\x1b]0;a",
    "overstruck": "a\x08",
    "backspaces": "\x08",
    "zero width": "\u200b",
    "zero width in words": "a\u200bb",
    "tags": "\ufe0fx",
    "full width": "\uff21",
    "mathematical": "\U0001d400",
    "circled": "\u24b6",
    "compatible and plain": "\uff21a",
    "bearer": "Bearer ",
    "bearer with tokens": "Bearer a1b2c3d4e5f6g7h8i9j0 ",
    "authorization": "Authorization: Bearer ",
    "authorization, basic": "Authorization: Basic dXNlcjpwYXNz ",
    "mail": "a@b.co ",
    "half a mail": "a@",
    "mail runs": "a.b-c@",
    "urls": "https://user:pass1word@host.example/ ",
    "half a url": "https://user:",
    "slashes": "://",
    "pem": "-----BEGIN RSA PRIVATE KEY-----\n",
    "pem without key": "-----BEGIN ",
    "putty": "PuTTY-User-Key-File-2: ssh-rsa\n",
    "jwt": "eyJ",
    "jwt parts": "eyJhbGciOiJIUzI1NiJ9.",
    "jwt whole": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.abcdefghijklmnopqrstuv ",
    "tokens": _TOKEN + " ",
    "tokens in a row": _TOKEN,
    "half a token": "ghp" + "_",
    "half a token, dashes": "sk" + "-",
    "vault": "s.abcdefghijklmnopqrstuvwx ",
    "token beginnings over lines": "ghp" + "_abc\n",
    "cards": "4111 1111 1111 1111 ",
    "digits": "4",
    "digits and dashes": "4-",
    "ssn": "457-55-5462 ",
    "iban": "DE89370400440532013000 ",
    "addresses": "8.8.8.8 ",
    "dots": "1.",
    "six": "2001:db8:",
    "colons": ":",
    "mac": "00:1b:44:11:3a:b7 ",
    "phone": "+4915112345678 ",
    "base64 characters": "A",
    "base64 of text": "cGFzc3dvcmQ9aHVudGVyMmh1bnRlcjI",
    "base64 words": "cGFzc3dvcmQ9aHVudGVyMmh1bnRlcjI= ",
    "wrapped base64": "cGFzc3dvcmQ9aHVudGVyMmh1bnRlcjJwYXNzd29yZD1odW50ZXIy\n",
    "gzip beginnings": "H4sIAAAAAAAA ",
    "gzip beginnings in a row": "H4sIA",
    "zlib beginnings": "eJwrSy0qzszPAwAI ",
    "short runs": "abcdefghijklmnopqrstuvw ",
    "hashes": "da39a3ee5e6b4b0d3255bfef95601890afd80709 ",
    "flags": " --password ",
    "flags with values": " --password x1y2z3",
    "short flags": " -p",
    "curl": "curl -u a:b1c2d3 ",
    "curl without end": "curl -u ",
    "mysql": "mysql -p",
    "sql": "identified by 'x1y2z3' ",
    "define": "#define API_KEY ",
    "compare": "password == 'x1y2z3' ",
    "env": "export API_KEY=",
    "query": "?token=a1b2c3d4&",
    "half a query": "?token=",
    "connection": "Server=a;Password=x1y2z3;",
    "docker": "docker login ",
    "login": "login password ",
    "name and value": "name=api_key value=",
    "secret kind": "kind: Secret\ndata:\n  a: eDF5Mno=\n",
    "jwk": '"kty":"RSA","d":"',
    "marker": "[REDACTED:a]",
    "half a marker": "[REDACTED:",
    "placeholders": "password=<your-key> ",
    "dollars": "password=${A} ",
    "templates": "{{ password }} ",
    "brackets": "[",
    "braces": "{",
    "arrays": '["a",',
    "newlines": "\n",
    "carriage returns": "\r",
    "blanks": " ",
    "tabs": "\t",
    "wallet": "1BoatSLRHtKNngkdXEeobR76b53LETtpyT ",
    "seed words": "abandon ability able about above absent ",
    "delta": '"delta":',
    "colour names": "password\u200b=x1y2z3 ",
    "accents": "contrase\u00f1a=x1y2z3 ",
    "nbsp": "password\u00a0=\u00a0x1y2z3",
    "snow": "\u2603",
    "cjk password": "\u5bc6password=x1y2z3",
}


def _repeat(unit: str, size: int) -> str:
    return unit * max(1, size // len(json.dumps(unit)[1:-1]))


def _leaf(text: str) -> bytes:
    return json.dumps({"out": text}).encode()


def _in_utf8(text: str) -> bytes:
    return json.dumps({"out": text}, ensure_ascii=False).encode()


def _cut_off(text: str) -> bytes:
    return json.dumps({"a": json.dumps({"b": text, "c": [1]})[:-6]}).encode()


def _nest(text: str, depth: int) -> bytes:
    for _ in range(depth):
        text = json.dumps({"a": text})
    return text.encode()


def _items(unit: str, size: int) -> bytes:
    return json.dumps([unit] * max(1, size // (len(json.dumps(unit)) + 2))).encode()


def _members(unit: str, size: int) -> bytes:
    count = max(1, size // (len(json.dumps(unit)) + 12))
    return json.dumps({f"k{i}": unit for i in range(count)}).encode()


def _keys(unit: str, size: int) -> bytes:
    count = max(1, size // (len(json.dumps(unit)) + 12))
    return json.dumps({f"{unit}{i}": i for i in range(count)}).encode()


def _pairs(unit: str, size: int) -> bytes:
    count = max(1, size // (len(json.dumps(unit)) + 30))
    return json.dumps([{"name": unit, "value": "x1y2z3"}] * count).encode()


def _fitting(make: Callable[[int], bytes], size: int) -> bytes:
    """Adjust the size until the line has about that length: escapes of escapes grow."""
    line, wanted = make(size), size
    for _ in range(4):
        if 0.8 * size < len(line) < 1.3 * size:
            break
        wanted = max(1, wanted * size // len(line))
        line = make(wanted)
    return line


PLACES: dict[str, Callable[[str, int], bytes]] = {
    "leaf": lambda unit, size: _leaf(_repeat(unit, size)),
    "UTF-8": lambda unit, size: _in_utf8(_repeat(unit, size)),
    "cut off": lambda unit, size: _cut_off(_repeat(unit, size // 2)),
    "nested": lambda unit, size: _nest(_repeat(unit, size // 2), 2),
    "nested deep": lambda unit, size: _nest(_repeat(unit, size // 2), 6),
    "items": _items,
    "members": _members,
    "keys": _keys,
    "pairs": _pairs,
}


def _random_words(size: int) -> bytes:
    rng = random.Random(size)
    return _leaf("".join(rng.choices(list(_UNITS.values()), k=size // 12)))


def _random_markers(size: int) -> bytes:
    rng = random.Random(size)
    return _leaf("".join(rng.choices('aB3="\\:%&;<>{}[]()-_./@ \n\x1b\u200b\uff21', k=size // 2)))


def _pack(pack: Callable[[bytes], bytes], plain: bytes) -> Builder:
    """Small compressed texts that grow when decompressed, one after the other."""
    run = base64.b64encode(pack(plain)).decode()
    return lambda size: _leaf(_repeat(run + " ", size))


def _one_bomb(size: int) -> bytes:
    return _leaf(base64.b64encode(gzip.compress(b"password=x1y2z3 " * (size * 60))).decode()[:size])


def _different_bombs(size: int) -> bytes:
    runs: list[str] = []
    while sum(map(len, runs)) < size:
        runs.append(
            base64.b64encode(zlib.compress(f"password{len(runs)} ".encode() * 120)).decode()
        )
    return _leaf(" ".join(runs))


def _base64_in_base64(size: int) -> bytes:
    text = b"password=x1y2z3 " * max(1, size // 60)
    for _ in range(5):
        text = base64.b64encode(text)
    return _leaf(text.decode()[:size])


def _different_base64(size: int) -> bytes:
    runs = [
        base64.b64encode(f"this is text number {i} of many".encode()).decode()
        for i in range(size // 44)
    ]
    return _leaf(" ".join(runs))


def _repeat_name(name: str, size: int) -> bytes:
    member = f'"{name}":"x1y2z3"'
    return b'{"password":{%b}}' % ",".join([member] * (size // (len(member) + 1))).encode()


def _numbers(size: int) -> bytes:
    return json.dumps({"password": {f"k{i}": i for i in range(size // 14)}}).encode()


def _deltas(size: int) -> bytes:
    piece = {"type": "text_delta", "id": "m", "text": "password=x"}
    return b"\n".join([json.dumps(piece).encode()] * (size // 60))


def _echoing(size: int) -> bytes:
    return _leaf(
        " ".join([*(f"password=Xy7!abc{i}" for i in range(100)), *("Xy7!abc" * (size // 8),)])
    )


def _long_key(size: int) -> bytes:
    return json.dumps({"password" * (size // 9): 1}).encode()


def _same_secret(size: int) -> bytes:
    return _leaf("password=Xy7!abcd" + " Xy7!abcd" * (size // 10))


def _one_secret_in_much(size: int) -> bytes:
    return _leaf("word " * (size // 10) + f"password=Xy7!abcd {_TOKEN} " + "word " * (size // 10))


def _deep_tree(size: int) -> bytes:
    return b"[" * 400 + b",".join([b'{"password":1234567}'] * (size // 21)) + b"]" * 400


BUILDERS: dict[str, Builder] = {
    "random units": _random_words,
    "random markers": _random_markers,
    "gzip, much": _pack(gzip.compress, b"password=x1y2z3 " * 60),
    "bzip2": _pack(bz2.compress, b"password=x1y2z3 " * 200),
    "zlib of nothing": _pack(zlib.compress, b" " * 4000),
    "a bomb": _one_bomb,
    "different bombs": _different_bombs,
    "base64 in base64": _base64_in_base64,
    "different base64": _different_base64,
    "numbers below a key": _numbers,
    "a private part again and again": partial(_repeat_name, "d"),
    "a token again and again": partial(_repeat_name, "token"),
    "a description again and again": partial(_repeat_name, "description"),
    "streamed": _deltas,
    "echoes": _echoing,
    "a long key": _long_key,
    "the same secret": _same_secret,
    "one secret in much": _one_secret_in_much,
    "deep tree": _deep_tree,
}


def craft_lines(size: int) -> Iterator[tuple[str, bytes]]:
    """Every unit in every position, and the lines that are not a repetition."""
    for name, builder in BUILDERS.items():
        yield name, _fitting(builder, size)
    for name, unit in _UNITS.items():
        for place, build in PLACES.items():
            yield f"{name}, {place}", _fitting(partial(build, unit), size)
