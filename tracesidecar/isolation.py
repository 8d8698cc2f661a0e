"""What the process takes over from the place and the shell that it was started in, and what not.

People run commands in the folder of an agent, often as root, and whoever may write there must not
choose what runs. So no module, program, library, cache or settings file is found by the current
directory. What has an absolute path is the word of whoever started the process, and holds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import NamedTuple

PRIVATE_UMASK = 0o077

_KEY_LOG = "SSLKEYLOGFILE"
"""Names a file to which OpenSSL's users write the keys of every connection."""

_SEARCH_PATHS = frozenset(
    {
        *("PATH", "LD_LIBRARY_PATH", "AWS_DATA_PATH", "KRB5_CONFIG", "SSL_CERT_DIR"),
        *("XDG_CONFIG_DIRS", "XDG_DATA_DIRS", "SASL_PATH", "SASL_CONF_PATH", "KRB5_KDC_PROFILE"),
        *("GCONV_PATH", "LOCPATH", "NLSPATH"),
    }
)
"""Lists of places, separated by colons. An empty entry means the current directory."""

_PLACES = frozenset(
    {
        *("HOME", "TMPDIR", "TEMP", "TMP", "BASH_ENV", "ENV", "HOSTALIASES", "NETRC"),
        *("SQLITE_TMPDIR", "TZDIR", "RESOLV_HOST_CONF", "CREDENTIALS_DIRECTORY"),
        *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"),
        "XDG_RUNTIME_DIR",
        *("OPENSSL_CONF", "OPENSSL_CONF_INCLUDE", "OPENSSL_ENGINES", "OPENSSL_MODULES"),
        *("RANDFILE", "CTLOG_FILE", "QLOGDIR"),
        *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "CURL_HOME", "AWS_CA_BUNDLE"),
        *("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        *("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_LOGIN_CACHE_DIRECTORY"),
        *("BOTO_CONFIG", "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG"),
        *("GOOGLE_API_CERTIFICATE_CONFIG", "AZURE_CONFIG_DIR", "AZURE_CLIENT_CERTIFICATE_PATH"),
        *("AZURE_FEDERATED_TOKEN_FILE", "PGPASSFILE", "PGSERVICEFILE", "PGSYSCONFDIR"),
        *("PGSSLCERT", "PGSSLKEY", "PGSSLROOTCERT", "PGSSLCRL", "PGSSLCRLDIR"),
        *("KRB5CCNAME", "KRB5_KTNAME", "KRB5_CLIENT_KTNAME", "KRB5_TRACE", "KRB5RCACHEDIR"),
        *("KRB5RCACHENAME", "GSS_MECH_CONFIG", "GSSPROXY_SOCKET"),
        *("LDAPCONF", "LDAPRC", "LDAPTLS_CACERT", "LDAPTLS_CACERTDIR", "LDAPTLS_CERT"),
        *("LDAPTLS_KEY", "LDAPTLS_CRLFILE", "LDAPTLS_RANDFILE"),
    }
)
"""Files and directories that the libraries of this process, or the process itself, read.

Of OpenSSL, libpq with Kerberos and LDAP, librdkafka with SASL, the clouds' packages, glibc, curl.
"""

_KINDS = ("FILE:", "DIR:", "WRFILE:", "SRVTAB:", "dfl:", "file2:")
"""What stands before a place of Kerberos (krb5, "Credential cache", "keytab", "replay cache")."""

_NO_PLACES = {"PGSSLROOTCERT": ("system",), "KRB5CCNAME": ("KEYRING:", "KCM:", "MEMORY:", "API:")}
"""Words, and the beginnings of values, that name something else than a place."""


class Caller(NamedTuple):
    """What this process was started with, for the programs and files that are its caller's.

    `ignored` are the names of the variables, or parts of variables, that do not hold here.
    """

    umask: int
    environment: Mapping[str, str]
    ignored: tuple[str, ...] = ()


@contextmanager
def isolation() -> Iterator[Caller]:
    """Find nothing by the current directory, and make files that only this user may use.

    It changes the process, so it belongs around everything else that `main` does. Afterwards all is
    as it was.
    """
    environment, search_path, cache = dict(os.environ), list(sys.path), sys.pycache_prefix
    kept = _without_current_directory(environment)
    umask = os.umask(PRIVATE_UMASK)
    try:
        _replace_environment(kept)
        sys.path[:] = _absolute_modules(search_path, environment.get("PYTHONPATH", ""))
        if cache is not None and not os.path.isabs(cache):
            sys.pycache_prefix = None
        yield Caller(umask, environment, _list_ignored(environment, kept))
    finally:
        os.umask(umask)
        _replace_environment(environment)
        sys.path[:], sys.pycache_prefix = search_path, cache


