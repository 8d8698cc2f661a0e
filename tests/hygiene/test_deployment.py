"""The systemd unit and the Kubernetes manifests are accepted by the tools that read them, and keep
what the drain contract needs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tracesidecar.config.load import load
from tracesidecar.config.schema import Configuration, DaemonOptions
from tracesidecar.tail.options import SourceOptions

PROJECT = Path(__file__).resolve().parents[2]
UNIT = PROJECT / "systemd" / "tracesidecar.service"
MANIFESTS = sorted((PROJECT / "deploy" / "kubernetes").glob("*.yaml"))
DRAIN_DEADLINE_SECONDS = 25
IDLE_BYTES = 60 << 20
"""The goal of the README for a daemon that does nothing."""
WORST_PEAK_BYTES = 473_000_000
"""Of a whole process with the default configuration, measured with a line of `max_line`."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and "CI" not in os.environ,
    reason="systemd-analyze is not installed here",
)


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def settings() -> dict[str, str]:
    """What the unit sets, by name."""
    lines = UNIT.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))


def size(text: str) -> int:
    """Bytes, of what systemd calls 640M and Kubernetes 256Mi."""
    number, unit = re.findall(r"\d+|[KMG]", text)
    return int(number) << {"K": 10, "M": 20, "G": 30}[unit]


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
    unit = settings()
    assert int(unit["TimeoutStopSec"].removesuffix("s")) > DRAIN_DEADLINE_SECONDS
    assert unit["RestartPreventExitStatus"] == "78"
    assert unit["SuccessExitStatus"] == "75", "undelivered data at a stop is no failure"
    assert unit["Type"] == "notify"


def test_the_unit_forbids_dumps_and_stands_nowhere() -> None:
    assert (settings()["LimitCORE"], settings()["WorkingDirectory"]) == ("0", "/")


def test_the_units_memory_has_room_for_the_worst_case_of_the_default_configuration() -> None:
    """Up to MemoryHigh nothing is slowed down; MemoryMax ends the process."""
    buffers = int(DaemonOptions().memory_limit)
    longest = int(SourceOptions(name="agent", include=("/x/*.jsonl",)).max_line)
    high, most = size(settings()["MemoryHigh"]), size(settings()["MemoryMax"])
    assert high >= max(WORST_PEAK_BYTES * 1.25, buffers + 4 * longest + IDLE_BYTES)
    assert most >= high * 1.15


@needs_systemd
def test_systemd_accepts_what_the_comments_of_the_unit_suggest(tmp_path: Path) -> None:
    suggested = re.findall(
        r"\b((?:ProtectHome|BindReadOnlyPaths|BindPaths|IPAddressDeny|IPAddressAllow)="
        r"[\w./:-]+(?: [\d.:a-f]+)*)",
        "".join(line for line in UNIT.read_text().splitlines() if line.startswith("#")),
    )
    suggested = [text.rstrip(".:") for text in suggested]
    names = {text.partition("=")[0] for text in suggested}
    assert names == {
        "ProtectHome",
        "BindReadOnlyPaths",
        "BindPaths",
        "IPAddressDeny",
        "IPAddressAllow",
    }
    assert "ProtectHome=tmpfs" in suggested
    unit = tmp_path / UNIT.name
    text = re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text())
    unit.write_text(text.replace("[Install]", "\n".join([*suggested, "", "[Install]"])))
    answer = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


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


