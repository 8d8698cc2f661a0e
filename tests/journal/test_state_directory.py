"""The state is in a directory that belongs to this user alone; every command finds the same one."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tracesidecar.errors import StateError
from tracesidecar.journal import (
    Journal,
    find_state_directory,
    hold_lock,
    prepare_state_directory,
)
from tracesidecar.journal.own_files import FilesOpenedSince, narrow_mode

USER = 10001
NAME = f"tracesidecar-{USER}"
OWN = f"tracesidecar-{os.geteuid()}"
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can make directories of another user"
)


def mode_of(path: str | Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def wide(path: Path, mode: int) -> Path:
    path.mkdir()
    path.chmod(mode)
    return path


def journal_in(path: str | Path, owner: int = -1) -> None:
    journal = Path(path) / "journal.sqlite"
    journal.touch()
    os.chown(journal, owner, owner)


@pytest.fixture
def volume() -> Iterator[Path]:
    """A directory in which the user 10001 can reach what a test makes."""
    with tempfile.TemporaryDirectory(prefix="tracesidecar-volume-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def make_shared(volume: Path, mode: int = 0o2777, owner: int = 0) -> Path:
    """Make what kubelet makes of an emptyDir for a Pod with fsGroup 10001."""
    path = volume / "state"
    path.mkdir()
    os.chown(path, owner, USER)
    path.chmod(mode)
    return path


@contextmanager
def as_user() -> Iterator[None]:
    """Be the user 10001 in the group 10001, without any of root's rights."""
    groups = os.getgroups()
    os.setgroups([USER])
    os.setegid(USER)
    os.seteuid(USER)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def prepare_as_user(given: Path) -> str:
    """Find and prepare the state directory as a start does; return it."""
    with as_user():
        directory = find_state_directory(str(given))
        prepare_state_directory(directory)
        assert find_state_directory(str(given)) == directory
    return directory


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o770, 0o777, 0o2777, 0o711])
def test_a_directory_of_ours_that_others_may_use_is_tightened_and_announced(
    tmp_path: Path, mode: int
) -> None:
    given = str(wide(tmp_path / "state", mode))
    with capture_logs() as logs:
        prepare_state_directory(find_state_directory(given))
    assert (find_state_directory(given), mode_of(given)) == (given, 0o700)
    (announced,) = logs
    assert announced["event"] == "state.tightened"
    assert (announced["path"], announced["mode_before"]) == (given, f"{mode:04o}")


def test_a_missing_directory_is_created_for_this_user_alone(tmp_path: Path) -> None:
    given = str(tmp_path / "a" / "state")
    prepare_state_directory(find_state_directory(given))
    with capture_logs() as logs:
        prepare_state_directory(find_state_directory(given))
    assert (mode_of(given), logs) == (0o700, [])


def test_a_directory_of_ours_that_holds_other_things_keeps_its_mode(tmp_path: Path) -> None:
    """The person wrote /var/lib, and programs of other users must still reach it."""
    given = wide(tmp_path / "lib", 0o755)
    (given / "postgresql").mkdir()
    prepare_state_directory(find_state_directory(str(given)))
    assert find_state_directory(str(given)) == str(given / OWN)
    assert (mode_of(given), mode_of(given / OWN)) == (0o755, 0o700)


def test_a_directory_like_tmp_keeps_its_mode(tmp_path: Path) -> None:
    given = wide(tmp_path / "tmp", 0o1777)
    prepare_state_directory(find_state_directory(str(given)))
    assert (mode_of(given), mode_of(given / OWN)) == (0o1777, 0o700)


def test_state_that_is_there_already_stays_where_it_is(tmp_path: Path) -> None:
    given = wide(tmp_path / "state", 0o755)
    (given / "notes.txt").touch()
    journal_in(given)
    prepare_state_directory(find_state_directory(str(given)))
    assert find_state_directory(str(given)) == str(given)
    assert mode_of(given) == 0o700


def test_state_whose_journal_was_moved_away_stays_where_it_is(tmp_path: Path) -> None:
    """A new journal in another directory would deliver everything again without a word."""
    given = wide(tmp_path / "state", 0o755)
    (given / "journal.sqlite.damaged").touch()
    (given / "deliveries.json").write_text("{}")
    prepare_state_directory(find_state_directory(str(given)))
    assert find_state_directory(str(given)) == str(given)
    assert mode_of(given) == 0o700


