"""Where programs take a secret in a list of arguments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_MYSQL = ("mysql", "mysqldump", "mysqladmin", "mysqlimport", "mariadb", "mariadb-dump")
_NEXT: dict[str, frozenset[str]] = {
    "sshpass": frozenset({"-p"}),
    "docker": frozenset({"-p"}),
    "podman": frozenset({"-p"}),
    "helm": frozenset({"--password"}),
    "redis-cli": frozenset({"-a"}),
    "openssl": frozenset({"-k", "-K", "-pass", "-passin", "-passout"}),
    "ldapsearch": frozenset({"-w"}),
    "mongo": frozenset({"-p"}),
    "mongosh": frozenset({"-p"}),
    "mongodump": frozenset({"-p"}),
    "sqlcmd": frozenset({"-P"}),
    "az": frozenset({"-p"}),
    "zip": frozenset({"-P"}),
    "unzip": frozenset({"-P"}),
    "curl": frozenset({"-u", "--user"}),
    "http": frozenset({"-a", "--auth"}),
    "wget": frozenset({"-u", "--user"}),
}
"""Program → the flags whose next argument is a secret."""
_NEEDS_WORD = {"docker": "login", "podman": "login", "az": "login"}
"""The program that takes a secret only with this word among its arguments."""
SECRET_FLAGS = frozenset({"-u", "--user"})
CLIENTS = frozenset((*_NEXT, *_MYSQL, "htpasswd"))
"""Programs that may be given a secret as an argument."""
LOGIN_LISTS = frozenset({"auth", "basic_auth", "basicAuth", "http_auth", "httpAuth"})
"""Keys of a list of a user and a password."""
_HTPASSWD_ARGUMENTS = 3


def find_secrets(arguments: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield which arguments of a program are secrets, and how many characters stand before each.

    A flag for which any program takes a secret (`--token`) is not among them.
    """
    program = arguments[0].rsplit("/", 1)[-1]
    needed = _NEEDS_WORD.get(program)
    if needed is not None and needed not in arguments:
        return
    if program in _MYSQL:
        yield from ((i, 2) for i, each in enumerate(arguments) if each[:2] == "-p" and each[2:])
    elif program == "htpasswd" and any(_is_batch(each) for each in arguments):
        words = [i for i, each in enumerate(arguments) if each[:1] != "-"]
        if len(words) >= _HTPASSWD_ARGUMENTS:
            yield words[-1], 0
    for i, each in enumerate(arguments[:-1]):
        if each in _NEXT.get(program, ()):
            yield i + 1, 0


def _is_batch(argument: str) -> bool:
    return argument[:1] == "-" and argument[:2] != "--" and "b" in argument
