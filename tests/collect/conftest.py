"""A follower of files and a writer of them."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest

from tests.collect.follower import Follower, Writer


@pytest.fixture
def writer() -> Writer:
    return Writer()


@pytest.fixture
def follow(tmp_path: pathlib.Path) -> Callable[..., Follower]:
    def make(**source: object) -> Follower:
        return Follower(tmp_path, **source)

    return make


@pytest.fixture
def follower(follow: Callable[..., Follower]) -> Follower:
    return follow()
