"""Write the bill of materials of a release (CycloneDX 1.6, JSON): `make sbom`.

It lists what `locks/run.txt` has: the program with all of its extras, on every platform. The same
commit makes the same bytes.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from release.lock import LOCKS, LockedPackage, read_lock
from tracesidecar import __version__

PROGRAM = canonicalize_name("tracesidecar")


def bill_of_materials(made: datetime) -> str:
    """Return the document. `made` is its time stamp."""
    packages = read_lock("run")
    required = _closure(_without_extras(), packages)
    components = {package.name: _component(package, required) for package in packages}
    # `generic`: the name on package indexes is not ours
    program = Component(
        name=PROGRAM,
        version=__version__,
        type=ComponentType.APPLICATION,
        bom_ref=f"{PROGRAM}@{__version__}",
        purl=PackageURL("generic", name=PROGRAM, version=__version__),
        licenses=[DisjunctiveLicense(id="Apache-2.0")],
    )
    contents = sha256((LOCKS / "run.txt").read_bytes() + __version__.encode()).hexdigest()
    bom = Bom(serial_number=uuid5(NAMESPACE_OID, contents), components=components.values())
    bom.metadata.component = program
    bom.metadata.timestamp = made
    for needing, component in [(PROGRAM, program), *components.items()]:
        bom.register_dependency(
            component, [components[p.name] for p in packages if needing in p.needed_by]
        )
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _component(package: LockedPackage, required: set[NormalizedName]) -> Component:
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{package.name}@{package.version}",
        purl=PackageURL("pypi", name=package.name, version=package.version),
        scope=ComponentScope.REQUIRED if package.name in required else ComponentScope.OPTIONAL,
        # One for each file of the version: which one is installed depends on the platform.
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in package.sha256],
        properties=[Property(name="tracesidecar:marker", value=package.marker)]
        if package.marker
        else (),
    )


def _without_extras() -> set[NormalizedName]:
    """Return what every installation has, because `[project] dependencies` names it."""
    project = tomllib.loads((LOCKS.parent / "pyproject.toml").read_text("utf-8"))["project"]
    return {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}


def _closure(names: set[NormalizedName], packages: Iterable[LockedPackage]) -> set[NormalizedName]:
    more = {package.name for package in packages if package.needed_by & names} - names
    return _closure(names | more, packages) if more else names


def main() -> None:
    """Write it to the file that is named. SOURCE_DATE_EPOCH is its time."""
    made = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    Path(sys.argv[1]).write_text(bill_of_materials(made), encoding="utf-8")


if __name__ == "__main__":
    main()
