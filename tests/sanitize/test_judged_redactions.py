"""Every redaction in the real lines was judged: its path and rule, never its value."""

from __future__ import annotations

import gzip

from tests.sanitize.lines import corpus
from tracesidecar.sanitize.rejections import RejectionReason
from tracesidecar.sanitize.sanitizer import Sanitizer

JUDGED: dict[tuple[int, str, str], str] = {
    (1001, "history[0].args.content", "email"): "right: an address, though of a bot",
    (1001, "history[0].message", "email"): "right: the same",
}
"""(line, path, rule) to the verdict, with all rules for personal data enabled.

Without them nothing is redacted.
"""


def test_each_redaction_in_the_real_lines_was_judged_right(strict: Sanitizer) -> None:
    found = set()
    for number, line in enumerate(
        gzip.decompress(corpus("real-agent-lines.jsonl.gz").read_bytes()).split(b"\n"), 1
    ):
        findings = strict.find_redactions(line) if line else ()
        assert not isinstance(findings, RejectionReason), number
        found |= {(number, finding.path, finding.rule) for finding in findings}
    assert found == JUDGED.keys()
