"""Every cut in the real lines, judged: where and by which rule, never what."""

from __future__ import annotations

import gzip

from tests.sanitize.lines import corpus
from tracesidecar.sanitize.rejections import RejectionReason
from tracesidecar.sanitize.sanitizer import Sanitizer

JUDGED: dict[tuple[int, str, str], str] = {
    (1001, "history[0].args.content", "email"): "right: an address, though of a bot",
    (1001, "history[0].message", "email"): "right: the same",
}
"""(line, path, rule) to the verdict, with all rules for personal data on.

Without them nothing is cut.
"""


def test_each_cut_in_the_real_lines_was_judged_right(strict: Sanitizer) -> None:
    found = set()
    for number, line in enumerate(
        gzip.decompress(corpus("real-agent-lines.jsonl.gz").read_bytes()).split(b"\n"), 1
    ):
        report = strict.find_redactions(line) if line else ()
        assert not isinstance(report, RejectionReason), number
        found |= {(number, finding.path, finding.rule) for finding in report}
    assert found == JUDGED.keys()
