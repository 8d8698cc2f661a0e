"""The watched tree belongs to the agent: no name in it leads out of it.

The daemon is root here, and the agent another user, who may replace every name in the tree.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import msgspec
import pytest

from tests.tail.follower import Follower, Writer, follow_until
from tracesidecar.directories import LinkNotFollowed, UntrustedLink
from tracesidecar.tail.discovery.left_out import find_left_out
from tracesidecar.tail.discovery.own_paths import OwnPaths
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.discovery.watcher import Watcher
from tracesidecar.tail.options import SourceOptions, Symlinks

AGENT, OTHER = 12345, 12346
SECRET = b'{"secret": "of another user"}\n'

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can make files of several users"
)

Follow = Callable[..., Follower]


@pytest.fixture(params=["at once", "name by name"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open paths by openat2, and as where the kernel or the container has none."""
    if request.param == "name by name":
        monkeypatch.setattr("tracesidecar.openat2._syscall", None)


def give(path: pathlib.Path, owner: int) -> pathlib.Path:
    """Let a file, directory or link belong to somebody."""
    os.chown(path, owner, owner, follow_symlinks=False)
    return path


@pytest.fixture
def outside(tmp_path: pathlib.Path) -> pathlib.Path:
    """Make a directory that only root may read, with a file that looks like a trace."""
    folder = tmp_path / "outside"
    folder.mkdir(mode=0o700)
    (folder / "a.jsonl").write_bytes(SECRET)
    (folder / "a.jsonl").chmod(0o600)
    return folder


@pytest.fixture
def agents(follow: Follow) -> Callable[..., Follower]:
    """Follow a tree that belongs to the agent."""

    def make(**source: object) -> Follower:
        follower = follow(**source)
        give(follower.traces, AGENT)
        return follower

    return make


def link(follower: Follower, name: str, target: pathlib.Path | str) -> pathlib.Path:
    """Make a symbolic link of the agent's in the tree."""
    path = follower.traces / name
    path.symlink_to(target)
    return give(path, AGENT)


def list_warned(follower: Follower, kind: str) -> list[str]:
    """Return the paths of the warnings of a kind."""
    return [warning.path for warning in follower.warnings if warning.kind == kind]


@needs_root
@pytest.mark.parametrize("symlinks", ["never", "same_owner"])
def test_a_link_to_another_users_file_or_directory_is_not_followed_and_reported_once(
    agents: Follow, writer: Writer, outside: pathlib.Path, symlinks: Symlinks
) -> None:
    follower = agents(symlinks=symlinks)
    links = [
        link(follower, "b.jsonl", outside / "a.jsonl"),
        link(follower, "folder", outside),
        link(follower, "machine", "/"),
        link(follower, "chain", "folder"),
    ]
    writer.append(follower.traces / "own.jsonl", 3)
    follower.turns(4)
    follower.restart()
    follower.turns(4)
    assert follower.count_lines() == Counter(writer.written)
    assert sorted(set(list_warned(follower, "skipped_link"))) == sorted(map(str, links))
    assert len(list_warned(follower, "skipped_link")) == 2 * len(links)  # once in each run
    assert follower.tailer.count_skipped()["agent", "link"] == len(links)
    assert [path.name for path in follower.held.iterdir() if "own.jsonl" not in path.name] == []
    for path in links:
        path.unlink()
    follower.turns(5)
    assert follower.tailer.count_skipped()["agent", "link"] == 0


@needs_root
def test_each_setting_says_which_links_it_leaves_out(
    agents: Follow, tmp_path: pathlib.Path, outside: pathlib.Path
) -> None:
    follower = agents()
    give_new(tmp_path / "own.txt")
    link(follower, "a.jsonl", tmp_path / "own.txt")
    link(follower, "b.jsonl", outside / "a.jsonl")
    link(follower, "dangling.jsonl", tmp_path / "nothing")
    literal = SourceOptions(name="one", include=(f"{follower.traces}/b.jsonl",))

    def describe(symlinks: Symlinks, source: SourceOptions) -> list[str]:
        return [
            left_out.describe().replace(str(follower.traces), "DIR")
            for left_out in find_left_out([msgspec.structs.replace(source, symlinks=symlinks)])
            if left_out.kind == "link"
        ]

    (source,) = follower.sources
    assert describe("never", source) == [
        (
            "3 symbolic links in DIR, such as a.jsonl, are not followed: "
            'source "agent" has symlinks = "never"'
        )
    ]
    assert describe("same_owner", source) == [
        (
            "1 symbolic link in DIR, such as b.jsonl, is not followed: "
            'source "agent" has symlinks = "same_owner", and what is linked has another owner'
        )
    ]
    assert describe("same_owner", literal) == [
        (
            "1 symbolic link in DIR, such as b.jsonl, is not followed: "
            'source "one" follows only links of root and of the daemon\'s user there'
        )
    ]
    assert not describe("follow", source)
    assert not describe("follow", literal)


