"""With `seal_to`, rejected bytes are kept, but only the holder of the private key can read them."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, number_lines
from tests.daemon.test_crash import kill_at
from tests.servers.receiving import ReceivingServer
from tracesidecar.errors import StateError
from tracesidecar.extras import install_command
from tracesidecar.journal import Vault, sweep_sealed, unseal

BROKEN = [b"broken one", b"\xff\x00 two \x1b[31m"]


@pytest.fixture
def identity(sidecar: Sidecar) -> Path:
    """A sidecar that seals, and the file with the private key."""
    key = pyrage.x25519.Identity.generate()
    sidecar.configure(
        LAKE.format(lake=sidecar.lake), more=f'[quarantine]\nseal_to = "{key.to_public()}"\n'
    )
    path = sidecar.folder / "identity.txt"
    path.write_text(f"# created: today\n# public key: {key.to_public()}\n{key}\n")
    return path


def list_sealed(sidecar: Sidecar) -> list[Path]:
    return sorted((sidecar.state / "quarantine").iterdir())


def show_entry(sidecar: Sidecar, entry: object, identity: Path) -> bytes:
    ended = sidecar.call("quarantine", "show", str(entry), "--identity", str(identity))
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_anyone_with_the_key_can_read_rejected_bytes_after_the_file_is_gone(
    sidecar: Sidecar, identity: Path
) -> None:
    append(
        sidecar.traces / "a.jsonl", [*number_lines(0, 3), BROKEN[0], *number_lines(3, 3), BROKEN[1]]
    )
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == number_lines(0, 6)
    assert not any(
        word in path.read_bytes()
        for path in sidecar.state.rglob("*")
        if path.is_file()
        for word in BROKEN
    )
    (sidecar.traces / "a.jsonl").unlink()
    assert sidecar.ship().returncode == 0
    assert list((sidecar.state / "held").iterdir()) == [], "what is sealed holds no file"
    entries = sidecar.list_quarantined()
    assert [(entry["bytes"], entry["sealed"]) for entry in entries] == [("sealed", True)] * 2
    assert [show_entry(sidecar, entry["id"], identity) for entry in entries] == [
        line + b"\n" for line in BROKEN
    ]


def test_sealed_files_are_for_the_owner_alone_and_readable_by_age_itself(
    sidecar: Sidecar, identity: Path
) -> None:
    append(sidecar.traces / "a.jsonl", BROKEN)
    sidecar.ship()
    [path] = list_sealed(sidecar)
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (
        0o600,
        0o700,
    )
    key = pyrage.x25519.Identity.from_str(identity.read_text().splitlines()[-1])
    assert pyrage.decrypt(path.read_bytes(), [key]) == b"".join(line + b"\n" for line in BROKEN)


def test_another_key_does_not_open_them(sidecar: Sidecar, identity: Path) -> None:
    append(sidecar.traces / "a.jsonl", BROKEN[:1])
    sidecar.ship()
    identity.write_text(str(pyrage.x25519.Identity.generate()))
    ended = sidecar.call("quarantine", "show", "1", "--identity", str(identity))
    assert (ended.returncode, ended.stdout) == (78, b"")
    assert b"another key belongs to them" in ended.stderr


def test_an_entry_that_is_not_sealed_cannot_be_opened(sidecar: Sidecar, identity: Path) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake))
    append(sidecar.traces / "a.jsonl", BROKEN[:1])
    sidecar.ship()
    assert sidecar.call("quarantine", "show", "1", "--identity", str(identity)).returncode == 64


def test_the_sealed_file_goes_with_the_last_of_its_lines(sidecar: Sidecar, identity: Path) -> None:
    append(sidecar.traces / "a.jsonl", BROKEN)
    sidecar.ship()
    sidecar.call("quarantine", "drop", "1")
    assert len(list_sealed(sidecar)) == 1
    sidecar.call("quarantine", "drop", "2")
    assert list_sealed(sidecar) == []


def test_a_redriven_line_takes_its_sealed_bytes_along(sidecar: Sidecar, identity: Path) -> None:
    append(sidecar.traces / "a.jsonl", [b'{"a":NaN}'])
    sidecar.ship()
    assert len(list_sealed(sidecar)) == 1
    sidecar.config.write_text(
        sidecar.config.read_text().replace(
            'copy_grace = "500ms"', 'copy_grace = "500ms"\nrepair = true'
        )
    )
    sidecar.call("quarantine", "redrive", "--all")
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == [b'{"a":null}']
    assert list_sealed(sidecar) == []


def test_a_line_over_the_limit_is_kept_by_reference_alone(sidecar: Sidecar, identity: Path) -> None:
    sidecar.config.write_text(
        sidecar.config.read_text().replace(
            'copy_grace = "500ms"', 'copy_grace = "500ms"\nmax_line = "4KiB"'
        )
    )
    append(sidecar.traces / "a.jsonl", [json.dumps("x" * 5000).encode()])
    sidecar.ship()
    assert [
        (entry["reason"], entry["bytes"], entry["sealed"]) for entry in sidecar.list_quarantined()
    ] == [("too_long", "in the file", False)]
    assert len(list((sidecar.state / "held").iterdir())) == 1


def test_a_record_that_the_destination_rejects_is_sealed_as_it_was_written(
    sidecar: Sidecar, identity: Path, receiver: ReceivingServer
) -> None:
    seal = sidecar.config.read_text().partition("[quarantine]")[2]
    sidecar.configure(
        f'[[sink]]\nname = "far"\ntype = "http"\nurl = "{receiver.url}"\n',
        more=f"[quarantine]{seal}",
    )
    receiver.order(poison="line 1")
    secret = "gh" + "p_" + "aB3" * 12
    lines = [
        *number_lines(0, 1),
        json.dumps({"text": "line 1", "token": secret}).encode(),
        *number_lines(2, 2),
    ]
    append(sidecar.traces / "a.jsonl", lines)
    assert sidecar.ship().returncode == 0
    [entry] = sidecar.list_quarantined()
    assert (entry["sink"], show_entry(sidecar, entry["id"], identity)) == ("far", lines[1] + b"\n")


@pytest.mark.parametrize("point", ["planned", "sent", "committing"])
def test_what_a_crash_leaves_unrecorded_is_swept_and_sealed_again(
    sidecar: Sidecar, identity: Path, point: str
) -> None:
    append(sidecar.traces / "a.jsonl", [*number_lines(0, 3), BROKEN[0]])
    kill_at(sidecar, point)
    assert (len(list_sealed(sidecar)), sidecar.list_quarantined()) == (1, [])
    (sidecar.state / "quarantine" / "1-2-3.age.unfinished").write_bytes(b"half")
    assert sidecar.ship().returncode == 0
    [entry] = sidecar.list_quarantined()
    assert [path.suffix for path in list_sealed(sidecar)] == [".age"]
    assert show_entry(sidecar, entry["id"], identity) == BROKEN[0] + b"\n"


def test_two_sinks_share_one_sealed_file(sidecar: Sidecar, identity: Path) -> None:
    seal = sidecar.config.read_text().partition("[quarantine]")[2]
    second = LAKE.format(lake=sidecar.folder / "second").replace('"lake"', '"second"')
    sidecar.configure(LAKE.format(lake=sidecar.lake) + second, more=f"[quarantine]{seal}")
    append(sidecar.traces / "a.jsonl", [*number_lines(0, 3), BROKEN[0]])
    assert sidecar.ship().returncode == 0
    assert len(list_sealed(sidecar)) == len(sidecar.list_quarantined()) == 1


def test_pyrage_is_loaded_only_to_seal_and_its_absence_is_reported(
    sidecar: Sidecar, identity: Path
) -> None:
    script = (
        "import os, sys\nsys.modules['pyrage'] = None\nfrom tracesidecar.cli import main\n"
        "sys.exit(main(['--config', sys.argv[1], 'check-config']))\n"
    )

    def check() -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-c", script, sidecar.config],
            capture_output=True,
            env=os.environ | sidecar.environment(),
            check=False,
        )

    ended = check()
    assert ended.returncode == 78
    assert b"not installed; run: " + install_command("seal").encode() in ended.stderr
    sidecar.configure(LAKE.format(lake=sidecar.lake))
    assert check().returncode == 0


def test_sealed_lines_need_a_folder_and_follow_no_link(tmp_path: Path) -> None:
    """The folder may be removed while we run, and what is being written is no link of anybody's."""
    vault = Vault(str(tmp_path), str(pyrage.x25519.Identity.generate().to_public()))
    shutil.rmtree(tmp_path / "quarantine")
    sealed = vault.seal(1, [(0, b"broken")])
    written = tmp_path / "quarantine" / sealed.file
    written.unlink()
    (other := tmp_path / "precious.jsonl").write_bytes(b"content\n")
    written.with_name(f"{sealed.file}.unfinished").symlink_to(other)
    assert vault.seal(1, [(0, b"broken")]) == sealed
    assert written.read_bytes().startswith(b"age-encryption.org")
    assert other.read_bytes() == b"content\n"


