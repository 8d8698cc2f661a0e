"""Ways in which a text may be encoded; each can be decoded, with a map back to the encoded text."""

from __future__ import annotations

import base64
import binascii
import bz2
import html
import re
import unicodedata
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.engine import Re2Pattern
from tracesidecar.sanitize.markers import Span

LARGEST_RATIO = 16
"""Compressed data is decompressed up to this many times its size, so that the work stays in
proportion to the line."""


_STANDARD = bytes.maketrans(b"-_", b"+/")
_CONTROLS = bytes({*range(32), 127} - set(b"\r\n\t"))


_HIGHEST_BYTE = 256
_B32 = frozenset({2, 4, 5, 7})
"""How many characters of base32 the last bytes of a text take."""


class TextDecoder(NamedTuple):
    """What is decoded, how, and a text that must be present for there to be anything to decode.

    The sign "" stands for any character beyond ASCII; None means that there is no such text.
    """

    pattern: re.Pattern[str]
    decode: Callable[[re.Match[str]], str]
    sign: str | None


class DecodedText:
    """A text after one decoder; where its parts come from is computed on demand."""

    def __init__(self, decoder: TextDecoder, source: str, text: str, count: int) -> None:
        """Keep the decoded text; `count` pieces of the source were decoded."""
        self.text = text
        self.count = count
        self._decoder = decoder
        self.source = source

    @cached_property
    def _pieces(self) -> tuple[list[int], list[int], list[bool]]:
        """Return three lists.

        Where piece i begins in `text`, where in the source, and whether it was decoded.
        """
        starts: list[int] = []
        sources: list[int] = []
        is_decoded: list[bool] = []
        at = last = 0
        for match in self._decoder.pattern.finditer(self.source):
            start, end = match.span()
            decoded_at = at + start - last
            starts += (at, decoded_at)
            sources += (last, start)
            is_decoded += (False, True)
            at = decoded_at + len(self._decoder.decode(match))
            last = end
        return (
            [*starts, at, len(self.text)],
            [*sources, last, len(self.source)],
            [*is_decoded, False],
        )

    def source_span(self, start: int, end: int) -> tuple[int, int]:
        """Return the source span that text[start:end] comes from; a decoded piece counts whole."""
        starts, sources, is_decoded = self._pieces
        first = bisect_right(starts, start, 0, len(is_decoded)) - 1
        last = bisect_right(starts, end - 1, 0, len(is_decoded)) - 1
        low = sources[first] if is_decoded[first] else sources[first] + start - starts[first]
        high = sources[last + 1] if is_decoded[last] else sources[last] + end - starts[last]
        return low, high


def decode_text(decoder: TextDecoder, source: str) -> DecodedText | None:
    """Run a decoder over the source; None if there is nothing for it to decode."""
    pattern, decode, sign = decoder
    if sign is not None and (source.isascii() if not sign else sign not in source):
        return None
    text, count = pattern.subn(decode, source)
    return DecodedText(decoder, source, text, count) if count else None


def spans_in_source(layers: Sequence[DecodedText], spans: Sequence[Span]) -> list[Span]:
    """Map spans in the bytes of the last layer's text to the bytes of the first layer's source."""
    top, bottom = layers[-1].text, layers[0].source
    characters = _offsets(
        top.encode("utf-8", "replace"), (each for span in spans for each in span[:2])
    )
    found = []
    for start, end, rule in spans:
        low, high = characters[start], characters[end]
        for layer in reversed(layers):
            low, high = layer.source_span(low, high)
        found.append((low, high, rule))
    octets = _offsets(bottom, (each for span in found for each in span[:2]))
    return [(octets[low], octets[high], rule) for low, high, rule in found]


def _offsets(text: bytes | str, offsets: Iterable[int]) -> dict[int, int]:
    """Map offsets in one pass: characters to bytes for a string, the reverse for bytes."""
    found: dict[int, int] = {}
    last = at = 0
    is_plain = text.isascii()
    for offset in sorted(set(offsets)):
        between = text[last:offset]
        at += (
            offset - last
            if is_plain
            else len(
                between.decode("utf-8", "replace")
                if isinstance(between, bytes)
                else between.encode("utf-8", "replace")
            )
        )
        found[offset] = at
        last = offset
    return found


