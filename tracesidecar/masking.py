"""Keep values that came from the environment or a file out of messages, reports and logs.

What a person keeps out of the configuration is taken for a credential, whatever its place: the path
of a webhook, the name of a bucket. In its place people see the reference, `${env:HOOK}`. A name
that is made of options has it by construction (`describe_with_references`); in the sentences of
libraries, which write a value in their own way, the value is searched for (`Mask`).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import NamedTuple, TypeVar
from urllib.parse import quote, unquote, urljoin, urlsplit

import msgspec

from tracesidecar.errors import ConfigurationError, SinkError
from tracesidecar.units import Interpolated, Origin

SHORTEST_ANYWHERE = 8
"""A shorter value is masked only where it stands alone: `dev` is also a part of `/dev/null`.

Of a longer one every run of so many characters is masked.
"""

_SHORTEST = 2
_SHORTEST_OF_LETTERS = 5
"""A value that is long because of its punctuation is known by so many letters and digits."""

_NAMES = frozenset({"event", "reason", "sink", "source"})
"""Fields of a log event that name things, and are shown."""

_OWN_WORDS = frozenset(
    {
        *("acknowledged", "authentication", "certificate", "certificates", "configuration"),
        *("connection", "container", "credential", "credentials", "database", "destination"),
        *("directory", "elasticsearch", "endpoint", "environment", "localhost", "opensearch"),
        *("password", "permission", "postgres", "postgresql", "resolver", "tracesidecar"),
    }
)
"""Long words of our sentences: that a value has one in it, too, makes it no part of the value."""

_WORD = re.compile(r"[a-z]*")

_HARMLESS_PARTS = frozenset({"true", "false", "http", "https"})

_ESCAPES = re.compile(
    r"(?:%[0-9A-Fa-f]{2})+|\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\[0abfnrtv]|&(?:#?[A-Za-z0-9]{2,5});"
)

OptionsT = TypeVar("OptionsT", bound=msgspec.Struct)


class Mask:
    """Puts references in the place of values, in any form in which these are usually written.

    That is the value as it is; each run of 8 of its characters, in upper or lower case, with
    escapes or without, whatever stands between its letters and digits; and the parts of a list.
    """

    def __init__(self, origins: Iterable[Origin]) -> None:
        self._references: dict[str, str] = {}
        self._runs: dict[str, str] = {}
        self._letters: dict[str, str] = {}
        self._addresses: list[tuple[re.Pattern[str], str]] = []
        for reference, value in origins:
            for form in _forms(value):
                self._references.setdefault(form, reference)
            if (address := _address_pattern(value)) is not None:
                self._addresses.append((address, reference))
            for form in _decode_forms(value):
                self._learn_runs(form.lower(), reference)
        longest_first = sorted(self._references, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_alone_if_short, longest_first)))
        self._own = re.compile("|".join(map(re.escape, {*self._references.values()})))

    def _learn_runs(self, form: str, reference: str) -> None:
        letters = "".join(filter(str.isalnum, form))
        for text in (form, letters):
            for start in range(len(text) - SHORTEST_ANYWHERE + 1):
                self._runs.setdefault(text[start : start + SHORTEST_ANYWHERE], reference)
        if (
            len(form) >= SHORTEST_ANYWHERE > len(letters) >= _SHORTEST_OF_LETTERS
        ):  # `abc//../defg`, of which a URL makes `abc/defg`
            self._letters.setdefault(letters, reference)

    @classmethod
    def of(cls, options: object) -> Mask:
        """Return the mask for all values in a tree of options."""
        return cls(_origins(options))

    def apply(self, text: str) -> str:
        """Return the text with references in the place of values. Those that it has, it keeps."""
        if not self._references:
            return text
        masked, done = [], 0
        for own in self._own.finditer(text):
            masked += [self._apply(text[done : own.start()]), own.group()]
            done = own.end()
        return "".join((*masked, self._apply(text[done:])))

    def _apply(self, text: str) -> str:
        masked, done = [], 0
        for start, end, reference in _merge(self._find(text)):
            masked += [text[done:start], reference]
            done = end
        return "".join((*masked, text[done:]))

    def _find(self, text: str) -> Iterator[_Found]:
        for found in self._pattern.finditer(text):
            yield _Found(*found.span(), self._references[found.group()])
        for pattern, reference in self._addresses:
            for found in pattern.finditer(text):
                yield _Found(*found.span(), reference)
        for view in _views(text):
            yield from self._find_runs(view, text)
            yield from self._find_runs(view.without_punctuation(), text)

    def _find_runs(self, view: _View, text: str) -> Iterator[_Found]:
        last: _Found | None = None
        for start in range(len(view.text) - SHORTEST_ANYWHERE + 1):
            reference = self._runs.get(view.text[start : start + SHORTEST_ANYWHERE])
            if reference is None:
                continue
            found = _Found(*view.span(start, start + SHORTEST_ANYWHERE), reference)
            if last is not None and found.start <= last.end:
                last = _Found(last.start, max(last.end, found.end), last.reference)
                continue
            if last is not None and not _is_own_word(text, last):
                yield last
            last = found
        if last is not None and not _is_own_word(text, last):
            yield last
        for letters, reference in self._letters.items():
            at = view.text.find(letters)
            if at >= 0:
                yield _Found(*view.span(at, at + len(letters)), reference)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Mask what is logged in this block, in its task and threads, and what errors it raises."""
        token = _in_force.set(self)
        try:
            yield
        except SinkError as error:
            error.rephrase(self.apply)
            raise
        except ConfigurationError as error:
            raise ConfigurationError(self.apply(str(error))) from None
        finally:
            _in_force.reset(token)


