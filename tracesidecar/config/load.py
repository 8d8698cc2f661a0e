"""Find the configuration, read it, and judge it: a value that can be run, or every mistake with its
line.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import tomli

from tracesidecar.config.build import Assembler
from tracesidecar.config.cross_checks import absent_directories, contradictions
from tracesidecar.config.decode import Decoder
from tracesidecar.config.defaults import embedded_default
from tracesidecar.config.interpolate import interpolate
from tracesidecar.config.line_numbers import locate
from tracesidecar.config.problems import Finding, KeyPath, Problem, place
from tracesidecar.config.schema import Configuration
from tracesidecar.errors import ConfigurationError

SEARCHED = ("tracesidecar.toml", "/etc/tracesidecar/config.toml")
"""Where a configuration is looked for when neither `--config` nor `$TRACESIDECAR_CONFIG` names one.
"""

EMBEDDED = "embedded default"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that can be run; `path` is None for the embedded default.

    A warning is a sentence with file and line.
    """

    configuration: Configuration
    path: str | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inspection:
    """What `check-config` tells: all mistakes and warnings at once.

    `configuration` is None where a mistake left none.
    """

    path: str | None
    configuration: Configuration | None
    problems: tuple[Finding, ...]
    warnings: tuple[Finding, ...]


def load(path: str | None, environ: Mapping[str, str]) -> Loaded:
    """Load the configuration that `path`, the environment or the usual places name; raise
    ConfigurationError with the first mistake.
    """
    inspection = inspect(path, environ)
    if inspection.problems or inspection.configuration is None:
        more = len(inspection.problems) - 1
        hint = f' (and {more} more, see "tracesidecar check-config")' if more else ""
        raise ConfigurationError(f"{inspection.problems[0]}{hint}")
    return Loaded(
        inspection.configuration,
        inspection.path,
        tuple(str(warning) for warning in inspection.warnings),
    )


def inspect(path: str | None, environ: Mapping[str, str]) -> Inspection:
    """Find every mistake of the configuration at once."""
    chosen = find(path, environ)
    if chosen is None:
        return _judged(None, embedded_default(environ, os.getcwd()), None)
    try:
        text = _read(chosen)
        document, lines = tomli.loads(text), locate(text)
    except tomli.TOMLDecodeError as error:
        return _unreadable(chosen, error.lineno, _syntax(error))
    except (OSError, UnicodeDecodeError) as error:
        return _unreadable(chosen, 0, _no_text(error))
    except (RecursionError, ValueError):
        return _unreadable(
            chosen, 0, "not a configuration: it is nested too deeply, or a number is too long"
        )
    folder = os.path.dirname(os.path.abspath(chosen))
    interpolated = interpolate(document, environ, folder)
    if interpolated.problems:
        return Inspection(chosen, None, _placed(interpolated.problems, chosen, lines), ())
    decoder = Decoder(interpolated.paths)
    configuration = Assembler(decoder, folder, environ).configuration(interpolated.document)
    if configuration is None:
        return Inspection(chosen, None, _placed(decoder.problems, chosen, lines), ())
    return _judged(chosen, configuration, lines)


def find(path: str | None, environ: Mapping[str, str]) -> str | None:
    """Name the configuration file; None means the embedded default."""
    given = path or environ.get("TRACESIDECAR_CONFIG")
    return given or next((place for place in SEARCHED if os.path.lexists(place)), None)


def _judged(
    path: str | None, configuration: Configuration, lines: Mapping[KeyPath, int] | None
) -> Inspection:
    file = path or EMBEDDED
    problems = _placed(contradictions(configuration), file, lines)
    return Inspection(
        path,
        configuration,
        problems,
        _placed(absent_directories(configuration), file, lines) if path else (),
    )


def _placed(
    problems: Iterable[Problem], file: str, lines: Mapping[KeyPath, int] | None
) -> tuple[Finding, ...]:
    findings = (place(problem, file, lines) for problem in problems)
    return tuple(sorted(findings, key=lambda finding: (finding.line, finding.key)))


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _unreadable(path: str, line: int, message: str) -> Inspection:
    return Inspection(path, None, (Finding(path, line, "", message),), ())


def _no_text(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, OSError):
        return f"the configuration cannot be read: {error.strerror}"
    return f"the configuration is not UTF-8 text (byte {error.start})"


def _syntax(error: tomli.TOMLDecodeError) -> str:
    """Put the decoder's finding into a sentence; its own may quote the text."""
    if error.msg.startswith(("Cannot", "Duplicate")):
        return f"this key or table is given a second time (column {error.colno}); write it once"
    if error.msg.startswith("Invalid value"):
        return f"not valid TOML: no value that TOML knows stands in column {error.colno}; a text needs quotes"
    return f"not valid TOML in column {error.colno}: {error.msg}"


def load_to_read(path: str | None, environ: Mapping[str, str]) -> Configuration:
    """Load for a command that ships nothing: what only matters for shipping, such as an unreadable
    directory, does not stop it.
    """
    inspection = inspect(path, environ)
    if inspection.configuration is None:
        raise ConfigurationError(str(inspection.problems[0]))
    return inspection.configuration
