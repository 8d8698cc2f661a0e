"""Whoever may write into the folder in which a command is run does not choose what the command
runs, and not what it is configured to do.
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import ssl
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trustme

from tests.cli.conftest import PROGRAM, Desk
from tracesidecar.config import inspect

AGENT = 65533
"""Whose files the hostile ones are, where the suite runs as root."""

PLANTED_MODULES = (
    "msgspec", "hyperscan", "re2", "structlog", "tracesidecar", "zstandard", "isal", "tomli",
    "sitecustomize", "usercustomize", "json", "subprocess", "tempfile", "ssl", "aiohttp", "rich",
)  # fmt: skip
PLANTED_PROGRAMS = ("sh", "uname", "python3", "gcc", "ldconfig", "gcloud", "az", "pwsh", "git")
COMMANDS = (
    (("scan", "."),),
    (("ship", "--once", "--config", "{config}"), ("verify", "--config", "{config}", "lake")),
)
"""The first of each compiles the rules."""


@pytest.fixture
def hostile(desk: Desk) -> Desk:
    """Return a desk in whose folder everything that is named there says that it was run."""
    ran = desk.home / "ran"
    for name in PLANTED_MODULES:
        desk.write(f"{name}.py", f"open({str(ran)!r}, 'a').write({name!r} + '\\n')\n")
    for name in PLANTED_PROGRAMS:
        desk.write(name, f"#!/bin/sh\necho {name} >> {ran}\n").chmod(0o755)
    desk.write("a.jsonl", '{"password":"correct-horse-9"}\n')
    desk.write("openssl.cnf", "openssl_conf = [\n")
    return desk


def what_ran(desk: Desk) -> list[str]:
    """Return the names of planted files that were run."""
    ran = desk.home / "ran"
    return ran.read_text().split() if ran.exists() else []


def write_configuration(desk: Desk) -> str:
    """Write a configuration outside the hostile folder; return its path."""
    path = desk.home / "configuration.toml"
    path.write_text(
        f'state_directory = "{desk.home}/state"\n[daemon]\nlisten = ""\n'
        f'[[source]]\nname = "a"\ninclude = ["{desk.folder}/*.jsonl"]\n'
        f'[[sink]]\nname = "lake"\ntype = "directory"\npath = "{desk.home}/lake"\n'
        "[[redaction.test]]\ninput = 'a'\nexpected = 'a'\n"
    )
    return str(path)


@pytest.mark.parametrize("commands", COMMANDS, ids=lambda commands: commands[0][0])
def test_nothing_in_the_current_directory_is_run_while_the_rules_are_compiled(
    hostile: Desk, commands: tuple[tuple[str, ...], ...]
) -> None:
    config, there = write_configuration(hostile), sorted(hostile.folder.iterdir())
    for words in commands:
        done = hostile.call(
            *(word.format(config=config) for word in words),
            stdin=b'{"password":"correct-horse-9"}\n',
            XDG_CACHE_HOME="cache",
            PATH=f":.:{os.environ['PATH']}:",
            OPENSSL_CONF="openssl.cnf",
            AWS_CONFIG_FILE="./aws",
        )
        assert (done.returncode, what_ran(hostile)) == (0, []), done.stderr
        assert "AWS_CONFIG_FILE, OPENSSL_CONF, XDG_CACHE_HOME" in done.stderr
        compiled = [*hostile.home.rglob("*.hsdb")]
        assert len(compiled) >= 6, "the rules were compiled for this test"
    assert sorted(hostile.folder.iterdir()) == there


def test_a_module_is_not_found_by_a_relative_entry_of_pythonpath(desk: Desk) -> None:
    ran = desk.home / "ran"
    desk.write("msgspec.py", f"open({str(ran)!r}, 'a').write('msgspec\\n')\n")
    desk.write("traces/a.jsonl", "{}\n")
    for python_path in ("traces/..:/nowhere", "/nowhere:"):
        done = desk.call("scan", "traces", PYTHONPATH=python_path, PYTHONPYCACHEPREFIX="pyc")
        assert (done.returncode, what_ran(desk)) == (0, []), done.stderr


def test_the_module_form_of_the_command_does_not_look_into_the_current_directory(
    desk: Desk,
) -> None:
    ran = desk.home / "ran"
    desk.write("msgspec.py", f"open({str(ran)!r}, 'a').write('msgspec\\n')\n")
    done = subprocess.run(
        [sys.executable, "-m", "tracesidecar", "scan", "."],
        env=desk.environment(),
        cwd=desk.folder,
        capture_output=True,
        check=False,
        timeout=600,
    )
    assert (done.returncode, what_ran(desk)) == (0, []), done.stderr


def test_exec_finds_the_agent_by_the_absolute_directories_of_path(hostile: Desk) -> None:
    config = write_configuration(hostile)
    path = f":.:{os.environ['PATH']}"
    done = hostile.call("exec", "--config", config, "--", "sh", "-c", "exit 3", PATH=path)
    assert (done.returncode, what_ran(hostile)) == (3, []), done.stderr
    done = hostile.call("exec", "--config", config, "--", "gcloud", PATH=":.:/nowhere")
    assert (done.returncode, what_ran(hostile)) == (127, [])
    assert "looked for in the absolute directories of PATH" in done.stderr
    done = hostile.call("exec", "--config", config, "--", "./uname", PATH=path)
    assert (done.returncode, what_ran(hostile)) == (0, ["uname"]), "a path is the caller's word"


def test_the_agent_of_exec_has_the_environment_and_the_umask_of_the_caller(desk: Desk) -> None:
    script = (
        "umask > seen; echo $PATH >> seen; echo $PYTHONPATH >> seen; echo $SSLKEYLOGFILE >> seen"
    )
    path = f"{os.environ['PATH']}:."
    done = subprocess.run(
        [PROGRAM, "exec", "--config", write_configuration(desk), "--", "sh", "-c", script],
        env=desk.environment(PATH=path, PYTHONPATH="lib", SSLKEYLOGFILE="keys"),
        cwd=desk.folder,
        umask=0o027,
        capture_output=True,
        check=False,
        timeout=600,
    )
    seen = (desk.folder / "seen").read_text().splitlines()
    assert (done.returncode, seen) == (0, ["0027", path, "lib", "keys"]), done.stderr
    assert stat.S_IMODE((desk.folder / "seen").stat().st_mode) == 0o640


def test_no_session_keys_are_written(desk: Desk) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(desk.home / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    keys = desk.folder / "keys"
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server, context), daemon=True).start()
        config = Path(write_configuration(desk))
        config.write_text(
            config.read_text() + f'[[sink]]\nname = "remote"\ntype = "http"\n'
            f'url = "https://localhost:{server.getsockname()[1]}/"\n'
            f'tls = {{ ca_file = "{desk.home}/ca.pem" }}\n'
        )
        for name in (str(keys), "keys"):
            done = desk.call(
                "check-config", "--online", "--config", str(config), SSLKEYLOGFILE=name
            )
            assert "remote" in done.stdout
            assert "SSLKEYLOGFILE does not hold" in done.stderr
    assert not keys.exists()


def _serve(server: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            client, _ = server.accept()
            with client, context.wrap_socket(client, server_side=True) as tls:
                tls.recv(1 << 16)
                tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except OSError:
            return


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's files")
@pytest.mark.parametrize(
    "kind", ["theirs", "their link", "writable", "their group", "fifo", "hard link"]
)
def test_a_configuration_that_somebody_else_may_have_written_is_not_taken(
    desk: Desk, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk.folder)
    path = Path(write_configuration(desk))
    found = desk.folder / "tracesidecar.toml"
    if kind == "their link":
        found.symlink_to(path)
        os.lchown(found, AGENT, AGENT)
    elif kind == "fifo":
        os.mkfifo(found)
    elif kind == "hard link":
        found.hardlink_to(path)
    else:
        found.write_bytes(path.read_bytes())
        if kind == "theirs":
            os.chown(found, AGENT, AGENT)
        elif kind == "their group":
            os.chown(found, 0, AGENT)
        found.chmod({"theirs": 0o644, "writable": 0o646, "their group": 0o664}[kind])
    for words in (("check-config",), ("ship", "--once")):
        done = desk.call(*words)
        assert done.returncode == 78, done.stderr
        assert "--config ./tracesidecar.toml" in done.stderr + done.stdout
    assert inspect("tracesidecar.toml", {}).problems, "a reload reads what the start has found"
    if kind != "fifo":
        named = desk.call("check-config", "--config", "./tracesidecar.toml")
        assert named.returncode == 0, named.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's links")
def test_init_writes_through_no_link_of_another_user(desk: Desk) -> None:
    precious = desk.home / "precious"
    precious.write_text("precious")
    link = desk.folder / "tracesidecar.toml"
    link.symlink_to(precious)
    os.lchown(link, AGENT, AGENT)
    assert desk.call("init").returncode == 64
    forced = desk.call("init", "--force")
    assert forced.returncode == 78
    assert f"it is a symbolic link of user {AGENT}: remove it" in forced.stderr
    assert precious.read_text() == "precious"
    os.lchown(link, 0, 0)
    assert desk.call("init", "--force").returncode == 0
    assert "[[sink]]" in precious.read_text()


def test_init_does_not_wait_for_a_fifo(desk: Desk) -> None:
    path, pipe = desk.folder / "tracesidecar.toml", desk.folder / "pipe"
    os.mkfifo(path)
    os.mkfifo(pipe)
    for _ in range(2):
        forced = desk.call("init", "--force")
        assert forced.returncode == 78
        assert "it is not a regular file: remove it" in forced.stderr
        path.unlink()
        path.symlink_to(pipe)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's files")
def test_init_writes_into_no_file_of_another_user(desk: Desk) -> None:
    path = desk.write("tracesidecar.toml", "theirs")
    os.chown(path, AGENT, AGENT)
    forced = desk.call("init", "--force")
    assert forced.returncode == 78
    assert f"it belongs to user {AGENT}: remove it" in forced.stderr
    assert path.read_text() == "theirs"
    path.unlink()
    path.write_text("x" * 100_000)
    assert desk.call("init", "--force").returncode == 0
    assert path.read_text().startswith("# The configuration of tracesidecar")
    assert "xxx" not in path.read_text()


@pytest.mark.parametrize("member", ["theirs", ""])
def test_a_group_may_write_to_the_configuration_if_it_is_this_users_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, member: str
) -> None:
    found = desk.write("tracesidecar.toml", Path(write_configuration(desk)).read_bytes())
    found.chmod(0o664)  # as a umask of 002 makes it
    me = pwd.getpwuid(os.geteuid()).pw_name
    group = grp.struct_group((me, "x", found.stat().st_gid, [member] if member else []))
    monkeypatch.setattr(grp, "getgrgid", lambda _: group)
    monkeypatch.chdir(desk.folder)
    assert bool(inspect(None, {}).problems) == bool(member)


def test_a_clouds_library_finds_its_programs_by_the_absolute_directories_of_path(
    hostile: Desk,
) -> None:
    """Azure's asks `uname -p` for its User-Agent, and `az` and `pwsh` for credentials."""
    config = Path(write_configuration(hostile))
    config.write_text(
        config.read_text() + '[[sink]]\nname = "azure"\ntype = "azure"\ncontainer = "traces"\n'
        'account_url = "https://127.0.0.1:1"\n'
    )
    path = f":.:{os.environ['PATH']}"
    done = hostile.call("check-config", "--online", "--config", str(config), PATH=path)
    assert "for lack of credentials" in done.stdout, "its library was asked"
    assert what_ran(hostile) == []