@needs_root
def test_with_same_owner_the_agents_links_to_its_own_files_are_followed(
    agents: Follow, tmp_path: pathlib.Path, writer: Writer
) -> None:
    follower = agents(symlinks="same_owner")
    (tmp_path / "elsewhere").mkdir()
    elsewhere = give(tmp_path / "elsewhere", AGENT)
    (tmp_path / "system").symlink_to(elsewhere)  # root's, on the way: such as /var/run
    for name in ("one.txt", "b.jsonl"):
        writer.append(give_new(elsewhere / name), 2)
    link(follower, "a.jsonl", tmp_path / "system" / "one.txt")
    link(follower, "folder", elsewhere)
    follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)
    assert not follower.warnings


def give_new(path: pathlib.Path) -> pathlib.Path:
    """Make an empty file of the agent's."""
    path.touch()
    return give(path, AGENT)


@needs_root
def test_with_follow_any_link_is_followed(
    agents: Follow, tmp_path: pathlib.Path, outside: pathlib.Path
) -> None:
    follower = agents(symlinks="follow")
    link(follower, "folder", outside)
    follower.turns(3)
    assert follower.lines == [SECRET.rstrip()]


@needs_root
@pytest.mark.parametrize("owner", [0, AGENT])
def test_a_link_in_the_root_is_followed_if_root_owns_it(
    follow: Follow, tmp_path: pathlib.Path, writer: Writer, owner: int
) -> None:
    home = tmp_path / "home"
    (home / "real").mkdir(parents=True)
    give(home, AGENT)
    (home / "alias").symlink_to("real")
    give(home / "alias", owner)
    follower = follow(include=(f"{home}/alias/*.jsonl",))
    writer.append(home / "real" / "a.jsonl", 3)
    follower.turns(3)
    assert follower.count_lines() == (Counter(writer.written) if owner == 0 else Counter())
    places = follower.tailer.list_unreadable()
    assert [place.path for place in places] == ([] if owner == 0 else [str(home / "alias")])
    if owner != 0:
        assert "symbolic link" in places[0].problem


@needs_root
def test_with_follow_an_include_without_a_wildcard_may_be_a_link_of_the_agents(
    agents: Follow, tmp_path: pathlib.Path, writer: Writer
) -> None:
    """An agent often has one for its latest session."""
    follower = agents(include=(f"{tmp_path}/traces/latest.jsonl",), symlinks="follow")
    writer.append(give_new(tmp_path / "session.txt"), 3)
    link(follower, "latest.jsonl", tmp_path / "session.txt")
    follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)
    assert not follower.warnings


@needs_root
@pytest.mark.parametrize("symlinks", ["same_owner", "follow"])
def test_a_link_to_a_file_may_be_switched_to_another(
    agents: Follow, tmp_path: pathlib.Path, writer: Writer, symlinks: Symlinks
) -> None:
    """The old file is drained, the new one read, and each goes on if it is written to."""
    follower = agents(symlinks=symlinks)
    one, two = (give_new(tmp_path / name) for name in ("one.txt", "two.txt"))
    writer.append(one, 2)
    path = link(follower, "a.jsonl", one)
    follower.turns(3)
    writer.append(one, 2)
    path.unlink()
    writer.append(two, 2)
    link(follower, "a.jsonl", two)
    follower.turns(3)
    writer.append(one)
    writer.append(two)
    follower.turns(3)
    follower.restart()
    writer.append(two)
    follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)
    assert not follower.losses


@needs_root
@pytest.mark.parametrize("owner", [0, AGENT])
def test_an_include_without_a_wildcard_may_be_a_link_of_roots(
    follow: Follow, tmp_path: pathlib.Path, writer: Writer, owner: int
) -> None:
    writer.append(tmp_path / "session-1.txt", 3)
    give(tmp_path / "session-1.txt", OTHER)
    (tmp_path / "current.jsonl").symlink_to("session-1.txt")
    give(tmp_path / "current.jsonl", owner)
    follower = follow(include=(f"{tmp_path}/current.jsonl",))
    follower.turns(3)
    assert follower.count_lines() == (Counter(writer.written) if owner == 0 else Counter())


