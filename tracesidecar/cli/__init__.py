"""The command line: find the command, import only its module, turn errors into exit codes.

It uses argparse, because the daemon starts through here: a library that also draws and completes
would cost memory and time at each start.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

from tracesidecar import __version__
from tracesidecar.cli.output import complain, flush_output, print_json, print_text, silence
from tracesidecar.cli.private_memory import make_memory_private
from tracesidecar.collector import collector_paused
from tracesidecar.early_signals import hold_signals, release_signals
from tracesidecar.errors import (
    ConfigurationError,
    ConfigurationUnavailable,
    JournalRemoved,
    OutputClosed,
    OutputError,
    RedactionError,
    StateError,
    StateLocked,
    StateUnavailable,
    TraceSidecarError,
)
from tracesidecar.exit_codes import ExitCode
from tracesidecar.isolation import Caller, isolation

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

COMMANDS = {
    "run": "follow and ship until stopped (the service)",
    "ship": "ship --once: ship everything that is there now, then exit",
    "exec": "exec -- CMD: start an agent, ship while it runs, drain after it",
    "init": "write a commented configuration for the agents found on this machine",
    "check-config": "report what is wrong with the configuration, and where",
    "status": "show what each sink has delivered, and what is not delivered yet",
    "explain": "show where each byte range of a file is, per sink",
    "quarantine": "list the rejected lines, show one, deliver them after all, or forget them",
    "scan": "preview without sending: invalid lines, secrets and personal data, tokens, cost",
    "redact": "redact stdin to stdout by the rules of the configuration",
    "verify": "prove from the destination that every range is there, once and unaltered",
    "recover": "after a lost state directory, find out from a store what has arrived",
    "compact": "rewrite past days of a lake into few large Parquet files, each event once",
    "ddl": "print the tables, views and loads of an engine for what is shipped, or create them",
    "config-schema": "print the JSON Schema of the configuration",
    "demo": "run a tiny agent that writes traces with planted secrets",
    "version": "print the version",
}
_SERVICES = frozenset({"run", "ship", "exec"})
"""The commands that handle signals themselves."""


class Command(Protocol):
    """What a command's module offers. It is called in the main thread of a fresh process.

    `arguments.caller` (Caller) is what the process was started with.
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's own arguments."""
        ...

    def execute(self, arguments: argparse.Namespace) -> int:
        """Run the command and return the exit code."""
        ...


class _Parser(argparse.ArgumentParser):
    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        if file is None:  # argparse itself swallows what stdout raises
            print_text(self.format_help())
        else:
            super().print_help(file)

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(ExitCode.USAGE, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    _reserve_standard_streams()
    trouble = make_memory_private()
    with isolation() as caller:
        try:
            if trouble:
                complain(f"tracesidecar: warning: {trouble}")
            if caller.ignored:
                complain(_describe_ignored(caller.ignored))
            code = _run(list(sys.argv[1:] if argv is None else argv), caller)
            flush_output()
        except OutputClosed:
            return _end_quietly()
        except OutputError as error:
            return _report_error(error, as_json=False)
        finally:
            release_signals()
    return code


def _run(words: list[str], caller: Caller) -> int:
    """Run one command, report what ends it, and return its exit code.

    OutputError is raised: whatever could still be printed would fail, too.
    """
    arguments: argparse.Namespace | None = None
    try:
        command, arguments = _parse(words, caller)
        return command.execute(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except OutputError:
        raise
    except TraceSidecarError as error:
        return _report_error(error, as_json=getattr(arguments, "json", False))
    except ExceptionGroup as group:  # what ran beside the service ended it
        first: Exception | None = group.subgroup(TraceSidecarError)
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        if isinstance(first, TraceSidecarError):
            return _report_error(first, as_json=getattr(arguments, "json", False))
        return _report_bug(group)
    except Exception as error:  # noqa: BLE001 - a bug ends here
        return _report_bug(error)


def _parse(words: list[str], caller: Caller) -> tuple[Command, argparse.Namespace]:
    """Read `--config` and the command, and let the module of the command read the rest."""
    head, name, rest = _split(_config_first(words))
    overview = _overview()
    given = overview.parse_args(head)
    if given.version:
        name = name or "version"
    if name is None:
        overview.print_help(sys.stderr)
        sys.exit(ExitCode.USAGE)
    if name not in COMMANDS:
        overview.error(f"there is no command {name!r}; the commands are {', '.join(COMMANDS)}")
    if name in _SERVICES:
        hold_signals()  # the imports take the longest until they are handled
    module = f"tracesidecar.cli.commands.{name.replace('-', '_')}"
    with collector_paused():
        command = cast("Command", importlib.import_module(module))
    parser = _Parser(prog=f"tracesidecar {name}", description=COMMANDS[name], allow_abbrev=False)
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=given.config,
        help="the configuration; see tracesidecar --help",
    )
    command.add_arguments(parser)
    return command, parser.parse_args(rest, argparse.Namespace(caller=caller))


def _config_first(words: list[str]) -> list[str]:
    """Move `--config FILE` to the front.

    It may follow the command; the command line of an agent behind `exec` or `--` is left alone.
    """
    end = next((at for at, word in enumerate(words) if word in {"exec", "--"}), len(words))
    options: list[str] = []
    others: list[str] = []
    ours = iter(words[:end])
    for word in ours:
        if word == "--config":
            options += [word, *([value] if (value := next(ours, None)) is not None else [])]
        else:
            (options if word.startswith("--config=") else others).append(word)
    return options + others + words[end:]


def _split(words: list[str]) -> tuple[list[str], str | None, list[str]]:
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] == "--config" else 1
    return words[:at], words[at] if at < len(words) else None, words[at + 1 :]


