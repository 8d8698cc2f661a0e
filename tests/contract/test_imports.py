"""What cannot be imported beside other threads is imported before any begins."""

from __future__ import annotations

import subprocess
import sys

import pytest

MAKE = """
import sys
from tracesidecar.sinks.object_store import {store}
{store}.build({store}.Options(name="s", type="{store}", {options}))
print("requests" in sys.modules)
"""


@pytest.mark.parametrize(
    ("store", "options"),
    [
        ("gcs", 'bucket="traces"'),
        ("azure", 'container="traces", account_url="https://me.blob.example"'),
    ],
)
def test_requests_is_imported_when_a_sink_is_made(store: str, options: str) -> None:
    """Seen: a KeyError in its import, beside that of another client; no answer was right then."""
    code = MAKE.format(store=store, options=options)
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (made.stdout, made.stderr) == ("True\n", "")
