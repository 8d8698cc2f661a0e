"""The installed program, run as people run it, in a folder and a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.warm import find_shared_cache

PROGRAM = Path(sys.executable).with_name("tracesidecar")


class Desk:
    """A person's desk: a working directory with `traces`, a home, no configuration but what a test
    writes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.home = folder / "home"
        for made in (self.folder, self.home):
            made.mkdir()

    def environment(self, **more: str) -> dict[str, str]:
        """Return what the program sees: little of this machine, and a home of its own."""
        kept = {
            name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "TMPDIR"}
        }
        return {
            **kept,
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(find_shared_cache()),
            "LOG_FORMAT": "json",
            **more,
        }

    def call(
        self, *words: str, stdin: bytes = b"", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        done = subprocess.run(
            [str(PROGRAM), *words],
            input=stdin,
            capture_output=True,
            env=self.environment(**environment),
            cwd=self.folder,
            timeout=600,
            check=False,
        )
        return subprocess.CompletedProcess(
            words, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def document(self, *words: str) -> Any:
        """What a reading command prints with `--json`."""
        done = self.call(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file below the working directory; return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a desk in a fresh folder."""
    return Desk(tmp_path)
