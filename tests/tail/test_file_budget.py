"""A source follows no more files and directories than its budget; what has no room waits."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

from tests.tail.follower import Follower
from tracesidecar.tail.options import SourceLimits, SourceOptions

LINE = b'{"n":1}\n'


def many_files(root: pathlib.Path, name: str, count: int) -> list[pathlib.Path]:
    made = [root / f"{name}{number}.jsonl" for number in range(count)]
    for number, path in enumerate(made):
        path.write_bytes(b'{"file":"%s%d"}\n' % (name.encode(), number))
    return made


def test_at_the_limit_of_files_the_source_waits_until_files_go_or_it_is_raised(
    follow: Callable[..., Follower],
) -> None:
    follower = follow(limits=SourceLimits(files=10))
    made = many_files(follower.traces, "f", 15)
    follower.turns(2)
    (limit,) = follower.last.limits
    assert (limit.limit, limit.used, limit.allowed, limit.waiting) == ("files", 10, 10, 5)
    assert len(follower.lines) == 10
    known = {view.segment.path for view in follower.tailer.segments().values()}
    for path in [path for path in made if str(path) in known][:3]:
        path.unlink()
    follower.turns(12)
    assert len(follower.lines) == 13
    (limit,) = follower.last.limits
    assert (limit.used, limit.waiting) == (10, 2)
    follower.restart()
    follower.turns(2)
    assert [each.limit for each in follower.last.limits] == ["files"]
    follower.sources[0] = SourceOptions(
        name="agent", include=follower.sources[0].include, limits=SourceLimits(files=100)
    )
    follower.restart()
    follower.turns(2)
    assert follower.last.limits == ()
    assert len(follower.lines) == 15
    assert follower.losses == []


def test_directories_count_as_files_do(follow: Callable[..., Follower]) -> None:
    follower = follow(limits=SourceLimits(files=10))
    for number in range(40):
        (follower.traces / f"d{number}" / "deeper").mkdir(parents=True)
    follower.turns(2)
    assert [each.limit for each in follower.last.limits] == ["files"]
    for number in range(40):
        (follower.traces / f"d{number}" / "deeper").rmdir()
        (follower.traces / f"d{number}").rmdir()
    (follower.traces / "a.jsonl").write_bytes(LINE)
    follower.turns(4)
    assert follower.last.limits == ()
    assert len(follower.lines) == 1