def mask_log_event(
    _logger: object, _method: str, event: Mapping[str, object]
) -> Mapping[str, object]:
    """Mask every text of a log event by the mask in force (a processor of structlog).

    Not the name of the event, nor those of sink and source.
    """
    mask = _in_force.get()
    if mask is None:
        return event
    return {
        key: value if key in _NAMES else _mask_value(value, mask) for key, value in event.items()
    }


_in_force: ContextVar[Mask | None] = ContextVar("mask", default=None)


def describe_with_references(options: OptionsT, describe: Callable[[OptionsT], str]) -> str | None:
    """Return what `describe` says of options, with the references in the place of values.

    It is given options in which other words stand for the values, so that none is in what it
    returns, whatever it does with them: lower case, escapes, a part of it. None if it needs the
    values: what they are together makes no sense of it, as of a connection string.
    """
    stand_ins = _StandIns(options)
    if not stand_ins.references:
        return describe(options)
    made = copy.copy(options)
    for name in options.__struct_fields__:
        msgspec.structs.force_setattr(made, name, stand_ins.fill_in(getattr(options, name)))
    try:
        return stand_ins.restore(describe(made))
    except ValueError:
        return None


def list_references(options: msgspec.Struct) -> list[str]:
    """Return the references in the texts of options, each once: `${env:HOOK}`."""
    return list(dict.fromkeys(_StandIns(options).references.values()))


class _StandIns:
    """A word for each value in the texts of options, which is nowhere else in them.

    For a number it is another number (a port is one), for an absolute path another one.
    """

    def __init__(self, options: msgspec.Struct) -> None:
        texts = [getattr(options, name) for name in options.__struct_fields__]
        self._all = repr(list(map(_literal, texts)))
        self._words: dict[int, str] = {}
        self.references: dict[str, str] = {}
        for text in texts:
            for each in text if isinstance(text, tuple) else (text,):
                if isinstance(each, Interpolated):
                    for origin in each.origins:
                        self._choose(origin)

    def _choose(self, origin: Origin) -> None:
        number = 40_001 + len(self.references)
        while True:
            word = str(number) if origin.value.isdecimal() else f"zq{number}qz"
            if word not in self._all and word not in str(self.references):
                break
            number += 1
        if origin.value.startswith("/"):
            word = f"/{word}"
        self.references[word] = origin.reference
        self._words[id(origin)] = word

    def fill_in(self, value: object) -> object:
        """Return a value of an option with the words in the place of values."""
        if isinstance(value, Interpolated) and value.origins:
            return "".join(
                self._words[id(piece)] if isinstance(piece, Origin) else piece
                for piece in value.pieces
            )
        if isinstance(value, tuple):
            return tuple(map(self.fill_in, value))
        return value

    def restore(self, text: str) -> str:
        """Return a text with the references in the place of the words."""
        for word, reference in self.references.items():
            text = text.replace(word, reference).replace(word.lstrip("/"), reference)
        return text


