"""A missing server is reported, and fails in CI; one that is there costs nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import provision
from tests.servers.processes import require


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    return tmp_path


def test_a_missing_server_skips_at_a_desk(empty_cache: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match="make servers"):
        require("versitygw")


def test_a_missing_server_fails_in_ci(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="make servers"):
        require("versitygw")


def test_without_the_tools_it_is_said_what_is_skipped(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(provision, "find_go", lambda: None)
    monkeypatch.setenv("PATH", str(empty_cache))
    assert provision.main() == 0
    said = capsys.readouterr().err
    assert "S3 with versitygw are skipped" in said
    assert "network faults with toxiproxy are skipped" in said
    monkeypatch.setenv("CI", "true")
    assert provision.main() == 1


def test_what_is_there_is_not_built_again(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provision, "find_go", lambda: pytest.fail("looked for Go"))
    for server in provision.SERVERS.values():
        server.binary.parent.mkdir(parents=True)
        server.binary.touch()
    assert provision.main() == 0