def test_the_root_directory_may_be_that_of_an_include() -> None:
    tree = Tree.below(["/"])
    assert "proc" in {entry.name for entry in tree.list_entries("/")[1]}
    assert not tree.is_empty("/")


@needs_root
def test_a_directory_that_becomes_a_link_leads_nowhere(
    agents: Follow, writer: Writer, outside: pathlib.Path
) -> None:
    follower = agents()
    below = follower.traces / "below"
    below.mkdir()
    writer.append(below / "a.jsonl", 3)
    follower.turns(2)
    below.rename(follower.traces / "moved")
    link(follower, "below", outside)
    writer.append(follower.traces / "moved" / "a.jsonl", 3)
    follower.turns(4)
    follower.restart()
    follower.turns(4)
    assert follower.count_lines() == Counter(writer.written)
    assert not follower.losses


@needs_root
def test_a_name_that_is_swapped_for_a_link_after_it_was_found_is_not_opened(
    agents: Follow, outside: pathlib.Path, writer: Writer
) -> None:
    """Each step opens in the directory that was opened before, and sees what it opens."""
    follower = agents()
    (follower.traces / "below").mkdir()
    tree = Tree(follower.sources)
    path = follower.traces / "below" / "a.jsonl"
    writer.append(path)
    os.close(tree.open_file(str(path)))
    path.unlink()
    path.symlink_to(outside / "a.jsonl")
    with pytest.raises(OSError, match="not a regular file"):
        tree.open_file(str(path))
    path.unlink()
    path.parent.rmdir()
    path.parent.symlink_to(outside)
    for look in (tree.open_file, tree.stat, tree.list_entries):
        with pytest.raises(NotADirectoryError):
            look(str(path))
    with pytest.raises(NotADirectoryError):
        tree.stat_directory(str(path.parent))
    assert not list(tree.walk(str(path.parent)))


@needs_root
def test_no_chain_of_links_is_followed_without_end(agents: Follow, tmp_path: pathlib.Path) -> None:
    follower = agents(symlinks="follow")
    names = [f"l{number}" for number in range(60)]
    for name, target in zip(names, [*names[1:], "."], strict=True):
        # each leads twice through the next: 2^60 steps for who does not count
        link(follower, name, f"{target}/../traces/{target}")
    tree = Tree(follower.sources)
    with pytest.raises(OSError, match="Too many levels"):
        tree.stat_directory(str(follower.traces / "l0"))


def test_a_tree_that_is_deeper_than_the_stack_is_read_and_left(
    follow: Follow, writer: Writer
) -> None:
    follower = follow()
    top = follower.traces / "d"
    path = top
    path.mkdir()
    for _ in range(sys.getrecursionlimit() + 100):
        path /= "d"
        path.mkdir()
    writer.append(path / "a.jsonl", 2)
    follower.turns(2)
    top.rename(follower.root / "away")
    writer.append(follower.traces / "a.jsonl", 2)
    follower.turns()
    subprocess.run(["rm", "-rf", follower.root / "away"], check=True)
    assert follower.count_lines() == Counter(writer.written)


@needs_root
def test_a_fifo_is_never_opened(agents: Follow, writer: Writer) -> None:
    """Whoever opens a FIFO for writing waits until it has a reader: nobody became one."""
    follower = agents(symlinks="follow")
    fifo = follower.traces / "a.jsonl"
    os.mkfifo(fifo)
    link(follower, "b.jsonl", fifo)
    is_opened = threading.Event()

    def write() -> None:
        with open(fifo, "wb", buffering=0):
            is_opened.set()

    thread = threading.Thread(target=write)
    thread.start()
    writer.append(follower.traces / "c.jsonl")
    follower.turns(3)
    with pytest.raises(OSError, match="not a regular file"):
        Tree(follower.sources).open_file(str(fifo))
    assert not is_opened.is_set()
    os.close(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK))
    thread.join()
    assert follower.count_lines() == Counter(writer.written)