def test_a_directory_that_we_made_in_a_volume_of_everyone_is_ours(tmp_path: Path) -> None:
    volume = wide(tmp_path / "volume", 0o2777)
    given = str(volume / "tracesidecar")
    prepare_state_directory(find_state_directory(given))
    assert (find_state_directory(given), mode_of(given)) == (given, 0o700)


def test_a_file_in_the_place_of_the_directory_is_reported(tmp_path: Path) -> None:
    given = tmp_path / "state"
    given.touch()
    with pytest.raises(StateError, match="no directory"):
        prepare_state_directory(find_state_directory(str(given)))


@needs_root
@pytest.mark.parametrize("mode", [0o2777, 0o2770])
def test_in_a_volume_of_kubernetes_the_state_has_a_directory_of_its_own(
    volume: Path, mode: int
) -> None:
    given = make_shared(volume, mode)
    for _start in range(2):
        assert prepare_as_user(given) == str(given / NAME)
        # what kubelet does to a persistent volume each time that it mounts it for an fsGroup
        (given / NAME).chmod(0o2770)
    assert prepare_as_user(given) == str(given / NAME)
    made = os.stat(given / NAME)
    assert (made.st_uid, mode_of(given / NAME), mode_of(given)) == (USER, 0o700, mode)


@needs_root
def test_a_directory_that_the_user_may_not_write_to_is_rejected_with_advice(volume: Path) -> None:
    given = make_shared(volume, 0o755)
    with pytest.raises(StateError, match="belongs to user 0"):
        prepare_as_user(given)
    with pytest.raises(StateError, match="fsGroup"):
        prepare_as_user(given / "deeper")


@needs_root
def test_a_planted_symbolic_link_is_not_followed(volume: Path) -> None:
    given = make_shared(volume)
    elsewhere = volume / "elsewhere"
    elsewhere.mkdir()
    os.chown(elsewhere, USER, USER)
    elsewhere.chmod(0o755)
    (given / NAME).symlink_to(elsewhere)
    with pytest.raises(StateError, match="symbolic link"):
        prepare_as_user(given)
    assert (list(elsewhere.iterdir()), mode_of(elsewhere)) == ([], 0o755)


@needs_root
@pytest.mark.parametrize(("owner", "mode"), [(0, 0o777), (1234, 0o700), (1234, 0o777)])
def test_a_planted_directory_of_somebody_else_is_rejected(
    volume: Path, owner: int, mode: int
) -> None:
    given = make_shared(volume)
    (given / NAME).mkdir()
    os.chown(given / NAME, owner, owner)
    (given / NAME).chmod(mode)
    with pytest.raises(StateError, match=f"user {owner}|Permission denied"):
        prepare_as_user(given)
    assert list((given / NAME).iterdir()) == []


@needs_root
def test_a_planted_file_is_rejected(volume: Path) -> None:
    given = make_shared(volume)
    (given / NAME).touch()
    with pytest.raises(StateError, match="no directory"):
        prepare_as_user(given)


@needs_root
def test_what_somebody_else_left_while_the_directory_was_open_is_rejected(volume: Path) -> None:
    given = make_shared(volume, 0o777, owner=USER)
    journal_in(given, owner=1234)
    for _start in range(2):  # whatever starts a container again does so after 78, too
        with pytest.raises(StateError, match="user 1234 has put journal"):
            prepare_as_user(given)


@needs_root
def test_root_looks_at_the_state_of_the_user_but_does_not_run_in_it(volume: Path) -> None:
    given = make_shared(volume)
    prepare_as_user(given)
    journal_in(given / NAME, owner=USER)
    assert find_state_directory(str(given)) == str(given / NAME)
    with pytest.raises(StateError, match=f"belongs to user {USER}"):
        prepare_state_directory(find_state_directory(str(given)))


@needs_root
def test_root_has_its_state_in_no_directory_of_another_user(volume: Path) -> None:
    """Its owner could put links there, for files that root makes."""
    given = make_shared(volume, 0o755, owner=USER)
    directory = find_state_directory(str(given))
    prepare_state_directory(directory)
    assert (directory, mode_of(directory)) == (str(given / OWN), 0o700)