def _literal(value: object) -> object:
    """Return what of an option's value is written in the configuration."""
    if isinstance(value, Interpolated) and value.origins:
        return [piece for piece in value.pieces if not isinstance(piece, Origin)]
    return list(map(_literal, value)) if isinstance(value, tuple) else str(value)


class _Found(NamedTuple):
    """The span of a text that repeats a part of a value, and that value's reference."""

    start: int
    end: int
    reference: str


class _View(NamedTuple):
    """A text as somebody may read it, and where each of its characters is in the real one."""

    text: str
    starts: list[int]
    ends: list[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where a part of the view is in the real text."""
        return self.starts[start], self.ends[end - 1]

    def without_punctuation(self) -> _View:
        """Return the view of the letters and digits alone."""
        return self._of(at for at, character in enumerate(self.text) if character.isalnum())

    def decode(self) -> _View:
        """Return the view without escapes: of addresses, of programs, of pages."""
        text, starts, ends, done = [], [], [], 0
        for found in _ESCAPES.finditer(self.text):
            for characters, span in (
                (self.text[done : found.start()], range(done, found.start())),
                (_unescape(found.group()), None),
            ):
                text.append(characters)
                if span is None:
                    starts += [self.starts[found.start()]] * len(characters)
                    ends += [self.ends[found.end() - 1]] * len(characters)
                else:
                    starts += self.starts[span.start : span.stop]
                    ends += self.ends[span.start : span.stop]
            done = found.end()
        return _View(
            "".join((*text, self.text[done:])),
            starts + self.starts[done:],
            ends + self.ends[done:],
        )

    def _of(self, places: Iterable[int]) -> _View:
        kept = list(places)
        return _View(
            "".join(self.text[at] for at in kept),
            [self.starts[at] for at in kept],
            [self.ends[at] for at in kept],
        )


def _views(text: str) -> Iterator[_View]:
    """Yield a text in lower case, as it is written, and with its escapes decoded once and twice."""
    lowered = [(low, at) for at, character in enumerate(text) for low in character.lower()]
    starts = [at for _, at in lowered]
    view = _View("".join(low for low, _ in lowered), starts, [at + 1 for at in starts])
    yield view
    for _ in range(2):
        if (decoded := view.decode()).text == view.text:
            return
        view = decoded
        yield view


def _unescape(written: str) -> str:
    if written.startswith("%"):
        return unquote(written, errors="replace").lower()
    if written.startswith(("\\x", "\\u")):
        return written.encode().decode("unicode_escape").lower()
    return " "


def _merge(found: Iterable[_Found]) -> list[_Found]:
    """Return the spans in order; of overlapping ones, the first."""
    merged: list[_Found] = []
    for each in sorted(found, key=lambda each: (each.start, -each.end)):
        if merged and each.start < merged[-1].end:
            last = merged[-1]
            merged[-1] = _Found(last.start, max(last.end, each.end), last.reference)
        elif merged and each.start == merged[-1].end and each.reference == merged[-1].reference:
            merged[-1] = _Found(merged[-1].start, each.end, each.reference)
        else:
            merged.append(each)
    return merged


def _is_own_word(text: str, found: _Found) -> bool:
    start, end = found.start, found.end
    while start and text[start - 1].isalpha():
        start -= 1
    while end < len(text) and text[end].isalpha():
        end += 1
    return text[start:end].lower() in _OWN_WORDS


def _mask_value(value: object, mask: Mask) -> object:
    if isinstance(value, str):
        return mask.apply(value)
    if isinstance(value, list | tuple):
        return [_mask_value(item, mask) for item in value]
    if isinstance(value, dict):
        return {key: _mask_value(item, mask) for key, item in value.items()}
    return value


def _origins(options: object) -> Iterator[Origin]:
    if isinstance(options, Interpolated):
        yield from options.origins
    elif isinstance(options, msgspec.Struct):
        for name in options.__struct_fields__:
            yield from _origins(getattr(options, name))
    elif isinstance(options, list | tuple):
        for item in options:
            yield from _origins(item)
    elif isinstance(options, dict):
        for item in options.values():
            yield from _origins(item)


def _alone_if_short(form: str) -> str:
    escaped = re.escape(form)
    if len(form) >= SHORTEST_ANYWHERE:
        return escaped
    return f"(?<![A-Za-z0-9]){escaped}(?![A-Za-z0-9])"


def _forms(value: str) -> Iterator[str]:
    """Yield a value as it is written, and as a part of an address or of an error may write it."""
    for part in (value, *_parts_of_address(value), *_parts_of_list(value)):
        stripped = part.strip()
        for form in (part, stripped, stripped.rstrip("/"), stripped.lower()):
            for written in (form, quote(form), quote(form, safe=""), unquote(form)):
                if len(written) >= _SHORTEST:
                    yield written


def _decode_forms(value: str) -> Iterator[str]:
    """Yield a long value without what says only which kind of address it is, also decoded."""
    _, separator, rest = value.partition("://")
    form = rest if separator and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", value) else value
    for _ in range(3):
        if len(form) >= SHORTEST_ANYWHERE:
            yield form
            with suppress(UnicodeError):  # no name of a host
                yield form.partition("/")[0].encode("idna").decode()
        if (decoded := unquote(form)) == form:
            return
        form = decoded


def _address_pattern(value: str) -> re.Pattern[str] | None:
    """Return how host and path of an address are written with a port that it leaves to a default.

    None for a value that is none, or has no path.
    """
    try:
        parts = urlsplit(value)
        host, path = parts.hostname, parts.path.rstrip("/")
    except ValueError:
        return None
    if not parts.scheme or not host or not path:
        return None
    either = "|".join(map(re.escape, {path, unquote(path), quote(unquote(path))}))
    return re.compile(
        rf"(?:[a-z][a-z0-9+.-]*://)?(?<![A-Za-z0-9]){re.escape(host)}(?::[0-9]+)?(?:{either})",
        re.IGNORECASE,
    )


def _parts_of_address(value: str) -> Iterator[str]:
    """Yield what is shown of a value that is a whole address, or the end of one."""
    yield re.split(r"[?#]", value, maxsplit=1)[0]
    try:
        parts = urlsplit(value)
        port = f":{parts.port}" if parts.port is not None else ""
        without_dots = urljoin("http://host/", value)
    except ValueError:  # not an address
        return
    if parts.scheme and parts.netloc:
        host = parts.hostname or ""
        yield f"{parts.scheme}://{parts.netloc}"
        yield f"{parts.scheme}://{host}{port}"
        yield from (f"{host}{port}", host, parts.username or "", parts.password or "")
        for rest in (parts.path.strip("/"), parts.query):
            if len(rest) >= SHORTEST_ANYWHERE or not _WORD.fullmatch(rest):
                yield rest  # but `logs` is also a word of sentences
    elif "/" in value:
        yield without_dots.removeprefix("http://host/")


def _parts_of_list(value: str) -> Iterator[str]:
    """Yield the parts of `host:port,host:port` and of `Name=value;Name=value`."""
    for part in re.split(r"[,;]", value) if "\n" not in value else ():
        if part == value and "=" not in part and ":" not in part:
            return
        for each in (part, part.partition("=")[2], part.rpartition(":")[0]):
            if not each.isdecimal() and each.lower() not in _HARMLESS_PARTS:
                yield each