@needs_root
def test_a_file_that_becomes_a_fifo_before_it_is_read_is_not_opened(
    agents: Follow, writer: Writer
) -> None:
    follower = agents(protect="never")
    a = follower.traces / "a.jsonl"
    writer.append(a)
    follower.scan()
    follower.tailer._open_files.close()
    a.unlink()
    os.mkfifo(a)
    for _ in range(3):
        with pytest.raises(OSError, match="No such device"):  # ENXIO: it has no reader
            os.open(a, os.O_WRONLY | os.O_NONBLOCK)
        follower.turn()
    assert not follower.lines


@needs_root
def test_a_file_with_a_second_hard_link_is_read_only_if_its_owner_may_be_read(
    agents: Follow, tmp_path: pathlib.Path, writer: Writer
) -> None:
    follower = agents()
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    give(secret, OTHER)
    os.link(secret, follower.traces / "secret.jsonl")
    own = follower.traces / "own.jsonl"
    writer.append(own, 2)
    give(own, AGENT)
    os.link(own, tmp_path / "copy")
    follower.turns(4)
    assert follower.count_lines() == Counter(writer.written)
    assert list_warned(follower, "withheld") == [str(follower.traces / "secret.jsonl")]
    assert follower.tailer.count_skipped() == {("agent", "owner"): 1}
    assert os.stat(secret).st_nlink == 2  # no link of ours
    secret.unlink()
    follower.turns(2)
    assert follower.lines.count(SECRET.rstrip()) == 1
    assert follower.tailer.count_skipped() == {}


@needs_root
@pytest.mark.parametrize("is_protected", [False, True])
def test_a_withheld_file_stays_so_if_its_other_name_goes_and_anybody_may_make_links(
    agents: Follow, tmp_path: pathlib.Path, hard_links: Callable[..., None], *, is_protected: bool
) -> None:
    """Each change of a password gives /etc/shadow a new file: the old one keeps the agent's name.

    Where people can only link what they may write to, the second name was the writer's own: it
    makes a file under one name, and gives it another when it is whole.
    """
    hard_links(are_protected=is_protected)
    follower = agents()
    foreign = tmp_path / "foreign.json"
    foreign.write_bytes(SECRET)
    os.link(give(foreign, OTHER), follower.traces / "a.jsonl")
    follower.turns(2)
    foreign.unlink()
    follower.turns(4)
    assert bool(follower.lines) is is_protected
    assert follower.tailer.count_skipped()["agent", "owner"] == (not is_protected)


@pytest.fixture
def hard_links(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Callable[..., None]:
    """Return what says whom the kernel lets make hard links; the machine keeps its own setting."""

    def set_protection(*, are_protected: bool) -> None:
        setting = tmp_path / "protected_hardlinks"
        setting.write_text(f"{are_protected:d}\n")
        monkeypatch.setattr("tracesidecar.tail.discovery.owners._PROTECTION", str(setting))

    return set_protection


@needs_root
def test_owners_may_be_named(agents: Follow, tmp_path: pathlib.Path) -> None:
    follower = agents(owners=(str(OTHER),))
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    give(secret, OTHER)
    os.link(secret, follower.traces / "secret.jsonl")
    follower.turns(3)
    assert follower.lines == [SECRET.rstrip()]


@needs_root
def test_our_own_links_are_no_second_name(agents: Follow, writer: Writer) -> None:
    """A file of somebody else in the agent's directory, which only we have linked."""
    follower = agents()
    follower.behind = True
    a = follower.traces / "a.jsonl"
    writer.append(a, 2)
    give(a, OTHER)
    follower.turns(2)
    assert os.stat(a).st_nlink == 2
    follower.restart()
    a.rename(follower.traces / "b.jsonl")
    follower.turns(2)
    follower.behind = False
    follower.turns(2)
    assert follower.count_lines() == Counter(writer.written)
    assert not list_warned(follower, "withheld")


@pytest.fixture
def watching(agents: Follow) -> Iterator[Follower]:
    """Follow with change events, as the daemon does."""
    follower = agents()
    follower.stop()
    follower.watcher = Watcher([str(follower.traces)])
    follower.start()
    follower.turn()
    yield follower
    follower.watcher.close()


@needs_root
def test_no_link_leads_an_arrival_out_of_the_tree(
    watching: Follower, tmp_path: pathlib.Path, outside: pathlib.Path, writer: Writer
) -> None:
    """A new file is linked before a scan looks: a link to /etc/shadow is not."""
    names = set(os.listdir(watching.held))
    link(watching, "a.jsonl", outside / "a.jsonl")
    folder = tmp_path / "folder"
    folder.mkdir()
    link(watching, "folder", outside)
    (folder / "deep").symlink_to(outside)
    folder.rename(watching.traces / "moved-in")
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    os.link(secret, watching.traces / "hard.jsonl")
    writer.append(watching.traces / "last.jsonl")
    follow_until(watching, lambda: bool(watching.lines), "the line arrives")
    watching.turns(3)
    assert watching.count_lines() == Counter(writer.written)
    added = set(os.listdir(watching.held)) - names
    assert all(name.endswith("+last.jsonl") for name in added)
    assert os.stat(outside / "a.jsonl").st_nlink == 1
    assert os.stat(secret).st_nlink == 2


@needs_root
def test_nothing_is_made_through_a_linked_hold_directory(
    follow: Follow, tmp_path: pathlib.Path, outside: pathlib.Path, writer: Writer
) -> None:
    traces = tmp_path / "traces"
    traces.mkdir()
    give(traces, AGENT)
    (traces / ".held").symlink_to(outside)
    give(traces / ".held", AGENT)
    follower = follow(hold_directory=str(traces / ".held"))
    writer.append(traces / "a.jsonl", 3)
    follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)
    assert os.listdir(outside) == ["a.jsonl"]
    assert list_warned(follower, "link") == [str(traces / ".held")]


