"""Keep Python's garbage collector from looking at what stays as long as the process does."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused(*, collects: bool = False) -> Iterator[None]:
    """Make what stays: modules, rules, what is known of the files. No two at a time.

    The collector would look at all of it several times while it is made, and in each later full
    collection. With `collects`, garbage is removed first, also what an earlier call kept: the block
    may replace something.
    """
    gc.disable()
    if collects:
        gc.unfreeze()
    try:
        yield
        if collects:
            gc.collect()
        gc.freeze()
    finally:
        gc.enable()
