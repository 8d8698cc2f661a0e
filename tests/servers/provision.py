"""Build the servers that the tests talk to, once, into the user's cache; `make servers` runs this.

A server that is there already costs nothing. Where Go is missing or too old, what will be skipped is said; under CI=true that is a failure.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

GO_AT_LEAST = (1, 25)


@dataclass(frozen=True)
class GoServer:
    """A server that `go install` builds; `built_as` is what Go calls the binary."""

    name: str
    module: str
    version: str
    built_as: str
    stands_for: str

    @property
    def binary(self) -> Path:
        """Where the binary lies once it is built."""
        return cache() / f"{self.name}-{self.version}" / self.name


GO_SERVERS = {
    server.name: server
    for server in (
        GoServer("toxiproxy", "github.com/Shopify/toxiproxy/v2/cmd/server", "v2.5.0", "server", "network faults"),
        GoServer("versitygw", "github.com/versity/versitygw/cmd/versitygw", "v1.8.0", "versitygw", "S3"),
    )
}


def cache() -> Path:
    """Name the folder that all built servers are under."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tracesidecar" / "servers"


def is_ci() -> bool:
    """Tell whether a missing server is a failure."""
    return os.environ.get("CI") == "true"


def find_go() -> str | None:
    """Find a Go that is new enough, on the path or where its installer puts it."""
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go"):
        if candidate and os.path.exists(candidate):
            said = subprocess.run([candidate, "version"], check=False, capture_output=True, text=True).stdout
            match = re.search(r"go([0-9]+)\.([0-9]+)", said)
            if match and (int(match[1]), int(match[2])) >= GO_AT_LEAST:
                return candidate
    return None


def build(go: str, server: GoServer) -> None:
    """Build one server; its binary appears whole or not at all."""
    server.binary.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=server.binary.parent) as folder:
        environment = {**os.environ, "CGO_ENABLED": "0", "GOBIN": folder}
        subprocess.run([go, "install", f"{server.module}@{server.version}"], check=True, env=environment)
        os.replace(Path(folder) / server.built_as, server.binary)


def main() -> int:
    """Build what is missing; return the exit code."""
    missing = [server for server in GO_SERVERS.values() if not server.binary.exists()]
    if not missing:
        return 0
    go = find_go()
    if go is None:
        wanted = ".".join(map(str, GO_AT_LEAST))
        for server in missing:
            print(f"servers: no Go >= {wanted} here, so the tests of {server.stands_for} with {server.name} are skipped", file=sys.stderr)
        return 1 if is_ci() else 0
    failed = 0
    for server in missing:
        print(f"servers: building {server.name} {server.version} (once; a few minutes on a small machine)", file=sys.stderr, flush=True)
        try:
            build(go, server)
        except (subprocess.CalledProcessError, OSError) as error:
            failed += 1
            print(f"servers: {server.name} could not be built ({error}); its tests are skipped", file=sys.stderr)
    return 1 if failed and is_ci() else 0


if __name__ == "__main__":
    sys.exit(main())