def test_both_manifests_run_as_the_same_users_with_the_same_volumes() -> None:
    """What tests/daemon/test_kubernetes.py shows of one of them holds for the other."""
    one, other = map(pod, MANIFESTS)
    assert one["securityContext"] == other["securityContext"]
    assert one["volumes"] == other["volumes"]
    assert one["initContainers"][0]["volumeMounts"] == other["initContainers"][0]["volumeMounts"]
    for kind in ("initContainers", "containers"):
        assert one[kind][0]["securityContext"] == other[kind][0]["securityContext"]
        assert one[kind][0].get("command") == other[kind][0].get("command")


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_agent_and_sidecar_are_two_users_of_one_group_that_may_write_the_traces(path: Path) -> None:
    spec = pod(path)
    [sidecar], [agent] = spec["initContainers"], spec["containers"]
    users = [container["securityContext"]["runAsUser"] for container in (sidecar, agent)]
    assert len(set(users)) == 2
    assert 0 not in users
    assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsGroup"]
    assert "umask 0007" in agent["command"][2], "else no hard links: fs.protected_hardlinks"
    assert "state" not in {mount["name"] for mount in agent["volumeMounts"]}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_every_volume_of_a_pod_has_a_limit_and_links_stay_below_that_of_the_traces(
    path: Path,
) -> None:
    limits = {
        volume["name"]: size(volume["emptyDir"]["sizeLimit"])
        for volume in pod(path)["volumes"]
        if "emptyDir" in volume
    }
    assert set(limits) == {"traces", "state", "tmp"}
    assert int(load_settings().daemon.held_limit) < limits["traces"]


def test_the_sidecars_memory_has_room_for_its_longest_line() -> None:
    configuration = load_settings()
    [source] = configuration.source
    for path in MANIFESTS:
        (sidecar,) = pod(path)["initContainers"]
        limit = size(sidecar["resources"]["limits"]["memory"])
        needed = int(configuration.daemon.memory_limit) + 4 * int(source.max_line)
        assert limit >= needed + IDLE_BYTES


def test_the_network_policy_covers_both_pods_and_opens_neither_cluster_nor_metadata() -> None:
    (policy,) = (
        d["spec"] for path in MANIFESTS for d in documents(path) if d["kind"] == "NetworkPolicy"
    )
    [expression] = policy["podSelector"]["matchExpressions"]
    labels = {
        d["spec"]["template"]["metadata"]["labels"][expression["key"]]
        for path in MANIFESTS
        for d in documents(path)
        if "template" in d.get("spec", {})
    }
    assert set(expression["values"]) == labels
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    for rule in [*policy["ingress"], *policy["egress"]]:
        assert rule.get("from") or rule.get("to"), "a rule without a peer is for everyone"
        assert rule["ports"]
    networks = [
        (
            ip_network(peer["ipBlock"]["cidr"]),
            [ip_network(each) for each in peer["ipBlock"]["except"]],
        )
        for rule in policy["egress"]
        for peer in rule["to"]
        if "ipBlock" in peer
    ]
    for address in map(
        ip_address, ("169.254.169.254", "10.96.0.1", "192.168.1.1", "fd00:ec2::254")
    ):
        assert not any(
            address in network and not any(address in each for each in excepted)
            for network, excepted in networks
        )


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


def load_settings() -> Configuration:
    """The configuration in the ConfigMap."""
    (config_map,) = (
        document
        for document in documents(PROJECT / "deploy" / "kubernetes" / "sidecar.yaml")
        if document["kind"] == "ConfigMap"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_text(config_map["data"]["config.toml"])
        return load(str(path), {}).configuration


def test_the_configuration_in_the_config_map_is_accepted() -> None:
    configuration = load_settings()
    assert [sink.type for sink in configuration.sink] == ["s3"]
    assert float(configuration.daemon.drain_deadline) == DRAIN_DEADLINE_SECONDS


@pytest.mark.parametrize("place", ["systemd/tracesidecar.service", "docs/install.md"])
def test_who_removes_the_program_reads_how_to_empty_what_is_held(place: str) -> None:
    """A link keeps the space of a deleted file also when nobody is left who would remove it."""
    text = " ".join((PROJECT / place).read_text().replace("\n#", "\n").split())
    for word in ("held/", "hold_directory", "ship --once", "held.md", "hard links"):
        assert word in text
    steps = (PROJECT / "docs/held.md").read_text().partition("## Before tracesidecar is removed")[2]
    for command in (
        "systemctl stop tracesidecar",
        "tracesidecar ship --once",
        "`rm -r` of `held/`",
    ):
        assert command in steps