@needs_root
@pytest.mark.parametrize("name", [".held", "deep/.held"])
def test_no_hold_directory_is_reached_through_a_link_of_the_agents(
    follow: Follow, tmp_path: pathlib.Path, outside: pathlib.Path, writer: Writer, name: str
) -> None:
    traces = tmp_path / "traces"
    traces.mkdir()
    follower = follow(hold_directory=str(traces / "sub" / name), protect="always")
    follower.stop()
    for path in (traces / "sub").rglob("*"):
        if not path.is_dir():
            path.unlink()
    (traces / "sub").rename(tmp_path / "away")
    link(follower, "sub", outside)
    follower.start()
    writer.append(traces / "a.jsonl", 3)
    follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)
    assert os.listdir(outside) == ["a.jsonl"]


@needs_root
@pytest.mark.parametrize("mode", [0o700, 0o777])
def test_in_a_hold_directory_of_somebody_else_the_links_have_a_directory_of_our_own(
    follow: Follow, tmp_path: pathlib.Path, writer: Writer, mode: int
) -> None:
    hold = tmp_path / "hold"
    hold.mkdir()
    hold.chmod(mode)
    give(hold, AGENT)
    writer.append(tmp_path / "deleted", 2)
    planted = hold / "segment-4711:agent:" if mode == 0o777 else hold / "notes"
    planted.write_bytes(SECRET)
    give(planted, OTHER)
    os.link(planted, tmp_path / "another-name")
    follower = follow(hold_directory=str(hold))
    follower.behind = True
    a = follower.traces / "a.jsonl"
    writer.append(a, 3)
    follower.turns(2)
    own = hold / f"tracesidecar-{os.geteuid()}"
    assert (own.stat().st_mode & 0o7777, own.stat().st_uid) == (0o700, os.geteuid())
    assert len(list(own.iterdir())) == 1
    a.unlink()
    follower.behind = False
    follower.restart()
    follower.turns()
    assert follower.count_lines() == Counter(writer.written[2:])
    assert list(own.iterdir()) == []
    assert planted.read_bytes() == SECRET


def test_a_folder_of_ours_that_others_may_write_in_is_tightened(
    follow: Follow, writer: Writer
) -> None:
    """As kubelet leaves it, which gives the group of a Pod every right on a volume."""
    follower = follow()
    follower.behind = True
    writer.append(follower.traces / "a.jsonl", 3)
    follower.turns(2)
    follower.stop()
    follower.held.chmod(0o2770)
    follower.start()
    writer.append(follower.traces / "b.jsonl", 3)
    follower.turns(2)
    assert len(list(follower.held.iterdir())) == 2
    assert follower.held.stat().st_mode & 0o777 == 0o700
    assert not list_warned(follower, "link")


@needs_root
def test_links_that_an_earlier_version_made_in_a_hold_directory_of_somebody_else_are_found(
    follow: Follow, tmp_path: pathlib.Path, writer: Writer
) -> None:
    hold = tmp_path / "hold"
    follower = follow(hold_directory=str(hold))
    follower.behind = True
    a = follower.traces / "a.jsonl"
    writer.append(a, 3)
    follower.turns(2)
    a.unlink()
    follower.turn()
    follower.stop()
    give(hold, AGENT)
    follower.behind = False
    follower.start()
    follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)