def _overview() -> argparse.ArgumentParser:
    width = max(len(name) for name in COMMANDS) + 2
    listing = "\n".join(f"  {name:<{width}}{summary}" for name, summary in COMMANDS.items())
    parser = _Parser(
        prog="tracesidecar",
        allow_abbrev=False,
        usage="tracesidecar [--config FILE] COMMAND …",
        description=f"commands:\n{listing}",
        epilog="Without --config: $TRACESIDECAR_CONFIG, ./tracesidecar.toml, "
        "/etc/tracesidecar/config.toml, else the embedded default.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", metavar="FILE", help="the configuration, before or after the command"
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    return parser


def _describe_ignored(names: Sequence[str]) -> str:
    return (
        f"tracesidecar: of the environment, {', '.join(names)} does not hold here: nothing is "
        "found by the current directory, and no session keys are written; set absolute paths"
    )


def _report_error(error: TraceSidecarError, *, as_json: bool) -> int:
    """Report in one sentence what a person must fix."""
    complain(f"tracesidecar: {error}")
    if isinstance(error, StateLocked | StateUnavailable | ConfigurationUnavailable):
        if as_json:
            reason = "locked" if isinstance(error, StateLocked) else "unavailable"
            print_json({"reason": reason, "message": str(error)})
        return ExitCode.LEFT_BEHIND
    if isinstance(error, JournalRemoved):
        return ExitCode.LEFT_BEHIND
    return (
        ExitCode.CONFIGURATION
        if isinstance(error, ConfigurationError | StateError | RedactionError)
        else ExitCode.UNEXPECTED
    )


def _report_bug(error: Exception) -> int:
    """Report where a bug is: only its frames, because its message may quote trace content."""
    from tracesidecar.logs import frames

    where = "".join(f"\n  {frame}" for frame in frames(error))
    complain(
        f"tracesidecar {__version__}: unexpected {type(error).__name__}, which is a bug{where}"
    )
    return ExitCode.UNEXPECTED


def _end_quietly() -> int:
    """End after the reader of the output, or of the messages, has gone (`| head`)."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            silence(stream)
    return ExitCode.BROKEN_PIPE


def _reserve_standard_streams() -> None:
    """Open /dev/null for each standard stream that the caller has closed (`2>&-`).

    Otherwise the next file that is opened gets its descriptor, and a message that is written to
    stderr goes into the journal.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", buffering=1, closefd=False)
