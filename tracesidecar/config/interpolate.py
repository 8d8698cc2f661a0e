"""Replace `${env:NAME}`, `${env:NAME:-default}` and `${file:PATH}` in a document's strings."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tracesidecar.config.problems import KeyPath, Problem
from tracesidecar.journal import passes
from tracesidecar.units import Origin, Piece

_REFERENCE = re.compile(r"\$?\$\{([^}]*)\}?")
_ENV = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_ALLOWED = (
    "allowed are ${env:NAME}, ${env:NAME:-default} and ${file:PATH}; a literal ${ is written $${"
)
_FILE_LIMIT = 64 * 1024


@dataclass(slots=True)
class InterpolatedDocument:
    """The document with its references replaced, the keys that had one, and the mistakes.

    `pieces` has for each key what its text consists of now. No message contains a value.
    """

    document: dict[str, object]
    pieces: dict[KeyPath, tuple[Piece, ...]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def interpolate(
    document: Mapping[str, object], environ: Mapping[str, str], folder: str
) -> InterpolatedDocument:
    """Replace the references in all strings. Relative files start at `folder`."""
    result = InterpolatedDocument({})
    resolver = _Resolver(environ, folder, result)
    result.document = {key: resolver.walk(value, (key,)) for key, value in document.items()}
    return result


def _without_default(match: re.Match[str]) -> str:
    """Return a reference as it is shown: its default may be the value."""
    variable = _ENV.fullmatch(match.group(1))
    return f"${{env:{variable.group(1)}}}" if variable else match.group()


class _Unresolved(Exception):
    """A reference without a value; the message says why. `may_pass` is as in **Problem**."""

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.may_pass = may_pass


@dataclass(frozen=True, slots=True)
class _Resolver:
    environ: Mapping[str, str]
    folder: str
    result: InterpolatedDocument

    def walk(self, value: object, path: KeyPath) -> object:
        if isinstance(value, str):
            return self.text(value, path) if "${" in value else value
        if isinstance(value, list):
            return [self.walk(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, dict):
            return {key: self.walk(item, (*path, key)) for key, item in value.items()}
        return value

    def text(self, value: str, path: KeyPath) -> str:
        pieces: list[Piece] = []
        done = 0
        try:
            for match in _REFERENCE.finditer(value):
                pieces.append(value[done : match.start()])
                replaced = self.replace(match)
                is_literal = match.group().startswith("$$")
                pieces.append(replaced if is_literal else Origin(_without_default(match), replaced))
                done = match.end()
        except _Unresolved as error:
            self.result.problems.append(Problem(path, str(error), may_pass=error.may_pass))
            return ""
        pieces.append(value[done:])
        self.result.pieces[path] = tuple(pieces)
        return "".join(piece.value if isinstance(piece, Origin) else piece for piece in pieces)

    def replace(self, match: re.Match[str]) -> str:
        written = match.group()
        if written.startswith("$$"):
            return written[1:]
        if not written.endswith("}"):
            raise _Unresolved(f"a ${{ without a closing }}; {_ALLOWED}")
        reference = match.group(1)
        if variable := _ENV.fullmatch(reference):
            return self.variable(variable.group(1), variable.group(2))
        if reference.startswith("file:") and len(reference) > len("file:"):
            return self.file(reference.removeprefix("file:"))
        raise _Unresolved(f"unknown kind of reference; {_ALLOWED}")

    def variable(self, name: str, default: str | None) -> str:
        value = self.environ.get(name)
        if value is None and default is None:
            raise _Unresolved(
                f"the environment variable {name} is not set; set it, "
                f"or give a default with ${{env:{name}:-default}}"
            )
        return value or default or ""

    def file(self, name: str) -> str:
        path = os.path.join(self.folder, name)
        try:
            with open(path, encoding="utf-8") as file:
                content = file.read(_FILE_LIMIT + 1)
        except UnicodeDecodeError:
            raise _Unresolved(f"the file {path} is not UTF-8 text") from None
        except OSError as error:
            raise _Unresolved(
                f"the file {path} cannot be read: {error.strerror}", may_pass=passes(error)
            ) from error
        if len(content) > _FILE_LIMIT:
            raise _Unresolved(f"the file {path} is longer than 64 KiB, too long for a credential")
        return content.rstrip("\r\n")
