"""Redact a chunk of valid lines: secrets are replaced, every other byte stays as it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from tracesidecar.sanitize.budget import Budget, OverBudget, StepLimitExceeded
from tracesidecar.sanitize.chunk_scanner import ChunkScanner, ScannedLines, SuspectLine
from tracesidecar.sanitize.detect import Detector, EncodedText
from tracesidecar.sanitize.edit import Edit, EditedLine, LineRedactor, StreamEdits
from tracesidecar.sanitize.engine import ScanEngine, TooManyHits
from tracesidecar.sanitize.markers import Marker, merge_spans
from tracesidecar.sanitize.policy import RedactionPolicy
from tracesidecar.sanitize.prefilter import Candidates, key_name_pattern, token_prefixes_of
from tracesidecar.sanitize.rejections import RejectionReason
from tracesidecar.sanitize.rules import KeyMatcher
from tracesidecar.sanitize.streamed_text import StreamedText

_StreamedLine = tuple[int, list[Edit] | None]
"""The end of a line that carries part of a streamed text, and its edits; None if they could not be
found."""


class StreamNotRedacted(Exception):
    """The streamed text that a line carries a part of could not be examined."""


class FailedLine(NamedTuple):
    """A line [start, end) of the given data that is withheld."""

    start: int
    end: int
    reason: RejectionReason


class RedactedLines(NamedTuple):
    """A redacted chunk: `data` lacks the failed lines; `redactions` counts them per rule."""

    data: bytes
    redactions: Counter[str]
    failed: list[FailedLine]


class Redactor:
    """Redacts chunks, single lines and free text. For one thread at a time."""

    def __init__(self, policy: RedactionPolicy, engine: ScanEngine) -> None:
        keys = KeyMatcher(policy.vocabulary, policy.key_names)
        self._budget = Budget()
        self.detector = Detector(
            policy.rules,
            engine,
            keys,
            self._budget,
            custom_rules=policy.custom_rules,
            custom_words=[key_name_pattern(name) for name in policy.key_names],
            allowed=policy.allowed,
        )
        self._encoded_text = EncodedText(self.detector, policy.rules, engine, self._budget)
        self._marker = Marker(policy.hmac_key)
        candidates = Candidates(policy.rules, engine, policy.key_names)
        self._scanner = ChunkScanner(candidates, policy.custom_rules)
        self._line_redactor = LineRedactor(
            policy,
            candidates,
            detector=self.detector,
            encoded_text=self._encoded_text,
            keys=keys,
            marker=self._marker,
            budget=self._budget,
        )
        self._stream_edits = StreamEdits(
            self.detector,
            self._encoded_text,
            self._marker,
            tokens=frozenset(rule.id for rule in policy.rules if token_prefixes_of(rule)),
        )

    def scan(self, data: bytes) -> ScannedLines:
        """Scan every byte of whole lines, each ended by a newline."""
        return self._scanner.scan(data)

    def redact(self, scanned: ScannedLines, *, most_steps: int | None = None) -> RedactedLines:
        """Redact the lines, and the texts that are streamed across several of them.

        A line that cannot be redacted is withheld. The data makes it raise nothing but
        StepLimitExceeded, once it has taken more than `most_steps`.
        """
        last = None if most_steps is None else self._budget.total + most_steps
        data, _, streams = scanned
        redactions: Counter[str] = Counter()
        failed: list[FailedLine] = []
        pieces: list[bytes] = []
        position = 0
        streamed = self._find_stream_edits(data, streams) if streams else {}
        for start, end, hits in _with_streamed(scanned.suspects, streamed):
            if last is not None and self._budget.total > last:
                raise StepLimitExceeded
            try:
                edited = (
                    self._redact_streamed(data[start:end], streamed[start])
                    if start in streamed
                    else self._line_redactor.redact(data, start, end, hits)
                )
            except Exception as error:  # noqa: BLE001 - fail closed: whatever went wrong, the line is withheld
                failed.append(FailedLine(start, end, _reason_of(error)))
                pieces.append(data[position:start])
                position = min(end + 1, len(data))
                continue
            if edited is not None and edited.edits:
                redactions.update(rule for edit in edited.edits for rule in edit.rules)
                pieces += (data[position:start], edited.line)
                position = end
        if not pieces:
            return RedactedLines(data, redactions, failed)
        pieces.append(data[position:])
        return RedactedLines(b"".join(pieces), redactions, failed)

    def redact_line(self, line: bytes) -> EditedLine:
        """Redact one line (without its newline) and return its edits; may raise any exception."""
        suspect = next(iter(self.scan(line).suspects), None)
        edited = (
            self._line_redactor.redact(line, 0, len(line), suspect[2])
            if suspect is not None
            else None
        )
        return edited if edited is not None else EditedLine(line, ())

    def redact_text(self, text: bytes) -> bytes | None:
        """Redact free text in UTF-8; None if it holds no secret. May raise any exception."""
        self._budget.begin(len(text))
        plain = self.detector.find_spans(text)
        spans = merge_spans([*plain, *self._encoded_text.find_spans(text, plain)])
        return self._marker.redact(text, spans) if spans else None

    def _find_stream_edits(
        self, data: bytes, streams: Sequence[StreamedText]
    ) -> dict[int, _StreamedLine]:
        """Return, by its start, each line with a part of a streamed secret."""
        lines: dict[int, _StreamedLine] = {}
        for stream in streams:
            self._budget.begin(sum(len(piece.text) for piece in stream.pieces))
            try:
                for (start, end), edits in self._stream_edits.find_edits(data, stream).items():
                    _, before = lines.setdefault(start, (end, []))
                    if before is not None:
                        before += edits
            except Exception:  # noqa: BLE001 - fail closed: every line of this text is withheld
                lines.update((piece.start, (piece.end, None)) for piece in stream.pieces)
        return lines

    def _redact_streamed(self, line: bytes, streamed: _StreamedLine) -> EditedLine:
        _, edits = streamed
        if edits is None:
            raise StreamNotRedacted
        return self._line_redactor.redact_after(line, edits)


def _reason_of(error: Exception) -> RejectionReason:
    match error:
        case OverBudget() | TooManyHits():
            return RejectionReason.OVER_BUDGET
        case RecursionError():
            return RejectionReason.TOO_DEEP
        case _:
            return RejectionReason.REDACTION_FAILED


def _with_streamed(
    suspects: Sequence[SuspectLine], streamed: Mapping[int, _StreamedLine]
) -> Sequence[SuspectLine]:
    """Add the lines that carry part of a streamed secret."""
    if not streamed:
        return suspects
    known = {start for start, _, _ in suspects}
    added = ((start, end, None) for start, (end, _) in streamed.items() if start not in known)
    return sorted((*suspects, *added), key=itemgetter(0))
