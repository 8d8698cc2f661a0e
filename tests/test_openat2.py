"""A path is opened in one call of the kernel only if no name on its way is a link."""

from __future__ import annotations

import errno
import os
import pathlib
import stat

import pytest

from tracesidecar.directories import DIRECTORY, LISTED, UNTOUCHED
from tracesidecar.openat2 import open_without_links


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    """Make a file in a directory, and links to both."""
    root = tmp_path.resolve()
    (root / "real").mkdir()
    (root / "real" / "a").write_bytes(b"text")
    (root / "linked").symlink_to("real")
    (root / "real" / "b").symlink_to("a")
    return root


@pytest.mark.parametrize("flags", [UNTOUCHED, DIRECTORY, LISTED])
def test_what_is_no_link_is_opened(tree: pathlib.Path, flags: int) -> None:
    found = open_without_links(str(tree / "real"), flags)
    assert found is not None
    assert os.fstat(found).st_ino == (tree / "real").stat().st_ino
    assert not os.get_inheritable(found)
    os.close(found)


def test_a_link_on_the_way_is_left_to_who_may_follow_it(tree: pathlib.Path) -> None:
    assert open_without_links(str(tree / "linked" / "a"), UNTOUCHED) is None
    assert open_without_links(str(tree / "linked"), DIRECTORY) is None
    assert open_without_links(str(tree / "linked"), LISTED) is None


def test_the_last_name_is_the_link_itself(tree: pathlib.Path) -> None:
    found = open_without_links(str(tree / "real" / "b"), UNTOUCHED)
    assert found is not None
    assert stat.S_ISLNK(os.fstat(found).st_mode)
    os.close(found)


def test_what_is_missing_or_too_long_is_said_as_by_open(tree: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-file"):
        open_without_links(str(tree / "no-such-file"), UNTOUCHED)
    with pytest.raises(OSError, match="too long") as caught:
        open_without_links(str(tree / ("x" * 256)), UNTOUCHED)
    assert caught.value.errno == errno.ENAMETOOLONG
