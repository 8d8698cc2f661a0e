"""The shipped manifests start: with the user, the volumes and the configuration of the Pod."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.daemon.sidecar import PROGRAM
from tests.servers.processes import eventually, free_port
from tracesidecar.encode.jsonl import decode_lines

MANIFEST = Path(__file__).parents[2] / "deploy" / "kubernetes" / "sidecar.yaml"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root, with setpriv, can be another user and make volumes for it",
)


class Pod:
    """Volumes as kubelet makes an emptyDir for an fsGroup, and the sidecar's command in them."""

    def __init__(self, folder: Path) -> None:
        config_map, deployment = yaml.safe_load_all(MANIFEST.read_text())
        settings: str = config_map["data"]["config.toml"]
        self.context = deployment["spec"]["template"]["spec"]["securityContext"]
        self.folder = folder
        for name in ("traces", "state", "lake"):
            (folder / name).mkdir()
            os.chown(folder / name, 0, self.context["fsGroup"])
            (folder / name).chmod(0o2777)
        self.traces, self.lake = folder / "traces", folder / "lake"
        self.state = folder / "state" / f"tracesidecar-{self.context['runAsUser']}"
        head, _, _ = settings.replace('"/', f'"{folder}/').partition("[[sink]]")
        self.config = folder / "config.toml"
        self.config.write_text(
            head.replace("0.0.0.0:9464", f"127.0.0.1:{free_port()}")
            + f'[[sink]]\nname = "archive"\ntype = "directory"\npath = "{self.lake}"\n'
            'format = "raw"\nbatch = { age = "500ms", idle = "100ms" }\n'
        )

    def command(self, *words: str) -> list[str]:
        """The command as the user of the Pod.

        The one right that it keeps lets it reach an interpreter in root's home. It lets nobody
        write.
        """
        user, group = self.context["runAsUser"], self.context["runAsGroup"]
        rights = "-all,+dac_read_search"
        return [
            *("setpriv", f"--reuid={user}", f"--regid={group}"),
            *(f"--groups={self.context['fsGroup']}", f"--inh-caps={rights}"),
            *(f"--ambient-caps={rights}", f"--bounding-set={rights}"),
            *(str(PROGRAM), "--config", str(self.config), *words),
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

    def environment(self) -> dict[str, str]:
        """What a container has that sets no variables."""
        return {"PATH": os.environ["PATH"], "LOG_FORMAT": "json", "HOME": "/"}

    def write(self, name: str, *lines: str) -> Path:
        """Write a trace as the agent, which has the same user."""
        path = self.traces / name
        path.write_text("".join(f"{line}\n" for line in lines))
        os.chown(path, self.context["runAsUser"], self.context["runAsGroup"])
        return path

    def delivered(self) -> list[str]:
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
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(pod.command("run"), stderr=log, env=pod.environment(), cwd="/")
    try:
        eventually(lambda: len(pod.delivered()) == 2 or daemon.poll() is not None)
        assert pod.delivered() == ['{"n":1}', '{"n":3}'], (folder / "log").read_text()[-2000:]
        status = pod.json("status")
        assert (status["running"], status["state_directory"]) == (True, str(pod.state))
        assert [part["state"] for part in pod.json("explain", str(trace))["ranges"]] != []
        assert len(pod.json("quarantine", "list")["quarantine"]) == 1
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(600) == 0
    finally:
        daemon.kill()
    assert (pod.state.stat().st_mode & 0o7777, pod.json("status")["running"]) == (0o700, False)
    assert pod.call("ship", "--once").returncode == 0
    assert pod.delivered() == ['{"n":1}', '{"n":3}']


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
