"""What other programs rely on (make targets, metric names, a light start) is there, and the
documents name what exists.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import tracesidecar
from tracesidecar.metrics import Metrics

PROJECT = Path(__file__).resolve().parents[2]
METRICS = {
    "files": {"source", "state"},
    "read_bytes_total": {"source"},
    "lines_total": {"source"},
    "quarantined_lines_total": {"source", "reason"},
    "redactions_total": {"rule"},
    "delivered_lines_total": {"sink"},
    "delivered_bytes_total": {"sink"},
    "batches_total": {"sink", "outcome"},
    "send_seconds": {"sink"},
    "retries_total": {"sink", "reason"},
    "id_conflicts_total": {"sink"},
    "circuit_open": {"sink"},
    "lag_bytes": {"sink"},
    "lag_seconds": {"sink"},
    "held_bytes": set(),
    "at_risk_bytes": set(),
    "lost_bytes_total": {"reason"},
    "unknown_types_total": {"dialect", "type"},
    "memory_used_bytes": set(),
    "build_info": {"version"},
}
TARGETS = {
    *("run", "test", "test-all", "check", "bench", "figures", "servers", "clean"),
    *("lock", "wheel", "sbom"),
}
HEAVY = {
    "boto3",
    "botocore",
    "s3transfer",
    "rich",
    "aiohttp",
    "hyperscan",
    "re2",
    "watchdog",
    "zstandard",
}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (PROJECT / "Makefile").read_text(), re.MULTILINE))


def documents() -> str:
    return "\n".join(
        path.read_text() for path in [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")]
    )


def list_loaded(code: str, tmp_path: Path) -> set[str]:
    """The top-level packages that a fresh interpreter loads for `code`."""
    answer = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    return {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in answer.stderr.splitlines()
        if line.startswith("import time:")
    }


def test_the_makefile_has_the_promised_targets_and_every_one_that_a_document_names() -> None:
    named = set(
        re.findall(
            r"^\s*(?:\$ )?make ([a-z][a-z-]*)|`make ([a-z][a-z-]*)", documents(), re.MULTILINE
        )
    )
    assert TARGETS | {first or second for first, second in named} <= targets()


def test_ci_calls_exactly_make_test() -> None:
    commands = re.findall(
        r"^(?:exec )?make .*$", (PROJECT / ".ci" / "run").read_text(), re.MULTILINE
    )
    assert commands == ["exec make test"]


def test_the_changelog_has_this_version() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert {"Unreleased", tracesidecar.__version__} & set(headings)


def test_the_promised_metrics_exist_with_their_labels() -> None:
    collectors = vars(Metrics()).values()
    exposed = {
        f"{sample._name}_total" if sample._type == "counter" else sample._name: set(
            sample._labelnames
        )
        for sample in collectors
        if hasattr(sample, "_labelnames")
    }
    exposed["tracesidecar_build_info"] = {"version"}
    assert {
        f"tracesidecar_{name}": labels for name, labels in METRICS.items()
    }.items() <= exposed.items()


def test_every_metric_that_a_document_names_exists() -> None:
    exposition = Metrics().exposition().decode()
    known = set(re.findall(r"^# HELP (\w+)", exposition, re.MULTILINE))
    named = set(re.findall(r"\btracesidecar_[a-z_]+[a-z]\b", documents()))
    assert not {name for name in named if name not in known}


def test_the_command_line_loads_no_heavy_client(tmp_path: Path) -> None:
    assert not list_loaded("import tracesidecar.cli", tmp_path) & HEAVY


def test_a_daemon_with_only_a_directory_sink_loads_no_client_of_another(tmp_path: Path) -> None:
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "one.jsonl").write_bytes(b'{"n":1}\n')
    (tmp_path / "tracesidecar.toml").write_text(f"""\
state_directory = "{tmp_path}/state"
[daemon]
listen = ""
[[source]]
name = "agent"
include = ["{tmp_path}/traces/*.jsonl"]
[[sink]]
name = "lake"
type = "directory"
path = "{tmp_path}/lake"
""")
    code = (
        "import sys; sys.argv = ['tracesidecar', 'ship', '--once']\n"
        "from tracesidecar.cli import main\n"
        "assert main() in (0, None)"
    )
    assert not list_loaded(code, tmp_path) & {"boto3", "botocore", "s3transfer"}
    assert list((tmp_path / "lake").rglob("*.jsonl.gz"))
