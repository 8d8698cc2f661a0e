"""Characters that act where they are shown, and never reach a line of text as they are.

They are the control characters C0, DEL and C1 (a terminal obeys them, a parser may end a line or
the text at one), the line and paragraph separators, and the characters that change the direction of
text ("Trojan Source", CVE-2021-42574): a file that is called `<U+202E>gpj.sh` is shown as `hs.jpg`.
"""

from __future__ import annotations

import re

REPLACEMENT = "\ufffd"

_ACTING = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f]")


def replace_control_characters(text: str) -> str:
    """Return a text with U+FFFD for each character that acts.

    A format that has escapes for some of them (a line break, a tab) writes these before.
    """
    # Nothing that acts is printable, and `isprintable` is much faster than the search.
    return text if text.isprintable() else _ACTING.sub(REPLACEMENT, text)


def escape_control_characters(document: bytes) -> bytes:
    r"""Return JSON that means the same and has none of the characters that act.

    In a string, where JSON allows all but C0 as they are, they become `\uXXXX`; between values it
    allows only C0 that is white space, which becomes a blank.
    """
    text = document.decode()
    return document if text.isprintable() else _ACTING.sub(_escape, text).encode()


def _escape(found: re.Match[str]) -> str:
    character = found.group()
    return " " if character < " " else f"\\u{ord(character):04x}"
