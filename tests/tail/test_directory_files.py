"""The known files of a directory, whether they are few or very many."""

from __future__ import annotations

import pytest

from tracesidecar.tail.file_table import Directory, File, FileTable
from tracesidecar.tail.options import SourceOptions


def make_directory(path: str) -> Directory:
    return Directory(path, 1, 1, {}, linked=False)


@pytest.mark.parametrize("many", [3, 200])
def test_files_are_found_by_name_through_every_change(many: int) -> None:
    table = FileTable([SourceOptions(name="agent", include=("/a/*",))])
    first, second = make_directory("/a"), make_directory("/b")
    files = [File(n, 0, first, f"{n % (many - 1)}", 1, n, 0) for n in range(1, many + 1)]
    for file in files:
        table.add(file)
    namesakes = [file for file in files if file.name == "1"]
    assert len(namesakes) == 2
    assert list(first.files.with_name("1")) == namesakes
    assert sorted(file.id for file in first.files) == [file.id for file in files]
    table.move(namesakes[0], first, "renamed")
    table.move(namesakes[1], second, "1")
    assert first.files.with_name("1") == ()
    assert first.files.with_name("renamed") == (namesakes[0],)
    assert list(second.files) == [namesakes[1]]
    for file in files:
        table.remove(file)
        table.remove(file)
    assert list(first.files) == list(second.files) == []
    table.move(files[0], files[0].directory, "again")
    assert list(files[0].directory.files) == [], "a forgotten file does not come back by a move"