@needs_root
def test_root_does_not_run_with_a_journal_that_another_user_may_have_planted(volume: Path) -> None:
    given = make_shared(volume, 0o755, owner=USER)
    journal_in(given, owner=USER)
    with pytest.raises(StateError, match=f"belongs to user {USER}"):
        prepare_state_directory(find_state_directory(str(given)))


@needs_root
def test_roots_journal_in_a_directory_of_another_user_stays_where_it_is(volume: Path) -> None:
    given = make_shared(volume, 0o755, owner=USER)
    journal_in(given, owner=0)
    prepare_state_directory(find_state_directory(str(given)))
    assert find_state_directory(str(given)) == str(given)


@needs_root
@pytest.mark.parametrize("owner", [0, USER])
@pytest.mark.parametrize("place", ["", "deep/state"])
def test_a_link_in_the_path_of_the_state_is_followed_only_if_root_made_it(
    volume: Path, owner: int, place: str
) -> None:
    """As /var/lib/private, which systemd links to, or as an agent would like it."""
    real = volume / "real"
    real.mkdir(mode=0o700)
    (volume / "alias").symlink_to(real)
    os.chown(volume / "alias", owner, owner, follow_symlinks=False)
    given = str(volume / "alias" / place).rstrip("/")
    if owner == 0:
        prepare_state_directory(find_state_directory(given))
        assert mode_of(real / place) == 0o700
    else:
        with pytest.raises(StateError, match="symbolic link in its path belongs to another user"):
            prepare_state_directory(find_state_directory(given))
        assert list(real.iterdir()) == []


@needs_root
def test_a_journal_in_a_directory_of_the_group_stays_where_earlier_versions_put_it(
    volume: Path,
) -> None:
    given = make_shared(volume, 0o2770)
    journal_in(given, owner=USER)
    assert prepare_as_user(given) == str(given)


@needs_root
@pytest.mark.parametrize("is_link", [True, False], ids=["link", "file"])
def test_a_journal_that_was_put_in_the_place_of_ours_is_neither_used_nor_changed(
    volume: Path, is_link: bool
) -> None:
    """Whoever may rename the directory swaps it after it was looked at. Seen: root took the rights
    of others away from any file that a link there led to.
    """
    (target := volume / "of-root").write_bytes(b"")
    target.chmod(0o644)
    (state := volume / "state").mkdir()
    if is_link:
        (state / "journal.sqlite").symlink_to(target)
        os.chown(state / "journal.sqlite", USER, USER, follow_symlinks=False)
    else:
        journal_in(state, owner=USER)
    with pytest.raises(StateError, match=r"set the mode of the journal|belongs to user 10001"):
        Journal.open(str(state))
    assert (mode_of(target), target.read_bytes()) == (0o644, b"")
    os.chown(state, USER, USER)
    (volume / "alias").symlink_to(target.parent)
    os.chown(volume / "alias", USER, USER, follow_symlinks=False)
    with pytest.raises(StateError, match="open the lock"), hold_lock(str(volume / "alias")):
        pass
    assert not (volume / "lock").exists()


@needs_root
def test_nothing_is_written_through_a_link_in_the_place_of_the_directory_that_was_moved_away(
    volume: Path,
) -> None:
    """Seen: root made `deliveries.json` in a folder that only root may write to."""
    (precious := volume / "of-root").mkdir()
    state = volume / "state"
    state.mkdir(0o700)
    journal = Journal.open(str(state))
    journal.note_deliveries({"lake": "directory:/lake"})
    moved = state.rename(volume / "elsewhere")
    state.symlink_to(precious)
    os.chown(state, USER, USER, follow_symlinks=False)
    with pytest.raises(StateError, match=f"was moved to {moved}"):
        journal.file.require()
    journal.close()
    assert list(precious.iterdir()) == []


def test_a_journal_that_is_swapped_while_sqlite_opens_it_is_not_used(tmp_path: Path) -> None:
    (journal := tmp_path / "journal.sqlite").touch()
    (other := tmp_path / "other.sqlite").touch()
    known = narrow_mode(str(journal))
    files = FilesOpenedSince()
    with other.open(), pytest.raises(StateError, match="was replaced"):
        files.require(str(journal), known)
    with journal.open():
        files.require(str(journal), known)
        if os.geteuid() == 0:
            os.chown(other, USER, USER)
            with other.open(), pytest.raises(StateError, match=f"belongs to user {USER}"):
                files.require(str(journal), known)
