"""A few seconds of `make race`, which swaps names in a watched tree for a minute."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.faults.race import race


@pytest.mark.skipif(os.geteuid() != 0, reason="the agent must be another user than the daemon")
@pytest.mark.parametrize(
    ("symlinks", "seconds"), [("never", 2), pytest.param("same_owner", 20, marks=pytest.mark.long)]
)
def test_no_swap_of_names_leads_out_of_the_tree(symlinks: str, seconds: float) -> None:
    # not in tmp_path: another pytest that starts closes what is above it to other users
    with TemporaryDirectory() as folder:
        assert race(Path(folder), seconds, 1, symlinks) == []
