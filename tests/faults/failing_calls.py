"""Calls of the operating system that fail in a process for as long as a test wants.

They fail below the program, in a library that is loaded before the C library: the program's own
code runs as it is.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from tests.servers.processes import wait_until

SOURCE = Path(__file__).with_suffix(".c")


def build_library(folder: Path) -> Path:
    """Compile the library, or skip where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("a C compiler for Linux is not there")
    library = folder / "failing_calls.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return library


class FailingCalls:
    """Which calls fail: `open`, `read`, `write`, `fsync`, `link`, `list`, `look`, below a path.

    `look` are stat(2) and access(2), `page` are reads of what is beyond the first page.
    """

    def __init__(self, library: Path, folder: Path) -> None:
        self._library = library
        self._rules = folder / "failing-calls"
        self._count = folder / "failing-calls.count"

    @property
    def environment(self) -> dict[str, str]:
        """What the process needs in its environment."""
        return {"LD_PRELOAD": str(self._library), "FAILING_CALLS": str(self._rules)}

    @property
    def count(self) -> int:
        """How many calls have failed."""
        return self._count.stat().st_size if self._count.exists() else 0

    def begin(self, number: int, path: Path, *calls: str, others: Collection[Path] = ()) -> int:
        """Let calls fail on every path that begins so; return how many have failed before."""
        before = self.count
        text = "".join(f"{call} {number} {each}\n" for call in calls for each in (path, *others))
        fresh = self._rules.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self._rules)
        return before

    def end(self) -> None:
        """Let all calls succeed."""
        self._rules.unlink(missing_ok=True)

    def wait_for_more(self, before: int) -> None:
        """Wait until more calls have failed than before."""
        wait_until(lambda: self.count > before)
