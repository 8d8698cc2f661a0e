"""Read a lock: the exact packages and their digests, as `make lock` writes them to `locks/`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

LOCKS = Path(__file__).resolve().parents[1] / "locks"


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """One package of a lock.

    `sha256` has a digest for each file of that version, in hex. `needed_by` names the packages that
    asked for it; a package that pyproject.toml names is needed by `tracesidecar`.
    """

    name: NormalizedName
    version: str
    marker: str
    sha256: tuple[str, ...]
    needed_by: frozenset[NormalizedName]


def read_lock(name: str) -> list[LockedPackage]:
    """Return the packages of `locks/<name>.txt`."""
    text = (LOCKS / f"{name}.txt").read_text("ascii")
    return [_package(block) for block in re.split(r"(?m)^(?=[\w.-]+==)", text) if block.strip()]


def _package(block: str) -> LockedPackage:
    head, _, origin = block.partition("# via")
    requirement = Requirement(head.partition("\\")[0])
    needed_by = re.findall(r"(?m)^[ #]*([\w.-]+)(?: \(pyproject\.toml.*\))?$", origin)
    return LockedPackage(
        name=canonicalize_name(requirement.name),
        version=str(requirement.specifier).removeprefix("=="),
        marker=str(requirement.marker or ""),
        sha256=tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", head)),
        needed_by=frozenset(map(canonicalize_name, needed_by)),
    )
