"""Clean a chunk by the rules of its source, and complete it once it is taken."""

from __future__ import annotations

from collections.abc import Mapping

from tracesidecar.journal import RangeDigest
from tracesidecar.model import Chunk, CleanChunk
from tracesidecar.pipeline.line_locator import LineLocator
from tracesidecar.sanitize import complete_chunk
from tracesidecar.sanitize.sanitizer import Sanitizer
from tracesidecar.tail import SourceOptions


class ChunkCleaner:
    """Cleans in two steps, because a chunk may be cleaned several times before it is taken."""

    def __init__(
        self,
        sanitizer: Sanitizer,
        sources: Mapping[str, SourceOptions],
        locator: LineLocator,
        *,
        key: bytes,
        with_positions: bool,
    ) -> None:
        """`with_positions`: also note where each line begins, for the interpreters."""
        self._sanitizer = sanitizer
        self._sources = sources
        self._locator = locator
        self._key = key
        self._with_positions = with_positions

    def clean(
        self,
        chunk: Chunk,
        *,
        flush: bool,
        most_steps: int | None = None,
        most_lines: int | None = None,
    ) -> CleanChunk:
        """Return what of the chunk may leave; it may end earlier unless `flush`.

        Raise StepLimitExceeded if that takes more than `most_steps`, LineLimitExceeded if there
        are more than `most_lines`.
        """
        return self._sanitizer(
            chunk,
            repair=self._sources[chunk.segment.source].repair,
            flush=flush,
            most_steps=most_steps,
            most_lines=most_lines,
        )

    def take(self, chunk: Chunk, clean: CleanChunk, *, digest: bytes | None = None) -> CleanChunk:
        """Complete a chunk that will be delivered: digest the source, seal what was rejected.

        `chunk` ends where `clean` ends; `digest` is that of the source bytes if they differ from
        the chunk's.
        """
        rejected = clean.rejected
        if rejected:
            rejected = self._locator.seal(chunk.segment.id, chunk.start, chunk.data, rejected)
        return complete_chunk(
            clean,
            chunk,
            digest=self.digest(chunk.data) if digest is None else digest,
            rejected=rejected,
            with_positions=self._with_positions,
        )

    def peek(self, chunk: Chunk) -> CleanChunk:
        """Clean a chunk only to interpret it: nothing of it is delivered or quarantined."""
        clean = self.clean(chunk, flush=True)
        return complete_chunk(
            clean, chunk, digest=b"", rejected=clean.rejected, with_positions=True
        )

    def digest(self, data: bytes) -> bytes:
        """Return the keyed digest by which a planned range is recognized."""
        digest = RangeDigest(self._key)
        digest.update(data)
        return digest.digest()
