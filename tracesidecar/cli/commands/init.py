"""`init`: write a commented configuration for the agents found on this machine."""

from __future__ import annotations

import argparse
import errno
import json
import os
import stat
from contextlib import suppress

from tracesidecar.cli.output import complain, print_line
from tracesidecar.cli.unfollowed import print_left_out
from tracesidecar.config import default_lake, default_state_directory, find_agents, inspect
from tracesidecar.exit_codes import ExitCode
from tracesidecar.sanitize import printable
from tracesidecar.tail import escape_glob

_HEAD = """\
# The configuration of tracesidecar, written by "tracesidecar init" for this machine.
# All options are in config.example.toml. "tracesidecar check-config" reports every mistake.

state_directory = {state}

[daemon]
listen = "127.0.0.1:9464"        # /metrics /livez /readyz /status; "" switches it off
"""
_SOURCE = """
[[source]]
name    = {name}
include = {include}
{more}repair  = true             # fix NaN and lone surrogates, save records beside torn ones
"""
_TAIL = """
[redaction]
pii = false                      # true also redacts personal data; secrets are always redacted

# The destination: a folder. Nothing leaves this machine unless you add another sink.
[[sink]]
name  = "lake"
type  = "directory"
path  = {lake}
format = "event"           # the same columns for every agent; "raw" keeps the lines
batch = {{ age = "60s", idle = "10s" }}

# [[sink]]
# name   = "archive"
# type   = "s3"                  # needs the extra s3: docs/install.md
# bucket = "my-traces"

# [[sink]]
# name = "collector"
# type = "http"
# url  = "https://collector.example.com/traces"
# auth = {{ type = "bearer", token = "${{env:COLLECTOR_TOKEN}}" }}

# [[sink]]
# name = "siem"
# type = "syslog"
# host = "siem.example.com"
# format  = "cef"
# content = "actions"            # what ran, without what was said; "metadata": no commands, either
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--force`; `--config` names the file to write."""
    parser.add_argument("--force", action="store_true", help="overwrite the file if it exists")


def execute(arguments: argparse.Namespace) -> int:
    """Write the file, and print what was found and what to do next."""
    path = arguments.config or "tracesidecar.toml"
    folder = os.getcwd()
    text = configuration_text(folder)
    os.umask(arguments.caller.umask)  # the service may be another user, who must read the file
    try:
        mode = "w" if arguments.force else "x"
        with open(path, mode, encoding="utf-8", opener=_open_own) as file:
            file.write(text)
    except FileExistsError:
        complain(f"tracesidecar init: {printable(path)} exists already; --force overwrites it")
        return ExitCode.USAGE
    except OSError as error:
        complain(f"tracesidecar init: {printable(path)} cannot be written: {error.strerror}")
        return ExitCode.CONFIGURATION
    agents = ", ".join(find_agents(os.environ, folder)) or "no known agent"
    print_line(f"wrote {printable(path)}; found {agents}")
    if (written := inspect(path, os.environ).configuration) is not None:
        print_left_out(written)
    print_line(
        f"next: tracesidecar check-config --config {printable(path)}, "
        f"then tracesidecar run --config {printable(path)}"
    )
    return ExitCode.DONE


def _open_own(path: str, flags: int) -> int:
    """Open a regular file of root or of this user, and through their links only.

    In the folder of an agent, a link of that name may lead to any file of ours, a FIFO is waited
    for, and a file of the agent's would be our configuration.
    """
    own = {0, os.geteuid()}
    with suppress(FileNotFoundError):
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode) and not flags & os.O_EXCL:
            if status.st_uid not in own:
                raise PermissionError(
                    errno.EPERM, f"it is a symbolic link of user {status.st_uid}: remove it", path
                )
            path = os.path.realpath(path)
            status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) and not flags & os.O_EXCL:
            raise OSError(errno.EINVAL, "it is not a regular file: remove it", path)
    # without O_NONBLOCK, a FIFO would be waited for; a file is emptied once it is known
    truncates = flags & os.O_TRUNC
    descriptor = os.open(path, (flags & ~os.O_TRUNC) | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file: remove it", path)
        if status.st_uid not in own:
            raise PermissionError(
                errno.EPERM, f"it belongs to user {status.st_uid}: remove it", path
            )
        if truncates:
            os.ftruncate(descriptor, 0)
        os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def configuration_text(folder: str) -> str:
    """Return the configuration for this user and working directory, as TOML with comments."""
    blocks = [_HEAD.format(state=_quote(default_state_directory(os.environ)))]
    for name, agent in find_agents(os.environ, folder).items():
        more = f"exclude = {_list(agent.exclude)}\n" if agent.exclude else ""
        more += "documents = true\n" if agent.documents else ""
        blocks.append(_SOURCE.format(name=_quote(name), include=_list(agent.include), more=more))
    blocks.append(
        _SOURCE.format(
            name='"traces"',
            include=_list((os.path.join(escape_glob(folder), "traces/**/*.jsonl"),)),
            more="",
        )
    )
    blocks.append(_TAIL.format(lake=_quote(default_lake(os.environ))))
    return "".join(blocks)


def _list(texts: tuple[str, ...]) -> str:
    quoted = [_quote(text) for text in texts]
    return (
        f"[{quoted[0]}]"
        if len(quoted) == 1
        else "[\n" + "".join(f"  {text},\n" for text in quoted) + "]"
    )


def _quote(text: str) -> str:
    """Return a TOML basic string: the escapes of JSON, and one for DEL, which JSON allows."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F").replace("${", "$${")