def python_command(module: str, packages: Sequence[ModuleType]) -> list[str]:
    """Return the command that runs the function `main` of a module in an isolated interpreter.

    Start it in "/" with an empty environment. It finds the `packages`, one of which has the module,
    where this process has found them: also in a place that `-I` leaves out (`pip install --user`).
    """
    places = {_place_of(package): None for package in packages}
    code = f"import sys; sys.path += sys.argv[1:]; from {module} import main; main()"
    return [sys.executable, "-I", "-c", code, *places]


def find_program(name: str, search_path: str) -> str | None:
    """Return the absolute path of a program: where PATH has it, in an absolute directory.

    A name with a slash is a path, and is looked for nowhere else. If only files are found that may
    not be run, it is the first of them. None if there is no file of that name.
    """
    if "/" in name:
        return os.path.abspath(name)
    places = (os.path.join(place, name) for place in _absolute_places(search_path))
    found = [place for place in places if os.path.isfile(place)]
    return next((place for place in found if os.access(place, os.X_OK)), next(iter(found), None))


def _place_of(package: ModuleType) -> str:
    """Return the directory in which this process has found a package."""
    file = package.__file__
    if file is None:
        raise RuntimeError(f"{package.__name__} has no file: is its __init__.py missing?")
    folder = os.path.dirname(os.path.abspath(file))
    return os.path.dirname(folder) if os.path.basename(file).startswith("__init__.") else folder


def _without_current_directory(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that hold: those without a relative place in them.

    A `~` is written out, because many a reader (OpenSSL, say) takes it for a name in the current
    directory.
    """
    home = environment.get("HOME", "")
    kept: dict[str, str] = {}
    for name, value in environment.items():
        if name == _KEY_LOG or name.startswith("PYTHON"):
            continue  # what Python's own variables do, they have done by now
        if name in _SEARCH_PATHS:
            places = _absolute_places(value, home)
            if places or not value:
                kept[name] = ":".join(places)
        elif name not in _PLACES or not value or value.startswith(_NO_PLACES.get(name, ())):
            kept[name] = value
        elif place := _find_place(value, "" if name == "HOME" else home):
            kept[name] = place
    return kept


def _absolute_places(value: str, home: str = "") -> list[str]:
    places = (_write_out(place, home) for place in value.split(":"))
    return [place for place in places if os.path.isabs(place)]


def _find_place(value: str, home: str) -> str | None:
    """Return a place as an absolute path, behind the word for its kind; None if it is relative."""
    kind = next((kind for kind in _KINDS if value.startswith(kind)), "")
    place = _write_out(value.removeprefix(kind), home)
    return kind + place if os.path.isabs(place) else None


def _write_out(place: str, home: str) -> str:
    """Return a place with the home directory instead of `~`, if there is an absolute one."""
    is_home = place == "~" or place.startswith("~/")
    return home + place[1:] if is_home and os.path.isabs(home) else place


def _absolute_modules(search_path: Sequence[str], python_path: str) -> list[str]:
    """Return where modules are searched for, without what is relative there.

    Python has made the entries of PYTHONPATH absolute by now.
    """
    relative = {os.path.abspath(place) for place in python_path.split(":") if python_path}
    relative -= set(_absolute_places(python_path))
    return [place for place in search_path if os.path.isabs(place) and place not in relative]


def _list_ignored(environment: Mapping[str, str], kept: Mapping[str, str]) -> tuple[str, ...]:
    """Return what somebody may miss.

    That is not PATH, which often has a relative entry in vain, nor what the loader has read by now.
    """
    names = {*_PLACES, *_SEARCH_PATHS, _KEY_LOG} - {"PATH", "LD_LIBRARY_PATH"}
    lost = {name for name in names if len(_entries(name, environment)) != len(_entries(name, kept))}
    python_path = environment.get("PYTHONPATH", "")
    if python_path and _absolute_places(python_path) != python_path.split(":"):
        lost.add("PYTHONPATH")
    return tuple(sorted(lost))


def _entries(name: str, environment: Mapping[str, str]) -> list[str]:
    """Return what a variable names: nothing if it is not set, else at least one entry."""
    if name not in environment:
        return []
    value = environment[name]
    return value.split(":") if name in _SEARCH_PATHS else [value]


def _replace_environment(wanted: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if name not in wanted]:
        del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
