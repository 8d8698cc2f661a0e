"""The shipped manifests start: with the user, the volumes and the configuration of the Pod."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.daemon.sidecar import PROGRAM
from tests.servers.processes import free_port, wait_until
from tests.warm import warm
from tracesidecar.encode.jsonl import decode_lines

MANIFEST = Path(__file__).parents[2] / "deploy" / "kubernetes" / "sidecar.yaml"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root, with setpriv, can be another user and make volumes for it",
)


class Pod:
    """Volumes as kubelet makes an emptyDir for an fsGroup, and the sidecar's command in them."""

    def __init__(self, folder: Path) -> None:
        by_kind = {
            document["kind"]: document for document in yaml.safe_load_all(MANIFEST.read_text())
        }
        settings: str = by_kind["ConfigMap"]["data"]["config.toml"]
        spec = by_kind["Deployment"]["spec"]["template"]["spec"]
        [sidecar], [self.agent] = spec["initContainers"], spec["containers"]
        self.context = spec["securityContext"]
        self.user, self.agents_user = (
            container["securityContext"]["runAsUser"] for container in (sidecar, self.agent)
        )
        self.folder = folder
        for name in ("traces", "state", "lake"):
            (folder / name).mkdir()
            os.chown(folder / name, 0, self.context["fsGroup"])
            (folder / name).chmod(0o2777)
        self.traces, self.lake = folder / "traces", folder / "lake"
        self.state = folder / "state" / f"tracesidecar-{self.user}"
        head, _, _ = settings.replace('"/', f'"{folder}/').partition("[[sink]]")
        self.config = folder / "config.toml"
        self.config.write_text(
            head.replace("0.0.0.0:9464", f"127.0.0.1:{free_port()}")
            + f'[[sink]]\nname = "archive"\ntype = "directory"\npath = "{self.lake}"\n'
            'format = "raw"\nbatch = { age = "500ms", idle = "100ms" }\n'
        )

    def command(self, *words: str) -> list[str]:
        """The command as the user of the sidecar.

        The one right that it keeps lets it reach an interpreter in root's home. It lets nobody
        write.
        """
        return [
            *self._as(self.user, "-all,+dac_read_search"),
            *(str(PROGRAM), "--config", str(self.config), *words),
        ]

    def _as(self, user: int, rights: str) -> list[str]:
        return [
            *("setpriv", f"--reuid={user}", f"--regid={self.context['runAsGroup']}"),
            *(f"--groups={self.context['fsGroup']}", f"--inh-caps={rights}"),
            *(f"--ambient-caps={rights}", f"--bounding-set={rights}"),
        ]

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            env=self.environment(),
            cwd="/",
            timeout=600,
            check=False,
        )

    def warm(self) -> None:
        """Give it the state of an earlier start, with the compiled rules."""
        warm(self.state)
        for path in (self.state, *self.state.rglob("*")):
            os.chown(path, self.user, self.context["runAsGroup"])

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """The daemon, which is killed at the end."""
        with (self.folder / "log").open("ab") as log:
            daemon = subprocess.Popen(
                self.command("run"), stderr=log, env=self.environment(), cwd="/"
            )
        try:
            yield daemon
        finally:
            daemon.kill()
            daemon.wait()

    def environment(self) -> dict[str, str]:
        """What a container has that sets no variables."""
        return {"PATH": os.environ["PATH"], "LOG_FORMAT": "json", "HOME": "/"}

    def as_agent(self, script: str, *, umask: str = "") -> subprocess.CompletedProcess[str]:
        """Run a shell script in the traces as the agent's container would: by the command of the
        manifest, or with a umask of its own.
        """
        command = [
            word.replace("umask 0007", f"umask {umask or '0007'}") for word in self.agent["command"]
        ]
        return subprocess.run(
            [*self._as(self.agents_user, "-all"), *command, "/bin/sh", "-c", script],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.traces,
        )

    def write(self, name: str, *lines: str, umask: str = "") -> Path:
        """Write a trace as the agent."""
        script = "".join(f"echo '{line}' >> {name}\n" for line in lines)
        assert self.as_agent(script, umask=umask).returncode == 0
        return self.traces / name

    def list_delivered(self) -> list[str]:
        """The lines in the lake."""
        return [
            line
            for path in sorted(self.lake.rglob("*.jsonl.gz"))
            for line in decode_lines(path.read_bytes(), "gzip").decode().splitlines()
        ]

    def json(self, *words: str) -> dict[str, Any]:
        """Run a reading command and return its document."""
        done = self.call(*words, "--json")
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def source(self) -> dict[str, Any]:
        """The only source, in `status`."""
        [source] = self.json("status")["sources"]
        return dict(source)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the Pod's user can reach."""
    with tempfile.TemporaryDirectory(prefix="tracesidecar-pod-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_the_pod_of_the_manifest_starts_delivers_and_is_found_by_every_command(
    folder: Path,
) -> None:
    pod = Pod(folder)
    trace = pod.write("a.jsonl", '{"n":1}', '{"n":2', '{"n":3}')
    with pod.running() as daemon:
        wait_until(lambda: len(pod.list_delivered()) == 2 or daemon.poll() is not None)
        assert pod.list_delivered() == ['{"n":1}', '{"n":3}'], (folder / "log").read_text()[-2000:]
        status = pod.json("status")
        assert (status["running"], status["state_directory"]) == (True, str(pod.state))
        assert [part["state"] for part in pod.json("explain", str(trace))["ranges"]] != []
        assert len(pod.json("quarantine", "list")["quarantine"]) == 1
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(600) == 0
    assert (pod.state.stat().st_mode & 0o7777, pod.json("status")["running"]) == (0o700, False)
    assert pod.call("ship", "--once").returncode == 0
    assert pod.list_delivered() == ['{"n":1}', '{"n":3}']


