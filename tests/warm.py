"""Compiled rules for the processes that tests start.

They are compiled once per machine and version, because a cold start costs seconds of CPU.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path

from tracesidecar.journal import Journal
from tracesidecar.sanitize import RedactionOptions
from tracesidecar.sanitize.rules.catalogue import catalogue_bytes
from tracesidecar.sanitize.sanitizer import REVISION, Sanitizer


@cache
def compiled() -> Path:
    """Return a cache directory with the compiled rules, as the daemon keeps it with its state."""
    engine = version("hyperscan")
    key = hashlib.sha256(repr((engine, REVISION)).encode() + catalogue_bytes()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"tracesidecar-rules-{os.getuid()}-{key}"
    if not folder.exists():
        made = Path(tempfile.mkdtemp(prefix="tracesidecar-rules-"))
        Sanitizer(RedactionOptions(), cache_directory=str(made))
        try:
            made.rename(folder)
        except OSError:  # another worker was faster
            shutil.rmtree(made)
    return folder


def warm(state: Path) -> None:
    """Copy the compiled rules to a state directory, as a second start finds them.

    There is a journal, too: without one, they would be the remains of a lost state.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copytree(compiled(), state / "cache", dirs_exist_ok=True)
    Journal.open(str(state)).close()
