"""How the SQL sink connects to PostgreSQL, in libpq's words."""

from __future__ import annotations

from tracesidecar.sinks.sql.options import Address, Options
from tracesidecar.sinks.transport import read_secret_file, require_one_line


def connection_string(options: Options, address: Address) -> str:
    """Return libpq's connection string, with the password.

    Blocks on the disk: a password file is read each time. Raise RetryLater when it cannot be read.
    """
    from psycopg.conninfo import make_conninfo

    found: dict[str, str | int] = {
        "dbname": address.path,
        "port": address.port,
        "application_name": "tracesidecar",
        "client_encoding": "UTF8",
        "connect_timeout": max(2, round(options.connect_timeout)),
        "tcp_user_timeout": round(options.timeout * 1000),
        "keepalives_idle": 30,
        **_tls(options, address),
    }
    given = {"user": address.user, "password": _password(options, address)}
    where = {"host": address.host, "hostaddr": ""}  # empty, PGHOST and PGHOSTADDR do not hold
    return make_conninfo(
        "", **{**where, **{key: value for key, value in given.items() if value}, **found}
    )


def _password(options: Options, address: Address) -> str:
    if options.password_file is None:
        password = options.password or address.password
        return require_one_line("password", str(password)) if password else ""
    return read_secret_file("password", options.password_file)


def _tls(options: Options, address: Address) -> dict[str, str]:
    """Return the parameters of TLS. libpq reads the files at each connect.

    `system` means the machine's own CA certificates (since libpq 16).
    """
    tls = options.tls
    if tls is None:
        if address.is_plain:
            return {"sslmode": "disable"}
        return (
            {"sslmode": "prefer"}
            if address.is_local
            else {"sslmode": "verify-full", "sslrootcert": "system"}
        )
    files = {"sslcert": tls.cert_file, "sslkey": tls.key_file or tls.cert_file}
    found = {key: path for key, path in files.items() if path}
    if not tls.verify:
        return {**found, "sslmode": "require"}
    if tls.server_hostname:
        found |= {"host": tls.server_hostname, "hostaddr": address.host}
    return {**found, "sslmode": "verify-full", "sslrootcert": tls.ca_file or "system"}
