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
from tracesidecar.sanitize.engine.database_cache import DatabaseCache
from tracesidecar.sanitize.rules.catalogue import catalogue_bytes
from tracesidecar.sanitize.sanitizer import REVISION, Sanitizer


@cache
def compile_rules() -> Path:
    """Return a cache directory with the compiled rules, as the daemon keeps it with its state."""
    engine = version("hyperscan")
    key = hashlib.sha256(repr((engine, REVISION, "hmac")).encode() + catalogue_bytes()).hexdigest()[
        :16
    ]
    folder = Path(tempfile.gettempdir()) / f"tracesidecar-rules-{os.getuid()}-{key}"
    if not folder.exists():
        made = Path(tempfile.mkdtemp(prefix="tracesidecar-rules-"))
        Sanitizer(RedactionOptions(), cache_directory=str(made))
        try:
            made.rename(folder)
        except OSError:  # another worker was faster
            shutil.rmtree(made)
    return folder


@cache
def find_shared_cache() -> Path:
    """Return one cache for all tests: the commands that read compile the rules once."""
    return compile_rules().parent / f"{compile_rules().name}-cache"


def warm(state: Path) -> None:
    """Put the compiled rules into a state directory, as a second start finds them.

    There is a journal, too: its key signs them, and without it, they would be the remains of a lost
    state.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    journal = Journal.open(str(state))
    sign_compiled(state / "cache", journal.key)
    journal.close()


def sign_compiled(folder: Path, key: bytes | None = None) -> None:
    """Put the compiled rules into a cache, as a program with this key has kept them."""
    cache = DatabaseCache(str(folder), key)
    for path in compile_rules().glob("*.hsdb"):
        name, _, digest = path.stem.rpartition("-")
        content = DatabaseCache(str(compile_rules())).load(name, digest)
        assert content is not None, f"{path} was changed: remove its directory"
        cache.store(name, digest, content)
