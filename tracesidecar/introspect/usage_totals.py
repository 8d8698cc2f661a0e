"""Add up the model calls of trace files: each call once, even if it is in several files."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from tracesidecar.dialects import Event, FileIdentity, FileName, Interpreter
from tracesidecar.model import Chunk, CleanChunk
from tracesidecar.rotation import strip_rotation
from tracesidecar.sanitize import complete_chunk


class ModelCall(NamedTuple):
    """One model call, by the row that reports the most output."""

    path: str
    input_tokens: int
    output_tokens: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class UsageSum:
    """The sum of some calls; `unpriced` counts those whose price is not known.

    The field names are keys of `scan --json`.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0


class UsageTally:
    """Counts the calls of files, which are given chunk by chunk, one file after the other."""

    def __init__(self) -> None:
        self._interpreter = Interpreter()
        self._calls: dict[tuple[str, str], ModelCall] = {}
        self._requests: dict[str, tuple[str, str]] = {}
        self._same: dict[tuple[str, str], tuple[str, str]] = {}
        self._lines: dict[str, Counter[str]] = {}
        self._generations = Counter[tuple[str, str, bytes]]()
        self._state: bytes | None = None
        self._identity: FileIdentity | None = None

    def begin(self, path: str) -> None:
        """Begin a file: the next chunks are its own."""
        self._lines[path] = Counter()
        self._state = self._identity = None

    def take(self, path: str, chunk: Chunk, clean: CleanChunk) -> None:
        """Count the calls of the next chunk of the file that was begun."""
        clean = complete_chunk(
            clean, chunk, digest=b"", rejected=clean.rejected, with_positions=True
        )
        events, self._state = self._interpreter(
            path, clean, self._state, lambda first: self._identify(path, first)
        )
        for dialect, event in events:
            self._lines[path][dialect] += 1
            if event.usage_scope == "call":
                self._count(path, dialect, event)

    def dialect(self, path: str) -> str:
        """Return the dialect of most of the file's events, empty for an empty file."""
        return next((name for name, _ in self._lines.get(path, Counter()).most_common(1)), "")

    def sums(self) -> dict[str, UsageSum]:
        """Return the sum of each file.

        A call that several files have counts where it has the most output.
        """
        sums: dict[str, UsageSum] = {}
        for call in self._calls.values():
            before = sums.get(call.path, UsageSum())
            sums[call.path] = UsageSum(
                before.calls + 1,
                before.input_tokens + call.input_tokens,
                before.output_tokens + call.output_tokens,
                before.cost_usd + (call.cost_usd or 0.0),
                before.unpriced + (call.cost_usd is None),
            )
        return sums

    def _identify(self, path: str, first: bytes) -> FileIdentity:
        """Return the identity of the file that was begun: no two files have the same."""
        if self._identity is not None:
            return self._identity
        name = FileName(strip_rotation(path), os.path.dirname(path))
        key = name.folder, name.family, first
        self._generations[key] += 1
        self._identity = FileIdentity(name.folder, first, self._generations[key] - 1)
        return self._identity

    def _count(self, path: str, dialect: str, event: Event) -> None:
        key = dialect, event.api_call_id or event.event_id or ""
        if event.request_id is not None:
            # two recorders of a call share its request
            first = self._requests.setdefault(event.request_id, key)
            if first != key:
                self._join(key, first)
        key = self._same.get(key, key)
        call = ModelCall(path, event.input_tokens or 0, event.output_tokens or 0, event.cost_usd)
        if key not in self._calls or call.output_tokens >= self._calls[key].output_tokens:
            self._calls[key] = call

    def _join(self, key: tuple[str, str], first: tuple[str, str]) -> None:
        """Count a call with the one that had its request first."""
        first = self._same.get(first, first)
        if first == key or self._same.get(key) == first:
            return
        self._same[key] = first
        known = self._calls.pop(key, None)
        other = self._calls.get(first)
        if known is not None and (other is None or known.output_tokens >= other.output_tokens):
            self._calls[first] = known