def test_a_directory_of_somebody_else_in_the_place_of_the_state_ends_with_78_and_a_sentence(
    folder: Path,
) -> None:
    pod = Pod(folder)
    pod.state.mkdir()
    pod.state.chmod(0o777)
    done = pod.call("ship", "--once")
    assert done.returncode == 78
    assert "belongs to user 0" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(pod.state.iterdir()) == []


def kill_while_the_store_is_missing(pod: Pod, umask: str, protection: str) -> None:
    """The sidecar is killed with undelivered lines, and they are deleted before it is back."""
    pod.warm()
    trace = pod.write("a.jsonl", '{"n":1}', '{"n":2}', umask=umask)
    pod.lake.chmod(0o755)
    with pod.running():
        wait_until(lambda: pod.source()["protection"] == protection)
    assert pod.as_agent("rm a.jsonl").returncode == 0
    assert not trace.exists()
    pod.lake.chmod(0o2777)
    assert pod.list_delivered() == []


def test_what_the_agent_deletes_in_a_restart_arrives_because_its_group_may_write(
    folder: Path,
) -> None:
    """fs.protected_hardlinks: whoever may read and write a file may link it."""
    pod = Pod(folder)
    assert pod.user != pod.agents_user
    kill_while_the_store_is_missing(pod, "0007", "link")
    assert pod.call("ship", "--once").returncode == 0
    assert pod.list_delivered() == ['{"n":1}', '{"n":2}']


@pytest.mark.long
def test_what_the_agent_deletes_in_a_restart_is_a_recorded_loss_if_its_group_may_only_read(
    folder: Path,
) -> None:
    pod = Pod(folder)
    kill_while_the_store_is_missing(pod, "0027", "descriptor")
    assert pod.call("ship", "--once").returncode == 0
    assert pod.list_delivered() == []
    assert pod.source()["lost_bytes"] == len('{"n":1}\n{"n":2}\n')


def test_while_the_sidecar_runs_nothing_is_lost_also_if_the_group_may_only_read(
    folder: Path,
) -> None:
    pod = Pod(folder)
    pod.warm()
    pod.write("a.jsonl", '{"n":1}', umask="0027")
    pod.lake.chmod(0o755)
    with pod.running():
        wait_until(lambda: pod.source()["protection"] == "descriptor")
        assert pod.as_agent("rm a.jsonl").returncode == 0
        pod.lake.chmod(0o2777)
        wait_until(lambda: pod.list_delivered() == ['{"n":1}'])


def test_the_agent_can_open_neither_the_state_nor_the_links(folder: Path) -> None:
    pod = Pod(folder)
    pod.warm()
    pod.write("a.jsonl", '{"n":1}')
    pod.lake.chmod(0o755)
    with pod.running() as daemon:
        wait_until(lambda: pod.source()["protection"] == "link")
        for script in (
            f"ls {pod.state}",
            "ls .held",
            f"cat /proc/{daemon.pid}/environ",
            f"ls /proc/{daemon.pid}/fd",
        ):
            assert pod.as_agent(script).returncode != 0, script
