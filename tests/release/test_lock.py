"""The locks have exact versions, digests, no host, and nothing with a known vulnerability; `make`
installs what is in them, and nothing else, for the tests.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release.lock import LOCKS, LockedPackage, read_lock
from tests.servers.provision import is_ci

PROJECT = Path(__file__).resolve().parents[2]
SETTINGS = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
NAMES = sorted(path.stem for path in LOCKS.glob("*.txt"))
LINE = re.compile(
    r"(?:[\w.-]+==[\w.+!]+(?: ; [^\\@]+)? \\|    --hash=sha256:[0-9a-f]{64}(?: \\)?|    #.*)"
)
VULNERABLE = {
    "aiohttp": "3.14.3",  # PYSEC-2026-4369
    "azure-core": "1.37.0",  # CVE-2026-21226
    "azure-identity": "1.16.0",  # CVE-2024-35255
    "cryptography": "48.0.0",  # GHSA-537c-gmf6-5ccf
    "duckdb": "1.4.1",  # CVE-2025-64429
    "idna": "3.14",  # CVE-2026-45409
    "protobuf": "6.33.4",  # CVE-2026-0994
    "pyarrow": "23.0.0",  # CVE-2026-25087
    "orjson": "3.11.5",  # CVE-2025-67221
    "pyasn1": "0.6.3",  # CVE-2026-30922, CVE-2026-59886
    "pytest": "9.0.2",  # CVE-2025-71176
    "pyjwt": "2.14.0",  # CVE-2026-102275
    "pyrage": "1.2.2",  # CVE-2024-56327
    "requests": "2.32.5",  # CVE-2026-25645
    "setuptools": "78.1.0",  # CVE-2025-47273
    "urllib3": "2.7.0",  # CVE-2026-97687, CVE-2026-97689
}
"""The last version with a published vulnerability, of what reads what others sent."""


def requirements() -> Iterator[Requirement]:
    """Everything that pyproject.toml asks for."""
    project, groups = SETTINGS["project"], SETTINGS["dependency-groups"]
    texts = [*project["dependencies"], *SETTINGS["build-system"]["requires"]]
    for listed in [*project["optional-dependencies"].values(), *groups.values()]:
        texts += [text for text in listed if isinstance(text, str)]
    for requirement in map(Requirement, texts):
        if requirement.name != "tracesidecar":
            yield requirement


def by_name(lock: str) -> dict[str, list[LockedPackage]]:
    found: dict[str, list[LockedPackage]] = {}
    for package in read_lock(lock):
        found.setdefault(package.name, []).append(package)
    return found


def test_there_is_a_lock_for_the_tests_the_image_the_wheel_and_the_long_tests() -> None:
    assert NAMES == ["build", "run", "test", "test-long"]


@pytest.mark.parametrize("name", NAMES)
def test_every_package_has_one_version_and_digests_and_no_line_says_from_where(name: str) -> None:
    """A mirror serves the same bytes; an option in the file would send everyone to one host."""
    lines = (LOCKS / f"{name}.txt").read_text("ascii").splitlines()
    assert [line for line in lines if not LINE.fullmatch(line) or "://" in line] == []
    assert [package.name for package in read_lock(name) if not package.sha256] == []


def test_everything_that_the_project_asks_for_is_locked_in_a_version_that_it_allows() -> None:
    locked = by_name("test") | {
        name: found for name, found in by_name("test-long").items() if name not in by_name("test")
    }
    for requirement in requirements():
        found = locked[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(package.version) for package in found), (
            f"{requirement}: run `make lock`"
        )


def test_nothing_is_locked_that_the_project_no_longer_asks_for() -> None:
    asked = {canonicalize_name(requirement.name) for requirement in requirements()}
    locked = {
        package.name
        for name in NAMES
        for package in read_lock(name)
        if "tracesidecar" in package.needed_by
    }
    assert locked == asked, "run `make lock`"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "test"])
def test_all_locks_have_the_versions_that_are_tested(name: str) -> None:
    tested = by_name("test")
    for package in read_lock(name):
        versions = {other.version for other in tested.get(package.name, [package])}
        assert package.version in versions, f"{package.name}: run `make lock`"


@pytest.mark.parametrize("name", VULNERABLE)
def test_no_version_with_a_known_vulnerability_can_be_installed(name: str) -> None:
    bounds = [r for r in requirements() if canonicalize_name(r.name) == name]
    assert bounds
    assert [bound for bound in bounds if bound.specifier.contains(VULNERABLE[name])] == []
    assert VULNERABLE[name] not in {package.version for package in by_name("test")[name]}


def test_make_installs_for_the_tests_what_is_locked_and_nothing_else() -> None:
    """`make` itself says what it would run, for a checkout in which nothing is installed."""
    command = ["make", "--dry-run", "--always-make", "test-all", "wheel"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert answer.returncode == 0, answer.stderr
    installs = [line for line in answer.stdout.splitlines() if "pip install" in line]
    ours = [line for line in installs if line.endswith("--editable .")]
    assert len(installs) == 4
    assert all("--no-deps --no-build-isolation" in line for line in ours)
    assert len(ours) == 1
    for line in set(installs) - set(ours):
        assert re.search(r"--require-hashes --only-binary :all: .*-r locks/[\w-]+\.txt$", line)


def test_what_is_installed_in_ci_is_what_is_locked() -> None:
    if not is_ci():
        pytest.skip("at a desk, any version that pyproject.toml allows may be installed")
    applies = [p for p in read_lock("test") if not p.marker or Marker(p.marker).evaluate()]
    installed = {package.name: metadata.version(package.name) for package in applies}
    assert installed == {package.name: package.version for package in applies}
