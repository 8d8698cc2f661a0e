"""How an extra is installed: from where tracesidecar itself came from, never by its name.

The name on public package indexes is not ours: a command that gives pip nothing but the name could
install somebody else's program.
"""

from __future__ import annotations

import shlex
import sys
from urllib.parse import unquote, urlsplit

import msgspec

from tracesidecar import __version__


class _Directory(msgspec.Struct):
    editable: bool = False


class _Origin(msgspec.Struct):
    """`direct_url.json` of an installed package (PEP 610): pip writes it for a path or a URL."""

    url: str = ""
    dir_info: _Directory = msgspec.field(default_factory=_Directory)


def install_command(extra: str) -> str:
    """Return the command that adds an extra, such as `s3`, to this installation."""
    origin = _origin()
    address = urlsplit(origin.url)
    wheel = f"/path/to/tracesidecar-{__version__}-py3-none-any.whl"
    path = unquote(address.path) if address.scheme == "file" else wheel
    option = ["--editable"] if origin.dir_info.editable else []
    return shlex.join([sys.executable, "-m", "pip", "install", *option, f"{path}[{extra}]"])


def _origin() -> _Origin:
    from importlib import metadata  # a start that misses nothing does without it

    try:
        text = metadata.distribution("tracesidecar").read_text("direct_url.json")
        return msgspec.json.decode(text or "{}", type=_Origin)
    except (metadata.PackageNotFoundError, msgspec.DecodeError):
        return _Origin()
