"""A follower of files and a writer of them."""

from __future__ import annotations

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