@needs_root
@pytest.mark.parametrize("mode", [0o2777, 0o700])
def test_traces_below_a_hold_directory_are_traces(
    follow: Follow, tmp_path: pathlib.Path, writer: Writer, mode: int
) -> None:
    """A Pod has one volume for both."""
    tmp_path.chmod(mode)
    follower = follow(hold_directory=str(tmp_path))
    (follower.traces / "deep").mkdir()
    writer.append(follower.traces / "deep" / "a.jsonl", 3)
    follower.turns(3)
    (follower.traces / "deep" / "a.jsonl").unlink()
    follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)
    assert not follower.warnings


@needs_root
@pytest.mark.parametrize("cut", [False, True])
def test_the_owner_of_a_hold_directory_replaces_no_link_of_ours(
    follow: Follow, tmp_path: pathlib.Path, writer: Writer, *, cut: bool
) -> None:
    """Ours may be the last name of what was deleted; the names of ours can be guessed."""
    hold = tmp_path / "hold"
    hold.mkdir()
    follower = follow(hold_directory=str(give(hold, AGENT)))
    a = give_new(give(follower.traces, AGENT) / "a.jsonl")
    writer.append(a, 3)
    follower.scan()
    a.unlink()
    (ours,) = (hold / "tracesidecar-0").iterdir()
    number = ours.name.removeprefix("segment-")
    names = {ours.name.partition(":")[0] if cut else ours.name, f"arrival-{number}"}
    for name in (*names, f"segment-{1 << 70}:agent:+x"):
        give_new(hold / name).write_bytes(b'{"forged": 1}\n')
    follower.restart()
    follower.turns(5)
    assert follower.count_lines() == Counter(writer.written)
    assert not follower.losses


@pytest.mark.parametrize("way", ["link", "file", "folder"])
def test_our_own_output_is_not_read_whatever_leads_to_it(
    follow: Follow, tmp_path: pathlib.Path, writer: Writer, way: str
) -> None:
    lake = tmp_path / "lake"
    (lake / "v1" / "deep").mkdir(parents=True)
    (lake / "v1" / "deep" / "out.jsonl").write_bytes(SECRET)
    follower = follow(symlinks="follow")
    follower.tailer.note_own_paths([str(lake)])
    path = follower.traces / "x.jsonl"
    path.symlink_to({"link": lake, "folder": lake / "v1", "file": lake / "v1/deep/out.jsonl"}[way])
    writer.append(follower.traces / "a.jsonl", 3)
    follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)
    assert list_warned(follower, "own_output") == [str(path)]


def test_a_file_of_ours_is_not_read_under_a_second_name(
    follow: Follow, tmp_path: pathlib.Path, writer: Writer
) -> None:
    database = tmp_path / "events.sqlite"
    database.write_bytes(SECRET)
    follower = follow()
    follower.tailer.note_own_paths([str(database)])
    os.link(database, follower.traces / "x.jsonl")
    writer.append(follower.traces / "a.jsonl", 3)
    follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)
    assert list_warned(follower, "own_output") == [str(follower.traces / "x.jsonl")]
    assert follower.tailer.count_skipped() == {("agent", "own"): 1}


def test_what_the_program_writes_to_its_standard_output_is_its_own(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "out.jsonl").touch()
    before = os.dup(1)
    try:
        with open(tmp_path / "out.jsonl", "wb") as file:
            os.dup2(file.fileno(), 1)
        assert OwnPaths([]).has(os.stat(tmp_path / "out.jsonl"))
    finally:
        os.dup2(before, 1)
        os.close(before)


@needs_root
def test_each_refusal_says_which_link_it_was(tmp_path: pathlib.Path) -> None:
    (tmp_path / "tree").mkdir()
    give(tmp_path / "tree", AGENT)
    (tmp_path / "tree" / "out").symlink_to("/")
    give(tmp_path / "tree" / "out", AGENT)
    source = SourceOptions(
        name="agent", include=(f"{tmp_path}/tree/**/*.jsonl",), symlinks="same_owner"
    )
    with pytest.raises(LinkNotFollowed):
        Tree([source]).stat_directory(str(tmp_path / "tree" / "out"))
    root = SourceOptions(name="agent", include=(f"{tmp_path}/tree/out/*.jsonl",))
    with pytest.raises(UntrustedLink):
        Tree([root]).stat_directory(str(tmp_path / "tree" / "out"))
