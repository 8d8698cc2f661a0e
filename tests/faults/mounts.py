"""Real mounts for a test: made, taken away and put back; none outlives the test."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.provision import is_ci


class Mounts:
    """What a test has mounted, undone at its end."""

    def __init__(self) -> None:
        self._points: list[Path] = []

    def bind(self, source: Path, point: Path) -> None:
        """Show a folder at another path."""
        self._mount("--bind", str(source), point)

    def tmpfs(self, point: Path) -> None:
        """Mount an empty file system, on a device of its own."""
        self._mount("-t", "tmpfs", "tmpfs", point)

    def image(self, image: Path, point: Path) -> None:
        """Mount the file system in an image, on whichever loop device is free."""
        self._mount("-o", "loop", str(image), point)

    def dead(self, point: Path) -> None:
        """Mount a file system whose server has ended: every call fails, as ESTALE over NFS does."""
        server = os.open("/dev/fuse", os.O_RDWR)
        try:
            options = f"fd={server},rootmode=40000,user_id=0,group_id=0"
            self._mount("-i", "-t", "fuse", "-o", options, "dead", point, keep=(server,))
        finally:
            os.close(server)

    def remove(self, point: Path) -> None:
        """Unmount, not lazily: it fails while a process has a file of it open."""
        subprocess.run(["umount", point], check=True, capture_output=True, timeout=60)
        self._points.remove(point)

    def detach(self, point: Path) -> None:
        """Unmount lazily: what is open there stays open."""
        subprocess.run(["umount", "-l", point], check=True, capture_output=True, timeout=60)
        self._points.remove(point)

    def close(self) -> None:
        """Unmount what is left, the newest first."""
        for point in reversed(self._points):
            subprocess.run(["umount", "-l", point], check=False, capture_output=True, timeout=60)

    def _mount(self, *words: str | Path, keep: tuple[int, ...] = ()) -> None:
        point = Path(words[-1])
        point.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["mount", *words], check=True, capture_output=True, timeout=60, pass_fds=keep
        )
        self._points.append(point)


def make_image(path: Path) -> Path:
    """Make an image with an empty ext4 in it."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not there")
    with path.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", path], check=True, timeout=60)
    return path


@contextmanager
def real_mounts(folder: Path) -> Iterator[Mounts]:
    """Yield mounts, or skip where this process may make none."""
    mounts = Mounts()
    probe = folder / "probe"
    try:
        if os.geteuid() != 0:
            pytest.skip("mounting needs root")
        try:
            mounts.tmpfs(probe)
            mounts.remove(probe)
        except subprocess.CalledProcessError as error:
            reason = f"this machine lets root mount nothing: {error.stderr.decode().strip()}"
            if is_ci() and Path("/dev/loop-control").exists():
                pytest.fail(reason)
            pytest.skip(reason)
        yield mounts
    finally:
        mounts.close()