def _unicode(match: re.Match[str]) -> str:
    units = b"".join(
        _utf16(int(four or braced, 16))
        for four, braced in patterns.UNICODE_ESCAPE_DIGITS.findall(match.group(0))
    )
    return units.decode("utf-16-be", "replace")


def _utf16(code: int) -> bytes:
    return (
        code.to_bytes(2, "big") if code < 0x10000 else chr(min(code, 0x10FFFF)).encode("utf-16-be")
    )


def _bytes(match: re.Match[str]) -> str:
    return bytes.fromhex("".join(patterns.BYTE_ESCAPE_DIGITS.findall(match.group(0)))).decode(
        "utf-8", "replace"
    )


def _percent(match: re.Match[str]) -> str:
    return bytes.fromhex(match.group(0).replace("%", "")).decode("utf-8", "replace")


def _decode_quoted_printable(match: re.Match[str]) -> str:
    written = match.group(0)
    return (
        ""
        if written[-1] == "\n"
        else bytes.fromhex(written.replace("=", "")).decode("utf-8", "replace")
    )


def _entity(match: re.Match[str]) -> str:
    return html.unescape(match.group(0))


def _compatible(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", match.group(0))


def _decode_hex(match: re.Match[str]) -> str:
    return bytes.fromhex(match.group(1)).decode("utf-8", "replace")


def _decode_words(match: re.Match[str]) -> str:
    """Decode 16-bit words, each with its bytes swapped."""
    words = match.group(1).split()
    return bytes.fromhex("".join(word[2:] + word[:2] for word in words)).decode("utf-8", "replace")


def _decode_cells(match: re.Match[str]) -> str:
    """Decode cells of four characters; what is no letter is written as an escape."""
    cells = match.group(1)
    return "".join(
        cells[i + 3] if cells[i + 2] == " " else "\n" for i in range(0, len(cells) - 3, 4)
    )


def _decode_codes(match: re.Match[str]) -> str:
    codes = [
        int(code, 16) if code.startswith("0x") else int(code)
        for code in patterns.CODE.findall(match.group(0))
    ]
    return "".join(map(chr, codes)) if max(codes) < _HIGHEST_BYTE else match.group(0)


def _decode_call(match: re.Match[str]) -> str:
    return chr(int(match.group(1)))


def _decode_octal(match: re.Match[str]) -> str:
    codes = (int(digits, 8) for digits in patterns.OCTAL_DIGITS.findall(match.group(0)))
    return bytes(codes).decode("utf-8", "replace")


def _remove(_match: re.Match[str]) -> str:
    return ""


DECODERS: tuple[TextDecoder, ...] = (
    TextDecoder(patterns.UNICODE_ESCAPES, _unicode, "\\u"),
    TextDecoder(patterns.BYTE_ESCAPES, _bytes, "\\x"),
    TextDecoder(patterns.PERCENT_RUN, _percent, "%"),
    TextDecoder(patterns.QUOTED_PRINTABLE, _decode_quoted_printable, "="),
    TextDecoder(patterns.ENTITY, _entity, "&"),
    TextDecoder(patterns.ANSI, _remove, "\x1b"),
    TextDecoder(patterns.OVERSTRUCK, _remove, "\x08"),
    TextDecoder(patterns.INVISIBLE, _remove, None),
    TextDecoder(patterns.COMPATIBLE, _compatible, ""),
)
"""They run in this order, each on the result of the one before."""

DUMP_DECODERS: tuple[TextDecoder, ...] = (
    TextDecoder(patterns.XXD_LINE, _decode_hex, "00000"),
    TextDecoder(patterns.HEXDUMP_LINE, _decode_hex, "00000"),
    TextDecoder(patterns.WORD_DUMP_LINE, _decode_words, "00000"),
    TextDecoder(patterns.CHARACTER_DUMP_LINE, _decode_cells, "0000000"),
    TextDecoder(patterns.CHARACTER_CODES, _decode_codes, ","),
    TextDecoder(patterns.HEX_CODES, _decode_codes, "0x"),
    TextDecoder(patterns.CHR_CALL, _decode_call, "("),
    TextDecoder(patterns.OCTAL_ESCAPES, _decode_octal, "\\"),
    TextDecoder(patterns.JOINED_LITERALS, _remove, None),
)
"""They run before the others, on a text in which `DUMP_SIGN` matches."""

DUMP_SIGN = Re2Pattern(
    r"(?m)^[ \t]{0,8}[0-9A-Fa-f]{6,8}:?[ ]{1,3}[0-9A-Fa-f]{2}|^[0-7]{7}[ ]{3}[^ ][ ]{3}"
    r"|[0-9]{2,3},[ ]?[0-9]{2,3},[ ]?[0-9]{2,3},[ ]?[0-9]{2,3},"
    r"|0x[0-9A-Fa-f]{2},[ ]?0x|(?i:chr)\([0-9]{2,3}\)[ ]?[.+&]|\\[01][0-7]{2}\\+[01][0-7]{2}"
    r"|" + patterns.JOINT
)


class TooLargeToUnpack(Exception):
    """The compressed data is too large to be decompressed."""


class Base64Content(NamedTuple):
    """The text that a run of base64 encodes."""

    text: bytes
    was_compressed: bool


def base64_content(run: bytes) -> Base64Content | None:
    """Return the text that a run of base64 encodes, decompressed if necessary, else None.

    The run may also be the hex or base32 of a text.

    Raise TooLargeToUnpack if it cannot be examined as a whole. The first 24 characters decide for
    nearly every run.
    """
    standard = run.translate(_STANDARD).rstrip(b"=")
    if patterns.HEX_OF_TEXT.fullmatch(standard) is not None:
        return _text(bytes.fromhex(standard[: len(standard) // 2 * 2].decode()))
    try:
        if patterns.BASE32.fullmatch(standard) is not None:
            usable = standard[: len(standard) - len(standard) % 8]
            content = base64.b32decode(usable)
            if content.isascii() and (found := _text(content)) is not None:
                rest = standard[len(usable) :]
                if len(rest) not in _B32:
                    return found
                last = base64.b32decode(rest + b"=" * (-len(rest) % 8))
                return Base64Content(found.text + last, was_compressed=False)
        head = binascii.a2b_base64(standard[:24])
        unpack = next((unpack for magic, unpack in _COMPRESSED if head.startswith(magic)), None)
        if not head[1::2].strip(b"\0"):
            return _text(_decode_base64(standard)[::2])
        if unpack is None and len(head.translate(None, _CONTROLS)) < 17:
            return None
        content = _decode_base64(standard)
        return _text(content) if unpack is None else _unpack(content, unpack)
    except ValueError:
        return None


def _decode_base64(standard: bytes) -> bytes:
    usable = standard if len(standard) % 4 != 1 else standard[:-1]
    return binascii.a2b_base64(usable + b"=" * (-len(usable) % 4))


def _text(content: bytes) -> Base64Content | None:
    if content.isascii():
        return (
            Base64Content(content, was_compressed=False)
            if len(content.translate(None, _CONTROLS)) >= 0.95 * len(content)
            else None
        )
    decoded = content.decode("utf-8")
    printable = sum(map(str.isprintable, decoded)) + sum(map(decoded.count, "\r\n\t"))
    return (
        Base64Content(content, was_compressed=False) if printable >= 0.95 * len(decoded) else None
    )


def _unpack(content: bytes, unpack: Callable[[bytes], tuple[bytes, bool]]) -> Base64Content | None:
    try:
        plain, has_more = unpack(content)
    except (zlib.error, OSError, EOFError):
        return None
    if has_more:
        raise TooLargeToUnpack
    return Base64Content(plain.decode("utf-8", "replace").encode(), was_compressed=True)


def _inflate(content: bytes) -> tuple[bytes, bool]:
    stream = zlib.decompressobj(wbits=47)  # gzip or zlib, by its header
    plain = stream.decompress(content, LARGEST_RATIO * len(content))
    return plain, bool(stream.unconsumed_tail)


def _decompress_bzip2(content: bytes) -> tuple[bytes, bool]:
    stream = bz2.BZ2Decompressor()
    plain = stream.decompress(content, LARGEST_RATIO * len(content))
    return plain, not stream.eof and not stream.needs_input


_COMPRESSED: tuple[tuple[bytes, Callable[[bytes], tuple[bytes, bool]]], ...] = (
    (b"\x1f\x8b\x08", _inflate),
    (b"\x78\x01", _inflate),
    (b"\x78\x5e", _inflate),
    (b"\x78\x9c", _inflate),
    (b"\x78\xda", _inflate),
    (b"BZh", _decompress_bzip2),
)
