"""Generated personal data in the formats that people and programs write."""

from __future__ import annotations

import ipaddress
import json
import random
import string
from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.sanitize.lines import texts_of
from tracesidecar.sanitize.rules.checksums import IBAN_LENGTH
from tracesidecar.sanitize.sanitizer import Sanitizer

SURROUNDINGS = (
    "%s",
    "my number is %s thanks",
    "It is %s.",
    "a\n%s\nb",
    "a\t%s\tb",
    "x,%s,y",
    "(%s)",
    '"%s"',
    "<v>%s</v>",
    "see %s, then",
    "番号は%sです",
)
CARDS = (
    "4",
    "51",
    "55",
    "2221",
    "2720",
    "34",
    "37",
    "6011",
    "65",
    "3528",
    "36",
    "38",
    "300",
    "62",
    "5018",
)
SIZES = {"34": (4, 6, 5), "37": (4, 6, 5), "36": (4, 6, 4), "38": (4, 6, 4), "300": (4, 6, 4)}
BANKS_WITH_LETTERS = frozenset(
    {"GB", "NL", "IE", "LV", "RO", "MT", "BG", "GI", "QA", "KW", "JO", "PK", "BH", "AZ"}
)
EMAILS = (
    "mara.lind@example.net",
    "q+tag@sub.mail.example.co.uk",
    "x_y-z@ex-ample.io",
    "MARA@EXAMPLE.COM",
    "m@example.photography",
    "1234567@example.museum",
)
PHONES = (
    *(
        "+1 415 555 0###",
        "+1 (415) 555-0###",
        "+14155550###",
        "(415) 555-0###",
        "(415)555-0###",
        "415-555-0###",
        "415.555.0###",
        "+1.415.555.0###",
    ),
    *(
        "+44 20 7946 0###",
        "+44 (0)20 7946 0###",
        "+49 89 636#####",
        "+33 1 42 68 ## ##",
        "+39 06 6988 ####",
        "+91-98765-4####",
        "+81 3-1234-####",
    ),
    *(
        "+55 11 98765-####",
        "+972 9 7625###",
        "+7 (495) 123-45-##",
        "+41 44 668 18 ##",
        "+86 138 1234 ####",
    ),
)
NAMED = (
    *(
        "Phone: 4155550###",
        "phone number is 09-762####",
        "Tel. 089 / 636#####",
        "mobile 07911 123###",
        "call me at 020 7946 0###",
        "Fax: 030/12345##",
    ),
    *(
        "電話 03-1234-####",
        "Telefon 0711 12#####",
        "SSN: 4066199##",
        "social security number is 4021166##",
        "mac address 3c22fb9a0b##",
        "MAC: 3c 22 fb 9a 0b ##",
    ),
)


def digits(shape: str, rng: random.Random) -> str:
    return "".join(rng.choice(string.digits) if c == "#" else c for c in shape)


def separate(text: str, sizes: tuple[int, ...], separator: str) -> str:
    parts = []
    for size in sizes:
        parts.append(text[:size])
        text = text[size:]
    return separator.join(part for part in parts if part)


def cards(rng: random.Random) -> Iterator[str]:
    for prefix in CARDS:
        sizes = SIZES.get(prefix, (4, 4, 4, 4))
        body = [int(c) for c in prefix] + [
            rng.randrange(10) for _ in range(sum(sizes) - len(prefix) - 1)
        ]
        total = sum(sum(divmod(2 * digit, 10)) for digit in body[::-1][::2]) + sum(body[::-1][1::2])
        number = "".join(map(str, body)) + str(-total % 10)
        yield from (number, separate(number, sizes, " "), separate(number, sizes, "-"))


def ibans(rng: random.Random) -> Iterator[str]:
    for country, size in IBAN_LENGTH.items():
        bank = "".join(
            rng.choices(
                string.ascii_uppercase if country in BANKS_WITH_LETTERS else string.digits, k=4
            )
        )
        account = bank + "".join(rng.choices(string.digits, k=size - 8))
        check = 98 - int("".join(str(int(c, 36)) for c in f"{account}{country}00")) % 97
        number = f"{country}{check:02d}{account}"
        yield from (number, separate(number, (4,) * 9, " "))


def addresses(rng: random.Random) -> Iterator[str]:
    for _ in range(4):
        yield str(ipaddress.IPv4Address(rng.randrange(0x0B000000, 0x63000000)))
        yield str(ipaddress.IPv6Address(0x2A00 << 112 | rng.getrandbits(112)))
        hardware = [f"{rng.randrange(256):02x}" for _ in range(6)]
        yield from (":".join(hardware), "-".join(hardware).upper())
    yield from (
        "fe80::1ff:fe23:4567:890a",
        "::ffff:151.101.1.69",
        "684D:1111:222:3333:4444:5555:6:77",
        "2a04:4e42:200::",
    )


def identities(rng: random.Random) -> Iterator[str]:
    for separator in "- .":
        area, group, serial = rng.randint(1, 665), rng.randint(1, 99), rng.randint(1, 9999)
        yield f"{area:03d}{separator}{group:02d}{separator}{serial:04d}"
    yield from ("AA 12 34 56 B", "AA123456B", "hh 01 02 03 d", "AA-12-34-56-B")


KINDS: dict[str, Callable[[random.Random], Iterable[str]]] = {
    "cards": cards,
    "bank accounts": ibans,
    "addresses": addresses,
    "identities": identities,
    "mail": lambda _: iter(EMAILS),
    "telephones": lambda rng: (digits(shape, rng) for shape in PHONES),
    "named numbers": lambda rng: (digits(shape, rng) for shape in NAMED),
}


@pytest.mark.parametrize("kind", KINDS)
def test_personal_data_is_found_in_the_formats_in_which_it_is_written(
    strict: Sanitizer, kind: str
) -> None:
    left = []
    for value in KINDS[kind](random.Random(5)):
        tail = value[-6:]
        for surroundings in SURROUNDINGS:
            out = strict.redact_line(json.dumps({"out": surroundings % value}).encode())
            assert isinstance(out, bytes)
            if any(tail in text for text in texts_of(json.loads(out))):
                left.append(surroundings % value)
    assert left == []