def test_nothing_is_sealed_through_a_link_in_the_place_of_the_state_directory(
    tmp_path: Path,
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a link of another user")
    (precious := tmp_path / "precious").mkdir()
    (state := tmp_path / "state").mkdir()
    vault = Vault(str(state), str(pyrage.x25519.Identity.generate().to_public()))
    state.rename(tmp_path / "elsewhere")
    state.symlink_to(precious)
    os.chown(state, 10001, 10001, follow_symlinks=False)
    with pytest.raises(StateError, match="write the sealed lines"):
        vault.seal(1, [(0, b"broken")])
    assert list(precious.iterdir()) == []


def test_a_sealed_file_is_set_aside_beside_another_of_its_name(tmp_path: Path) -> None:
    """Journals that were lost one after another number their segments alike."""
    (folder := tmp_path / "quarantine").mkdir()
    for content in (b"first", b"second", b"third"):
        (folder / "1-0-ab.age").write_bytes(content)
        assert sweep_sealed(str(tmp_path), frozenset(), lambda _segment: None) == 1
    kept = {path.read_bytes() for path in (folder / "unknown").iterdir()}
    assert kept == {b"first", b"second", b"third"}


def test_a_sealed_file_that_is_gone_is_named_with_what_to_do(tmp_path: Path) -> None:
    identity = str(pyrage.x25519.Identity.generate())
    with pytest.raises(StateError, match=r"1-0-ab\.age .*restore it from a backup, or drop"):
        unseal(str(tmp_path), "1-0-ab.age", 0, 1, identity)
