"""In random traces a planted secret is removed under every reading of the output.

The text around it is unchanged, and other lines keep their bytes.
"""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Callable, Iterator

import pytest

from tests.sanitize.lines import chunk_of
from tracesidecar.sanitize.options import RedactionOptions
from tracesidecar.sanitize.rules.catalogue import active_rules, load_catalogue
from tracesidecar.sanitize.sanitizer import Sanitizer

CATALOGUE = load_catalogue()
EXAMPLES = [
    CATALOGUE.example(rule.positives[0]) for rule in active_rules(CATALOGUE, RedactionOptions())
]
WORDS = [
    "the",
    "build",
    "went",
    "through",
    "and",
    "tests",
    "are",
    "green",
    "next",
    "is",
    "a",
    "deploy",
    "of",
    "workers",
    "grüße",
    "構建",
    "done",
]

ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "in prose": lambda text: f"first words\n{text}\nlast words",
    "base64": lambda text: base64.b64encode(f"note: {text} end".encode()).decode(),
    "base64 twice": lambda text: base64.b64encode(
        base64.b64encode(f"note: {text} end".encode())
    ).decode(),
    "percent": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "entities": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "escapes": lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "nested": lambda text: json.dumps({"id": 5, "inner": text}),
    "nested twice": lambda text: json.dumps([json.dumps({"inner": text})]),
}


def tree(rng: random.Random, depth: int) -> object:
    kind = rng.randrange(6 if depth else 4)
    if kind == 0:
        return rng.choice([None, True, 7, -1.5, 10**20])
    if kind < 4:
        return " ".join(rng.choices(WORDS, k=rng.randint(0, 6)))
    inner = [tree(rng, depth - 1) for _ in range(rng.randint(0, 4))]
    return inner if kind == 4 else {f"k{i}": each for i, each in enumerate(inner)}


def readings(out: bytes) -> Iterator[str]:
    """The output as it is, decoded, unescaped once more, and with its base64 decoded."""
    raw = out.decode()
    yield raw
    decoded = json.dumps(json.loads(raw), ensure_ascii=False)
    for text in (
        decoded,
        decoded.replace("\\\\", "\\").replace('\\"', '"').replace("\\n", "\n").replace("\\/", "/"),
    ):
        yield text
        for run in re.findall(r"[A-Za-z0-9+/_-]{16,}", text):
            yield base64.b64decode(
                run[: len(run) // 4 * 4].replace("-", "+").replace("_", "/")
            ).decode("utf-8", "replace")


def outline(value: object) -> object:
    """Replace every text that holds a marker by the same one, so that trees can be compared."""
    if isinstance(value, dict):
        return {name: outline(below) for name, below in value.items()}
    if isinstance(value, list):
        return [outline(below) for below in value]
    return "…" if isinstance(value, str) and "[REDACTED:" in value else value


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("seed", range(4))
def test_a_planted_secret_is_removed_and_the_rest_is_unchanged(
    secrets_only: Sanitizer, encoding: str, seed: int
) -> None:
    rng = random.Random(f"{encoding}{seed}")
    for example in rng.sample(EXAMPLES, 16):
        data = example.encode()
        secrets = [
            data[start:end].decode()
            for start, end, _ in secrets_only._redactor.detector.find_spans(data)
        ]
        members = [tree(rng, 3) for _ in range(rng.randint(1, 4))]
        place = rng.randrange(len(members))
        planted = [*members[:place], {"planted": ENCODINGS[encoding](example)}, *members[place:]]
        calm = [
            json.dumps(tree(rng, 3), ensure_ascii=bool(i % 2), indent=None).encode() + b"\n"
            for i in range(3)
        ]
        line = json.dumps(planted, ensure_ascii=rng.random() < 0.5).encode() + b"\n"
        clean = secrets_only(chunk_of(calm[0] + line + calm[1] + calm[2]))
        assert clean.data.startswith(calm[0])
        assert clean.data.endswith(calm[1] + calm[2])
        out = clean.data[len(calm[0]) : -len(calm[1] + calm[2])]
        for reading in readings(out):
            assert not any(secret in reading for secret in secrets), (example, encoding)
        after = json.loads(out)
        assert "[REDACTED:" in json.dumps(after[place])
        assert outline([*after[:place], *after[place + 1 :]]) == members
