"""docs/redaction.md says what these fixtures show, by class of secret."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

from tests.sanitize import stream_forms, test_contexts, test_dumps
from tests.sanitize.invented import GROUPS, benign
from tests.sanitize.lines import texts_of
from tracesidecar.sanitize.rules import load_shapes
from tracesidecar.sanitize.sanitizer import Sanitizer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "redaction.md"
SEED = 3
CLASSES = {
    "tokens": "tokens with a published prefix or shape",
    "passwords": "passwords, assigned or said",
    "named tokens": "tokens without a shape, assigned",
    "vendor keys": "keys beside the name of their vendor",
    "urls": "secrets in URLs",
    "basic credentials": "`Authorization: Basic`",
    "members": "members of JSON",
}
SECRETS = (test_dumps.TOKEN, test_contexts.OPAQUE, test_contexts.CHOSEN, test_contexts.DIGEST)
ROW = re.compile(r"\| ([^|]+?) +\| ([0-9,]+) +\| ([0-9,]+) +\|")


def measure(sanitizer: Sanitizer) -> Iterator[tuple[str, int, int]]:
    """Iterate over (class, cases, how many of them leave without their secret)."""
    for group, title in CLASSES.items():
        cases = list(GROUPS[group](random.Random(SEED)))
        lines = [
            case.text.encode() if group == "members" else json.dumps({"out": case.text}).encode()
            for case in cases
        ]
        found = sum(
            not _shows(sanitizer, line, case.secret)
            for case, line in zip(cases, lines, strict=True)
        )
        yield title, len(cases), found
    contexts = [json.dumps(value).encode() for value in test_contexts.CONTEXTS.values()]
    yield "named by what is around them", len(contexts), _count(sanitizer, contexts)
    dumps = [
        json.dumps({"out": form(f"key: {test_dumps.TOKEN}")}).encode()
        for form in test_dumps.FORMS.values()
    ]
    changed = sum(sanitizer.redact_line(line) != line for line in dumps)
    yield "in dumps and codes of characters", len(dumps), changed
    plain = [text for _, text in benign(random.Random(SEED))]
    kept = sum(
        sanitizer.redact_line(line) == line
        for line in (json.dumps({"out": text}).encode() for text in plain)
    )
    yield "texts that only look like it, and stay", len(plain), kept


def _shows(sanitizer: Sanitizer, line: bytes, secret: str) -> bool:
    redacted = sanitizer.redact_line(line)
    assert isinstance(redacted, bytes)
    return any(secret in text for text in texts_of(json.loads(redacted)))


def _count(sanitizer: Sanitizer, lines: list[bytes]) -> int:
    return sum(not any(_shows(sanitizer, line, each) for each in SECRETS) for line in lines)


def test_the_page_has_the_measured_shares(secrets_only: Sanitizer) -> None:
    written = {
        title: (int(cases.replace(",", "")), int(found.replace(",", "")))
        for title, cases, found in ROW.findall(PAGE.read_text("utf-8"))
    }
    assert written == {title: (cases, found) for title, cases, found in measure(secrets_only)}


def test_the_page_names_how_many_shapes_and_streams_there_are() -> None:
    page = " ".join(PAGE.read_text("utf-8").split())
    shapes = load_shapes()
    assert f"{len(shapes)} shapes of {len({shape.vendor for shape in shapes})} vendors" in page
    known, unknown = len(stream_forms.FORMS), len(stream_forms.UNKNOWN)
    assert f"{known} forms of known formats and {unknown} of unknown ones" in page
