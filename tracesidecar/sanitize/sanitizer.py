"""Turn chunks as read into clean chunks: validated, redacted and safe to leave the machine.

Only this module and `clean_chunk` make a `CleanChunk`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import NamedTuple

import msgspec

from tracesidecar.errors import RedactionError
from tracesidecar.model import Chunk, CleanChunk, Rejection
from tracesidecar.sanitize.detect.encoded_text import BASE64_RULE
from tracesidecar.sanitize.edit.line_editor import KEY_NAME_RULE
from tracesidecar.sanitize.engine import choose_engine
from tracesidecar.sanitize.json_path import key_path
from tracesidecar.sanitize.options import RedactionOptions
from tracesidecar.sanitize.policy import RedactionPolicy
from tracesidecar.sanitize.redactor import Redactor
from tracesidecar.sanitize.rejections import RejectionReason
from tracesidecar.sanitize.rules import catalogue_bytes, load_catalogue
from tracesidecar.sanitize.self_test import (
    PlantedLine,
    find_failed_lines,
    find_unseen_rules,
    make_planted_lines,
    make_rule_examples,
)
from tracesidecar.sanitize.streams import pending_start
from tracesidecar.sanitize.validate import (
    ValidatedLines,
    rejection_reason,
    validate,
    validate_documents,
)

REVISION = 20
"""Raise this with each change of this package that changes what is redacted or how it is marked."""

_MOST_NAMED = 5


class RuleFinding(NamedTuple):
    """A redaction that a rule would make, and the path of keys to it (itself redacted).

    It never holds a value.
    """

    rule: str
    path: str


class Sanitizer:
    """Validates and redacts chunks. For one thread at a time.

    The same options and the same bytes always give the same result.
    """

    def __init__(
        self,
        options: RedactionOptions,
        *,
        cache_directory: str | None = None,
        cache_key: bytes | None = None,
        digest_key: bytes | None = None,
    ) -> None:
        """Compile the rules, or load them from `cache_directory` if it has them.

        What it has must be signed with `cache_key`, or with a key of its own if that is None. Raise
        ConfigurationError for options that are not valid, and RedactionError if a planted secret is
        not redacted. With a `digest_key`, rejected lines carry a digest keyed by it.
        """
        catalogue = load_catalogue()
        engine = choose_engine(cache_directory, cache_key)
        policy = RedactionPolicy.from_options(catalogue, options)
        self._redactor = Redactor(policy, engine)
        engine.wait()
        self._planted_lines = make_planted_lines(catalogue, policy.rules)
        self._rule_examples = make_rule_examples(catalogue, policy.rules)
        self._digest_key = digest_key
        self.engine = engine.name
        self.rules = tuple(rule.id for rule in policy.rules)
        self.marks = (*self.rules, KEY_NAME_RULE, BASE64_RULE)
        self.version = _fingerprint(options)
        self.cache_trouble = engine.cache_trouble
        self.require_redaction()

    def __call__(
        self,
        chunk: Chunk,
        *,
        repair: bool = False,
        flush: bool = True,
        most_steps: int | None = None,
        most_lines: int | None = None,
    ) -> CleanChunk:
        """Return the lines that may leave, redacted, and the rejected lines with their reasons.

        With `flush=False` the result ends before the first line of a message that is still being
        streamed: its `end` is then smaller than the chunk's, and may equal its start. Read on from
        there when more has arrived, or pass `flush=True` after waiting long enough.

        The result is a function of [start, end) alone: a chunk of exactly these bytes with
        `flush=True` gives the same bytes again. Raise StepLimitExceeded if the redaction takes
        more than `most_steps`, each about a microsecond, and LineLimitExceeded if the chunk has
        more than `most_lines`; documents are not counted.
        """
        valid = (
            validate_documents(chunk.data, repair=repair)
            if chunk.documents
            else validate(
                chunk.data,
                is_first=chunk.start == 0,
                is_torn=chunk.torn,
                repair=repair,
                most_lines=most_lines,
            )
        )
        scanned = self._redactor.scan(valid.data)
        pending = pending_start(scanned.streams, len(valid.data)) if not flush else None
        if pending is not None:
            end = _offset_in_chunk(valid, pending)
            if not chunk.documents:  # a line may have several records: they stay together
                end = chunk.data.rfind(b"\n", 0, end) + 1
            return self(
                dataclasses.replace(
                    chunk, end=chunk.start + end, data=chunk.data[:end], torn=False
                ),
                repair=repair,
                most_steps=most_steps,
            )
        redacted = self._redactor.redact(scanned, most_steps=most_steps)
        rejected = list(valid.rejected)
        for failed in redacted.failed:
            start = _offset_in_chunk(valid, failed.start)
            newline = chunk.data.find(b"\n", start)
            end = valid.parts.get(start, newline if newline >= 0 else len(chunk.data))
            rejected.append((start, end, failed.reason))
        return CleanChunk(
            segment=chunk.segment,
            start=chunk.start,
            end=chunk.end,
            data=redacted.data,
            next=chunk.next,
            lines=valid.lines - len(redacted.failed),
            rejected=(
                *chunk.rejected,
                *(self._rejection(chunk, *each) for each in sorted(rejected)),
            ),
            redactions=tuple(sorted(redacted.redactions.items())),
            blank_lines=valid.blank,
            repaired=tuple(chunk.start + start for start in valid.repaired),
            parts=tuple(
                (chunk.start + start, chunk.start + end) for start, end in valid.parts.items()
            ),
            documents=chunk.documents,
            open_messages=sum(stream.is_open for stream in scanned.streams),
        )

    def self_test(self) -> tuple[str, ...]:
        """Return the names of planted secrets that were not redacted, and of rules that are blind.

        If there are any, nothing may be shipped.
        """
        return (
            *find_failed_lines(self._planted_lines, self._redact_planted),
            *find_unseen_rules(
                self._rule_examples,
                lambda lines: (start for start, _, _ in self._redactor.scan(lines).suspects),
                self._redactor.detector.list_examined,
            ),
        )

    def redact_line(self, line: bytes) -> bytes | RejectionReason:
        """Redact one line (with or without its newline), or return why it is rejected."""
        line = line.rstrip(b"\r\n")
        reason = rejection_reason(line)
        if reason is not None:
            return reason
        redacted = self._redactor.redact(self._redactor.scan(line + b"\n"))
        return redacted.failed[0].reason if redacted.failed else redacted.data[:-1]

    def find_redactions(self, line: bytes) -> tuple[RuleFinding, ...] | RejectionReason:
        """Return which rules would redact the line and where, or why it would be rejected."""
        line = line.rstrip(b"\r\n")
        reason = rejection_reason(line)
        if reason is not None:
            return reason
        try:
            edits = self._redactor.redact_line(line).edits
            return tuple(
                RuleFinding(rule, self.redact_text(key_path(line, edit.start)))
                for edit in edits
                for rule in edit.rules
            )
        except Exception:  # noqa: BLE001 - fail closed: the line is withheld, and an error may quote it
            return RejectionReason.REDACTION_FAILED

    def redact_text(self, text: str) -> str:
        """Redact free text, such as a path that becomes a label."""
        content = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode()
        try:
            redacted = self._redactor.redact_text(content)
            return redacted.decode() if redacted is not None else text
        except Exception:  # noqa: BLE001 - fail closed
            return "[REDACTED:text]"

    def require_redaction(self) -> None:
        """Raise RedactionError if the self-test finds that something is not redacted."""
        if missed := self.self_test():
            more = len(missed) - _MOST_NAMED
            raise RedactionError(
                f"the redaction misses planted secrets ({', '.join(missed[:_MOST_NAMED])}"
                f"{f' and {more} more' if more > 0 else ''}): nothing is shipped or shown; "
                "reinstall tracesidecar, or report this"
            )

    def _redact_planted(self, planted: PlantedLine) -> bytes | RejectionReason:
        if not planted.is_streamed:
            return self.redact_line(planted.line)
        redacted = self._redactor.redact(self._redactor.scan(planted.line + b"\n"))
        return redacted.failed[0].reason if redacted.failed else redacted.data

    def _rejection(self, chunk: Chunk, start: int, end: int, reason: RejectionReason) -> Rejection:
        digest = (
            hashlib.blake2b(chunk.data[start:end], key=self._digest_key, digest_size=16).digest()
            if self._digest_key
            else None
        )
        return Rejection(chunk.start + start, chunk.start + end, reason.value, digest)


def _offset_in_chunk(valid: ValidatedLines, offset: int) -> int:
    """Return where in the chunk the line began that begins at `offset` of the validated data."""
    if valid.starts is None:
        return offset
    return valid.starts[valid.data.count(b"\n", 0, offset)]


def _fingerprint(options: RedactionOptions) -> str:
    settings = msgspec.structs.replace(options, hmac_key=None, test=())
    digest = hashlib.sha256(repr((REVISION, settings)).encode() + catalogue_bytes())
    if options.hmac_key:
        digest.update(
            hashlib.pbkdf2_hmac(
                "sha256", options.hmac_key.encode(), b"tracesidecar redaction key", 10_000
            )
        )
    return digest.hexdigest()[:32]
