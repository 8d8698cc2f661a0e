"""A follower of files, a writer of them, and a user who may not read everything."""

from __future__ import annotations

import codecs
import os
import pathlib
from collections.abc import Callable, Iterator

import pytest

from tests.tail.follower import Follower, Writer


@pytest.fixture
def writer() -> Writer:
    """Return a writer that has written nothing yet."""
    return Writer()


@pytest.fixture
def follow(tmp_path: pathlib.Path) -> Iterator[Callable[..., Follower]]:
    """Return what makes followers; all are stopped at the end."""
    made: list[Follower] = []

    def make(**source: object) -> Follower:
        made.append(Follower(tmp_path, **source))
        return made[-1]

    yield make
    for follower in made:
        follower.stop()


@pytest.fixture
def follower(follow: Callable[..., Follower]) -> Follower:
    """Return a follower with the usual options."""
    return follow()


@pytest.fixture
def unprivileged(tmp_path: pathlib.Path) -> Iterator[None]:
    """Become another user: root may read everything, and some tests need files that it may not."""
    if os.geteuid() != 0:
        yield
        return
    for path in [tmp_path, *tmp_path.parents[:3]]:
        path.chmod(0o755)
    os.chown(tmp_path, 65534, 65534)
    codecs.lookup("ascii")  # the interpreter's own modules may be root's alone
    os.seteuid(65534)
    yield
    os.seteuid(0)
