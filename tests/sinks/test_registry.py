"""The sink types by name: each declares itself, alone, and takes no other type's options."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tracesidecar.sinks import SINK_PACKAGES, sink_type
from tracesidecar.sinks.directory import SINK_TYPE as DIRECTORY
from tracesidecar.sinks.stdout import Options as StdoutOptions


@pytest.mark.parametrize("name", sorted(SINK_PACKAGES))
def test_each_type_declares_itself_under_its_name(name: str) -> None:
    declared = sink_type(name)
    assert declared.name == name
    assert (declared.delivery_unit == "objects") is (declared.stored_objects is not None)
    assert (declared.lake_location is None) is (declared.stored_objects is None)


def test_the_options_of_another_type_are_rejected() -> None:
    with pytest.raises(TypeError, match="not the options of a sink of type directory"):
        DIRECTORY.narrow(StdoutOptions(name="screen", type="stdout"))


def test_one_type_loads_no_other() -> None:
    code = (
        "import sys\n"
        "from tracesidecar.sinks import SINK_PACKAGES, sink_type\n"
        "sink_type('stdout')\n"
        "print(sorted(name for name, package in SINK_PACKAGES.items() if package in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "['stdout']\n"
