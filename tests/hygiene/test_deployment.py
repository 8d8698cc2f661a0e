"""The systemd unit and the Kubernetes manifests are accepted by the tools that read them, and keep
what the drain contract needs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tracesidecar.config.load import load

PROJECT = Path(__file__).resolve().parents[2]
UNIT = PROJECT / "systemd" / "tracesidecar.service"
MANIFESTS = sorted((PROJECT / "deploy" / "kubernetes").glob("*.yaml"))
DRAIN_DEADLINE_SECONDS = 25

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and "CI" not in os.environ,
    reason="systemd-analyze is not installed here",
)


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def pod(path: Path) -> dict[str, Any]:
    return next(
        document["spec"]["template"]["spec"]
        for document in documents(path)
        if "template" in document.get("spec", {})
    )


@needs_systemd
def test_systemd_accepts_the_unit_without_a_warning(tmp_path: Path) -> None:
    """An unknown key is only a warning to systemd, so any output is a failure."""
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text()))
    answer = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


@needs_systemd
def test_the_units_exposure_is_below_two() -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(UNIT)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout[-200:]


def test_systemd_waits_longer_than_the_drain_and_does_not_restart_on_an_invalid_configuration() -> (
    None
):
    unit = dict(
        line.split("=", 1) for line in UNIT.read_text().splitlines() if re.match(r"\w+=", line)
    )
    assert int(unit["TimeoutStopSec"].removesuffix("s")) > DRAIN_DEADLINE_SECONDS
    assert unit["RestartPreventExitStatus"] == "78"
    assert unit["SuccessExitStatus"] == "75", "undelivered data at a stop is no failure"
    assert unit["Type"] == "notify"


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_knows_every_field_of_the_manifest(path: Path) -> None:
    for document in documents(path):
        kubernetes_validate.validate(document, desired_version="1.33", strict=True)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_the_sidecar_is_native_outlives_the_agent_and_has_time_to_drain(path: Path) -> None:
    spec = pod(path)
    (sidecar,) = spec["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    assert spec["terminationGracePeriodSeconds"] > DRAIN_DEADLINE_SECONDS
    assert sidecar["livenessProbe"]["httpGet"]["path"] == "/livez"


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_every_container_is_confined_and_every_mount_has_its_volume(path: Path) -> None:
    spec = pod(path)
    volumes = {volume["name"] for volume in spec["volumes"]}
    assert spec["securityContext"]["runAsNonRoot"]
    for container in spec["initContainers"] + spec["containers"]:
        context = container["securityContext"]
        assert (
            context["allowPrivilegeEscalation"],
            context["readOnlyRootFilesystem"],
            context["capabilities"]["drop"],
        ) == (False, True, ["ALL"])
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_a_destination_that_is_away_does_not_take_the_pod_out_of_its_service(path: Path) -> None:
    """A native sidecar's readiness is the Pod's, and /readyz depends on destinations."""
    (sidecar,) = pod(path)["initContainers"]
    probes = [sidecar.get(f"{kind}Probe", {}) for kind in ("startup", "liveness", "readiness")]
    assert "/readyz" not in str(probes)


def test_both_manifests_run_as_the_same_user_with_the_same_volumes() -> None:
    """What tests/daemon/test_kubernetes.py shows of one of them holds for the other."""
    one, other = map(pod, MANIFESTS)
    assert one["securityContext"] == other["securityContext"]
    assert one["volumes"] == other["volumes"]
    assert one["initContainers"][0]["volumeMounts"] == other["initContainers"][0]["volumeMounts"]


def test_the_deployment_selects_its_own_pods() -> None:
    """A schema does not see this; the API server answers it with 422."""
    (deployment,) = (
        document
        for document in documents(PROJECT / "deploy" / "kubernetes" / "sidecar.yaml")
        if document["kind"] == "Deployment"
    )
    assert (
        deployment["spec"]["selector"]["matchLabels"].items()
        <= deployment["spec"]["template"]["metadata"]["labels"].items()
    )


def test_the_configuration_in_the_config_map_is_accepted(tmp_path: Path) -> None:
    (settings,) = (
        document
        for document in documents(PROJECT / "deploy" / "kubernetes" / "sidecar.yaml")
        if document["kind"] == "ConfigMap"
    )
    path = tmp_path / "config.toml"
    path.write_text(settings["data"]["config.toml"])
    loaded = load(str(path), {})
    assert [sink.type for sink in loaded.configuration.sink] == ["s3"]
    assert float(loaded.configuration.daemon.drain_deadline) == DRAIN_DEADLINE_SECONDS
