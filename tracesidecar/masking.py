"""Keep values that came from the environment or a file out of messages, reports and logs.

What a person keeps out of the configuration is taken for a credential, whatever its place: the path
of a webhook, the name of a bucket. In its place people see the reference, `${env:HOOK}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import quote, unquote, urlsplit

import msgspec

from tracesidecar.errors import ConfigurationError, SinkError
from tracesidecar.units import Interpolated, Origin

SHORTEST_ANYWHERE = 8
"""A shorter value is masked only where it stands alone: `dev` is also a part of `/dev/null`."""

_SHORTEST = 2


class Mask:
    """Puts references in the place of values, in any form in which these are usually written."""

    def __init__(self, origins: Iterable[Origin]) -> None:
        self._references: dict[str, str] = {}
        for reference, value in origins:
            for form in _forms(value):
                self._references.setdefault(form, reference)
        longest_first = sorted(self._references, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_alone_if_short, longest_first)))

    @classmethod
    def of(cls, options: object) -> Mask:
        """Return the mask for all values in a tree of options."""
        return cls(_origins(options))

    def apply(self, text: str) -> str:
        """Return the text with references in the place of values."""
        if not self._references:
            return text
        return self._pattern.sub(lambda found: self._references[found.group()], text)

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
    """Mask every text of a log event by the mask in force (a processor of structlog)."""
    mask = _in_force.get()
    return (
        event if mask is None else {key: _mask_value(value, mask) for key, value in event.items()}
    )


_in_force: ContextVar[Mask | None] = ContextVar("mask", default=None)


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
    for part in (value, *_parts_of_address(value)):
        stripped = part.strip()
        for form in (part, stripped, stripped.rstrip("/"), stripped.lower()):
            for written in (form, quote(form), quote(form, safe=""), unquote(form)):
                if len(written) >= _SHORTEST:
                    yield written


def _parts_of_address(value: str) -> Iterator[str]:
    """Yield what is shown of a value that is a whole address, or the end of one."""
    yield re.split(r"[?#]", value, maxsplit=1)[0]
    try:
        parts = urlsplit(value)
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:  # not an address
        return
    if parts.scheme and parts.netloc:
        host = parts.hostname or ""
        yield f"{parts.scheme}://{parts.netloc}"
        yield f"{parts.scheme}://{host}{port}"
        yield from (f"{host}{port}", host, parts.username or "", parts.password or "")
        for longer in (parts.path.strip("/"), parts.query):
            if len(longer) >= SHORTEST_ANYWHERE:  # `logs` is also a word of sentences
                yield longer
