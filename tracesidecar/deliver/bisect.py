"""A part of a batch, with an id of its own: what bisection sends when the destination refuses the
whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from tracesidecar.encode.jsonl import decode_lines, encode_lines
from tracesidecar.model import Batch


def records(batch: Batch) -> Sequence[bytes]:
    """Every record of the batch in order, without its newline; none for a batch whose records stand
    by themselves.
    """
    if batch.records:
        return ()
    return [
        line
        for payload in batch.objects
        for line in decode_lines(payload.content, payload.compression).split(b"\n")[:-1]
    ]


def part(batch: Batch, lines: Sequence[bytes], first: int, last: int) -> Batch:
    """Make the batch of records `first` to `last` (both included).

    The same part always has the same id and bytes.
    """
    name = f"{batch.id}.{first}-{last}"
    if batch.records:
        chosen = batch.records[first : last + 1]
        return replace(
            batch,
            id=name,
            lines=len(chosen),
            size_bytes=sum(len(record.body) for record in chosen),
            records=chosen,
        )
    body = b"\n".join(lines[first : last + 1]) + b"\n"
    whole = batch.objects[0]
    content = encode_lines(body, whole.compression)
    payload = replace(
        whole,
        content=content,
        sha256=hashlib.sha256(content).digest(),
        records=last - first + 1,
        planned=(),
    )
    return replace(
        batch,
        id=name,
        objects=(payload,),
        manifest=None,
        lines=last - first + 1,
        size_bytes=len(body),
    )
