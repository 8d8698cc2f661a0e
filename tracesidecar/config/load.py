"""Find, read and check the configuration: a valid one, or every mistake with its line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import tomli

from tracesidecar.config.build import ConfigurationBuilder
from tracesidecar.config.cross_checks import (
    contradictions,
    find_shared_destinations,
    unavailable_directories,
)
from tracesidecar.config.decode import OptionsDecoder
from tracesidecar.config.defaults import make_embedded_default
from tracesidecar.config.exposures import exposures
from tracesidecar.config.interpolate import interpolate
from tracesidecar.config.line_numbers import locate
from tracesidecar.config.paths import absolute, default_state_directory
from tracesidecar.config.problems import KeyPath, LocatedProblem, Problem, locate_problem
from tracesidecar.config.schema import Configuration
from tracesidecar.config.tenants import find_mixed_tenants, separate_tenants
from tracesidecar.config.trust import NotTrusted, read_found
from tracesidecar.errors import ConfigurationError, ConfigurationUnavailable
from tracesidecar.journal import passes
from tracesidecar.masking import Mask
from tracesidecar.units import Origin, Piece

SEARCHED = ("tracesidecar.toml", "/etc/tracesidecar/config.toml")
"""The paths to try when neither `--config` nor `$TRACESIDECAR_CONFIG` names a file."""

EMBEDDED = "embedded default"

_STATE_DIRECTORY = "state_directory"


@dataclass(frozen=True, slots=True)
class LoadedConfiguration:
    """A valid configuration. `path` is None for the embedded default.

    Each warning is a sentence with file and line.
    """

    configuration: Configuration
    path: str | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConfigurationReport:
    """Everything that `check-config` reports: all mistakes and warnings at once.

    `configuration` is None if it could not be built.
    """

    path: str | None
    configuration: Configuration | None
    problems: tuple[LocatedProblem, ...]
    warnings: tuple[LocatedProblem, ...]


def load(path: str | None, environ: Mapping[str, str]) -> LoadedConfiguration:
    """Load the configuration from `path`, the environment or the default locations.

    Raise ConfigurationError with the first mistake and the number of others;
    ConfigurationUnavailable if all of them may pass.
    """
    inspection = inspect(path, environ)
    if inspection.problems or inspection.configuration is None:
        more = len(inspection.problems) - 1
        hint = f' (and {more} more, see "tracesidecar check-config")' if more else ""
        raise _make_error(inspection, hint)
    return LoadedConfiguration(
        inspection.configuration,
        inspection.path,
        tuple(str(warning) for warning in inspection.warnings),
    )


def inspect(path: str | None, environ: Mapping[str, str]) -> ConfigurationReport:
    """Find every mistake of the configuration at once."""
    chosen = find(path, environ)
    if chosen is None:
        return _check(None, make_embedded_default(environ, os.getcwd()), None, {})
    try:
        text = _read(chosen)
        document, lines = tomli.loads(text), locate(text)
    except NotTrusted as error:
        return _unreadable(chosen, 0, str(error))
    except tomli.TOMLDecodeError as error:
        return _unreadable(chosen, error.lineno, _syntax(error))
    except (OSError, UnicodeDecodeError) as error:
        may_pass = isinstance(error, OSError) and passes(error)
        return _unreadable(chosen, 0, _describe_read_error(error), may_pass=may_pass)
    except (RecursionError, ValueError):
        return _unreadable(
            chosen, 0, "not a configuration: it is nested too deeply, or a number is too long"
        )
    folder = os.path.dirname(os.path.abspath(chosen))
    interpolated = interpolate(document, environ, folder)
    if interpolated.problems:
        return ConfigurationReport(chosen, None, _locate(interpolated.problems, chosen, lines), ())
    pieces = interpolated.pieces
    decoder = OptionsDecoder(pieces)
    configuration = ConfigurationBuilder(decoder, folder, environ).build(interpolated.document)
    if configuration is None:
        problems = _mask(decoder.problems, pieces)
        return ConfigurationReport(chosen, None, _locate(problems, chosen, lines), ())
    return _check(chosen, configuration, lines, pieces)


def guess_state_directory(path: str | None, environ: Mapping[str, str]) -> str:
    """Return the state directory of a configuration that cannot be loaded.

    It is what the readable part of the file says, else the default.
    """
    chosen = find(path, environ)
    default = default_state_directory(environ)
    if chosen is None:
        return default
    try:
        text = _read(chosen)
    except (NotTrusted, OSError, UnicodeDecodeError):
        return default
    folder = os.path.dirname(os.path.abspath(chosen))
    written = interpolate({_STATE_DIRECTORY: _find_state_directory(text)}, environ, folder)
    value = written.document[_STATE_DIRECTORY]
    return absolute(value, folder, environ) if isinstance(value, str) and value else default


def _find_state_directory(text: str) -> object:
    """Return the value of the key, also where something else is not valid TOML."""
    with suppress(ValueError, RecursionError):
        return tomli.loads(text).get(_STATE_DIRECTORY)
    for line in text.splitlines():
        if line.lstrip().startswith("["):
            break  # tables begin here, and the key is in none
        with suppress(ValueError, RecursionError):  # the mistake may be in this very line
            if (value := tomli.loads(line).get(_STATE_DIRECTORY)) is not None:
                return value
    return None


def find(path: str | None, environ: Mapping[str, str]) -> str | None:
    """Name the configuration file; None means the embedded default."""
    given = path or environ.get("TRACESIDECAR_CONFIG")
    return given or next((path for path in SEARCHED if os.path.lexists(path)), None)


def _make_error(inspection: ConfigurationReport, hint: str = "") -> ConfigurationError:
    """Return the error to raise for the first mistake."""
    message = f"{inspection.problems[0]}{hint}"
    if all(problem.may_pass for problem in inspection.problems):
        return ConfigurationUnavailable(f"{message}; this may pass, so try again")
    return ConfigurationError(message)


def _check(
    path: str | None,
    configuration: Configuration,
    lines: Mapping[KeyPath, int] | None,
    pieces: Mapping[KeyPath, tuple[Piece, ...]],
) -> ConfigurationReport:
    file = path or EMBEDDED
    found = list(exposures(configuration))
    rejected = [each for each in found if each.is_rejected]
    accepted = [each for each in found if not each.is_rejected]
    contradicting = [*contradictions(configuration), *find_mixed_tenants(configuration)]
    problems = _mask([*contradicting, *rejected], pieces)
    shared = [] if problems else find_shared_destinations(configuration)
    notes = [*unavailable_directories(configuration), *shared, *accepted] if path else []
    warnings = _mask(notes, pieces)
    return ConfigurationReport(
        path,
        separate_tenants(configuration),
        _locate(problems, file, lines),
        _locate(warnings, file, lines),
    )


def _mask(
    problems: Iterable[Problem], pieces: Mapping[KeyPath, tuple[Piece, ...]]
) -> list[Problem]:
    """Put references in the place of values: an option may quote what another of its block has."""

    def mask(path: KeyPath) -> Mask:
        block = path[:2]
        beside = (found for key, found in pieces.items() if key[: len(block)] == block)
        return Mask(each for found in beside for each in found if isinstance(each, Origin))

    return [replace(each, message=mask(each.path).apply(each.message)) for each in problems]


def _locate(
    problems: Iterable[Problem], file: str, lines: Mapping[KeyPath, int] | None
) -> tuple[LocatedProblem, ...]:
    located = (locate_problem(problem, file, lines) for problem in problems)
    return tuple(sorted(located, key=lambda problem: (problem.line, problem.key)))


def _read(path: str) -> str:
    if path == SEARCHED[0]:  # also when a reload reads again what the start has found
        return read_found(path)
    with open(path, encoding="utf-8") as file:
        return file.read()


def _unreadable(
    path: str, line: int, message: str, *, may_pass: bool = False
) -> ConfigurationReport:
    problem = LocatedProblem(path, line, "", message, may_pass=may_pass)
    return ConfigurationReport(path, None, (problem,), ())


def _describe_read_error(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, OSError):
        return f"the configuration cannot be read: {error.strerror}"
    return f"the configuration is not UTF-8 text (byte {error.start})"


def _syntax(error: tomli.TOMLDecodeError) -> str:
    """Describe a syntax error. The decoder's own message may quote the text, so it is not shown."""
    if error.msg.startswith(("Cannot", "Duplicate")):
        return f"this key or table is given a second time (column {error.colno}); write it once"
    if error.msg.startswith("Invalid value"):
        return f"not valid TOML: invalid value in column {error.colno}; strings need quotes"
    return f"not valid TOML in column {error.colno}: {error.msg}"


def load_to_read(path: str | None, environ: Mapping[str, str]) -> Configuration:
    """Load for a command that only reads.

    Mistakes that matter only for shipping, such as an unreadable directory, are ignored. Raise
    ConfigurationError if there is no configuration at all.
    """
    inspection = inspect(path, environ)
    if inspection.configuration is None:
        raise _make_error(inspection)
    return inspection.configuration
