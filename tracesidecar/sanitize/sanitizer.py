"""The door between what was read and what may leave: chunks in, clean out."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import NamedTuple

import msgspec

from tracesidecar.model import Chunk, CleanChunk, Rejection
from tracesidecar.sanitize.engine.interface import choose_engine
from tracesidecar.sanitize.json_path import key_path
from tracesidecar.sanitize.markers import merge_spans
from tracesidecar.sanitize.options import RedactionOptions
from tracesidecar.sanitize.redactor import RedactionPolicy, Redactor
from tracesidecar.sanitize.rejections import RejectionReason
from tracesidecar.sanitize.rules.catalogue import (
    active_rules,
    catalogue_bytes,
    disabled_secret_rules,
    load_catalogue,
)
from tracesidecar.sanitize.rules.custom_rules import CustomRules
from tracesidecar.sanitize.self_test import passed, planted
from tracesidecar.sanitize.streams import pending_start
from tracesidecar.sanitize.validate import ValidatedLines, rejection_reason, validate

REVISION = 10
"""Raised with each change of this package that changes what is cut or how it is marked."""


class RuleFinding(NamedTuple):
    """A cut that a rule would make, and where: the path of keys to it (itself redacted).

    Never a value.
    """

    rule: str
    path: str


class Sanitizer:
    """Validates and redacts. For one thread at a time; the same options make the same bytes."""

    def __init__(
        self,
        options: RedactionOptions,
        *,
        cache_directory: str | None = None,
        digest_key: bytes | None = None,
    ) -> None:
        """Compile the rules, or take them from `cache_directory`; raise ConfigurationError for
        options that cannot be.

        `digest_key` gives refusals their keyed digest.
        """
        catalogue = load_catalogue()
        engine = choose_engine(cache_directory)
        policy = RedactionPolicy(
            rules=active_rules(catalogue, options),
            vocabulary=catalogue.keys,
            own=CustomRules(options.rule, taken=(rule.id for rule in catalogue.rule)),
            key_names=options.key_names,
            allowed=frozenset(options.allow),
            hmac_key=options.hmac_key,
        )
        self._redactor = Redactor(policy, engine)
        engine.wait()
        self._planted = planted(catalogue, policy.rules)
        self._digest_key = digest_key
        self.engine = engine.name
        self.rules = tuple(rule.id for rule in policy.rules)
        self.disabled_secret_rules = disabled_secret_rules(catalogue, options)
        self.version = _fingerprint(options)

    def __call__(self, chunk: Chunk, *, repair: bool = False, flush: bool = True) -> CleanChunk:
        """Return what of the chunk may leave, and why the rest may not.

        With `flush=False` the Clean ends before the first line of a message that is still being
        streamed (its `end` is then smaller than the chunk's, and may be its start): read on from
        there when there is more, or with `flush=True` when it has waited long enough. The bytes are
        a function of [start, end) alone: a chunk of exactly these bytes with `flush=True` makes
        them again.
        """
        valid = validate(chunk.data, is_first=chunk.start == 0, is_torn=chunk.torn, repair=repair)
        scanned = self._redactor.scan(valid.data)
        held = pending_start(scanned.streams, len(valid.data)) if not flush else None
        if held is not None:
            end = _original(valid, held)
            return self(
                dataclasses.replace(
                    chunk, end=chunk.start + end, data=chunk.data[:end], torn=False
                ),
                repair=repair,
            )
        redacted = self._redactor.redact(scanned)
        refused = list(valid.refused)
        for failed in redacted.failed:
            start = _original(valid, failed.start)
            newline = chunk.data.find(b"\n", start)
            refused.append((start, newline if newline >= 0 else len(chunk.data), failed.reason))
        return CleanChunk(
            segment=chunk.segment,
            start=chunk.start,
            end=chunk.end,
            data=redacted.data,
            next=chunk.next,
            lines=valid.lines - len(redacted.failed),
            rejected=(*chunk.rejected, *(self._refusal(chunk, *each) for each in sorted(refused))),
            redactions=tuple(sorted(redacted.cuts.items())),
            blank_lines=valid.blank,
            repaired=tuple(chunk.start + start for start in valid.repaired),
            open_messages=sum(stream.is_open for stream in scanned.streams),
        )

    def self_test(self) -> tuple[str, ...]:
        """Return the names of planted secrets that were not cut: anything but an empty answer means
        that nothing may be shipped.
        """
        return passed(self._planted, self.redact_line)

    def redact_line(self, line: bytes) -> bytes | RejectionReason:
        """Redact one line (with or without its newline), or say why it is refused."""
        line = line.rstrip(b"\r\n")
        reason = rejection_reason(line)
        if reason is not None:
            return reason
        redacted = self._redactor.redact(self._redactor.scan(line + b"\n"))
        return redacted.failed[0].reason if redacted.failed else redacted.data[:-1]

    def findings(self, line: bytes) -> tuple[RuleFinding, ...] | RejectionReason:
        """Say which rules would cut the line and where, or why it would be refused."""
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
        except Exception:  # noqa: BLE001 - what would be held back has no findings, and an error may quote the line
            return RejectionReason.REDACTION_FAILED

    def redact_text(self, text: str) -> str:
        """Redact free text, such as a path that becomes a label."""
        content = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode()
        try:
            self._redactor.budget.begin(len(content))
            plain = self._redactor.rules.find_spans(content)
            spans = merge_spans([*plain, *self._redactor.views.find_spans(content, plain)])
            return self._redactor.marker.redact(content, spans).decode() if spans else text
        except Exception:  # noqa: BLE001 - fail closed
            return "[REDACTED:text]"

    def _refusal(self, chunk: Chunk, start: int, end: int, reason: RejectionReason) -> Rejection:
        digest = (
            hashlib.blake2b(chunk.data[start:end], key=self._digest_key, digest_size=16).digest()
            if self._digest_key
            else None
        )
        return Rejection(chunk.start + start, chunk.start + end, reason.value, digest)


def _original(valid: ValidatedLines, offset: int) -> int:
    """Where in the chunk the accepted line began that begins at `offset` of the valid data."""
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
