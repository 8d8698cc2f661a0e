"""The path of keys and indexes to an offset in a line, such as `messages[2].content`."""

from __future__ import annotations

from collections.abc import Sequence

from tracesidecar.sanitize import patterns


def key_path(line: bytes, offset: int) -> str:
    """Return the path to the value or key at a byte offset of a valid line; "" is the whole."""
    return key_paths(line, (offset,))[0]


def key_paths(line: bytes, offsets: Sequence[int]) -> list[str]:
    """Return the paths at several ascending offsets, in one pass over the line."""
    found: list[str] = []
    path: list[str | int] = []
    position = 0
    for offset in offsets:
        position = _advance(line, path, position, offset)
        found.append("".join(_piece(each, is_first=i == 0) for i, each in enumerate(path)))
    return found


def _advance(line: bytes, path: list[str | int], position: int, offset: int) -> int:
    """Advance `path` from `position` until `offset` is passed; return the position reached."""
    while position <= offset:
        byte = line[position : position + 1]
        if not byte:
            break
        if byte == b'"':
            match = patterns.STRING.match(line, position)
            end = match.end() if match else len(line)
            colon = patterns.COLON.match(line, end)
            if colon is not None and path:
                path[-1] = line[position + 1 : end - 1].decode("utf-8", "replace")
            position = end
            continue
        _step(path, byte)
        position += 1
    return position


def _step(path: list[str | int], byte: bytes) -> None:
    if byte == b"{":
        path.append("")
    elif byte == b"[":
        path.append(0)
    elif byte in {b"}", b"]"}:
        path.pop()
    elif byte == b"," and isinstance(path[-1], int):
        path[-1] += 1


def _piece(step: str | int, *, is_first: bool) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return step if is_first else f".{step}"
