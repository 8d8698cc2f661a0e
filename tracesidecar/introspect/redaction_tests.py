"""Run the `[[redaction.test]]` blocks of a configuration."""

from __future__ import annotations

import io
import os

import msgspec

from tracesidecar.config import rules_cache
from tracesidecar.introspect.chunks import read_document_chunks
from tracesidecar.sanitize import RedactionOptions, RedactionTest
from tracesidecar.sanitize.sanitizer import Sanitizer


def find_failed_tests(options: RedactionOptions) -> list[str]:
    """Return a sentence for each test whose result is not the expected one."""
    if not options.test:
        return []
    sanitize = Sanitizer(options, cache_directory=rules_cache(os.environ))
    outcomes = (
        (number, test, _outcome(sanitize, test)) for number, test in enumerate(options.test, 1)
    )
    return [
        f"redaction.test {number} of {len(options.test)}: "
        f"the result is not the expected one, but: {outcome}"
        for number, test, outcome in outcomes
        if outcome != test.expected
    ]


def _outcome(sanitize: Sanitizer, test: RedactionTest) -> str:
    """Return the redacted input: as a line if it is JSON, indented or not, else as free text."""
    line = test.input.encode()
    try:
        msgspec.json.decode(line)
    except msgspec.DecodeError:
        return sanitize.redact_text(test.input)
    return (
        b"".join(
            sanitize(numbered.chunk).data
            for numbered in read_document_chunks("test", io.BytesIO(line).read, len(line))
        )
        .decode()
        .rstrip("\n")
    )
