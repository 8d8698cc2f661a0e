"""What commands print: a JSON document, lines, tables and progress bars.

Colour is used only on a terminal, and never with `NO_COLOR`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from tracesidecar.errors import OutputClosed, OutputError

if TYPE_CHECKING:
    from rich.console import Console

MOST_FITTED_ROWS = 1000
"""How many rows of a table are fitted to the width of the terminal."""


def print_json(document: Mapping[str, object]) -> None:
    """Print one document on stdout; names that are not UTF-8 are escaped."""
    with _writing():
        # `dumps` is compiled, which `dump` is not
        text = json.dumps(document, indent=2 if sys.stdout.isatty() else None)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def print_long_json(document: Mapping[str, object], name: str, values: Iterable[object]) -> None:
    """Print one document with a last member that is a list, written as its values come.

    The list may be too long for memory.
    """
    with _writing():
        sys.stdout.write(json.dumps(document)[:-1] + f", {json.dumps(name)}: [")
        separator = ""
        for value in values:
            sys.stdout.write(separator + json.dumps(value))
            separator = ", "
        sys.stdout.write("]}\n")
        sys.stdout.flush()


def print_line(text: str = "") -> None:
    """Print one line on stdout."""
    print_text(_escape(text) + "\n")


def print_text(text: str) -> None:
    """Print whole lines on stdout."""
    with _writing():
        sys.stdout.write(text)


def print_bytes(content: bytes) -> None:
    """Print bytes on stdout, at once."""
    with _writing():
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


def flush_output() -> None:
    """Write what is still in the buffer of stdout; at exit, an error would have no message."""
    with _writing():
        sys.stdout.flush()


@contextmanager
def _writing() -> Iterator[None]:
    """Raise OutputClosed if the reader of stdout has gone, OutputError for what else it raises."""
    try:
        yield
    except BrokenPipeError as error:
        raise OutputClosed("the reader of stdout has gone") from error
    except OSError as error:
        silence(sys.stdout)
        raise OutputError(
            f"could not write to stdout: {error.strerror}; what was printed is not complete"
        ) from error


def complain(text: str) -> None:
    """Print one line on stderr; where nobody can read it, the exit code must do."""
    try:
        sys.stderr.write(_escape(text) + "\n")
        sys.stderr.flush()
    except OSError:
        silence(sys.stderr)


def _escape(text: str) -> str:
    """Return a text of some lines without anything that acts on a terminal.

    Names in it may come from an agent, or from a lake that belongs to somebody else.
    """
    if text.isprintable():
        return text
    from tracesidecar.sanitize import escape_unprintable  # slow to import, and seldom needed

    return "\n".join(map(escape_unprintable, text.split("\n")))


def silence(stream: TextIO) -> None:
    """Let a standard stream that cannot be written go to /dev/null.

    The interpreter flushes it once more at exit, and would exit with another code if that failed.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def console(*, stderr: bool = False) -> Console:
    """Return a console to draw on. Only what draws imports rich, which is slow to import."""
    from rich.console import Console

    class PlainConsole(Console):
        """A console that leaves a closed pipe to us: the library's own would exit with 1."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    stream = sys.stderr if stderr else sys.stdout
    has_colour = stream.isatty() and not os.environ.get("NO_COLOR")
    width = None if stream.isatty() else 160
    return PlainConsole(
        file=stream,
        color_system="auto" if has_colour else None,
        width=width,
        highlight=False,
        markup=False,
        force_terminal=stream.isatty(),
    )


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on stdout, with numbers aligned to the right.

    A table that nobody reads at a glance is not fitted to the width of the terminal.
    """
    cells = [[_escape(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    if len(cells) > MOST_FITTED_ROWS:
        _print_long_table(title, columns, cells)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for index, name in enumerate(columns):
        is_number = bool(cells) and all(isinstance(row[index], int | float) for row in cells)
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in cells:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    drawn = console()
    with _writing():
        drawn.print(title, style="bold", soft_wrap=True)
        drawn.print(table)
        drawn.print()


def _print_long_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table of any length; rich would take a minute for 100,000 rows."""
    texts = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, (name, *cells))) for name, *cells in zip(columns, *texts, strict=True)]
    pads = [str.rjust if isinstance(cell, int | float) else str.ljust for cell in rows[0]]
    with _writing():
        sys.stdout.write(f"{title}\n")
        for cells in (list(columns), *texts):
            padded = (
                pad(cell, width) for pad, cell, width in zip(pads, cells, widths, strict=True)
            )
            sys.stdout.write("  ".join(padded).rstrip() + "\n")
        sys.stdout.write("\n")


@contextmanager
def progress(total_bytes: int) -> Iterator[Callable[[int], object]]:
    """Show a progress bar on stderr during the block, if stderr is a terminal.

    Yield a function to call with each number of bytes that is done.
    """
    if not sys.stderr.isatty():
        yield lambda count: count
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    with Progress(
        BarColumn(),
        DownloadColumn(binary_units=True),
        TimeRemainingColumn(),
        console=console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("", total=total_bytes)
        yield lambda count: bar.advance(task, count)
