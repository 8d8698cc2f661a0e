"""The client's side of TLS: own CA, client certificate, and files that are read again when they
change.
"""

from __future__ import annotations

import os
import ssl

import msgspec

_ANOTHER_CA = "set tls.ca_file to the certificate of the CA that signed the server's"
_ANOTHER_NAME = "the server's certificate is for another name: mend the address"

_ADVICE = (
    ("issuer certificate", _ANOTHER_CA),
    ("self-signed", _ANOTHER_CA),
    ("mismatch", _ANOTHER_NAME),
    ("another host", _ANOTHER_NAME),
    ("has expired", "the server's certificate must be renewed, or this machine's clock is wrong"),
    ("wrong version number", "it does not speak TLS there: mend the address or the port"),
    ("alert", "the server refuses us: mend tls.cert_file and tls.key_file, or see its log"),
)
"""What a person can do, by a part of what OpenSSL says (X509_verify_cert_error_string,
SSL_alert_desc_string_long).
"""


class TlsOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`tls = { … }` of a sink.

    Files are PEM; `key_file` may be left out when `cert_file` holds both.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_hostname: str | None = None
    verify: bool = True

    def __post_init__(self) -> None:
        if self.key_file and not self.cert_file:
            raise ValueError("key_file is given without cert_file")


class ClientContext:
    """Makes the SSL context, again whenever one of its files has changed."""

    def __init__(self, options: TlsOptions) -> None:
        self._options = options
        self._seen: tuple[object, ...] = ()
        self._context: ssl.SSLContext | None = None

    def current(self) -> ssl.SSLContext:
        """Return the context for a new connection.

        Blocks on the disk; raises OSError (ssl.SSLError is one) when a file cannot be used.
        """
        seen = tuple(
            _identity(path)
            for path in (self._options.ca_file, self._options.cert_file, self._options.key_file)
        )
        if self._context is None or seen != self._seen:
            self._context, self._seen = _context(self._options), seen
        return self._context


def certificate_files(options: TlsOptions) -> str | tuple[str, str] | None:
    """Name the client's certificate as requests and botocore take it."""
    if options.cert_file and options.key_file:
        return options.cert_file, options.key_file
    return options.cert_file


def why_it_failed(error: BaseException | None) -> str | None:
    """Find what OpenSSL said among the causes of an error; None when TLS was not the trouble."""
    while error is not None:
        if message := getattr(error, "verify_message", None):
            return str(message)
        if isinstance(error, ssl.SSLError) and getattr(error, "reason", None):
            return str(error.reason).lower().replace("_", " ")
        if type(error).__name__ == "CertificateError":  # urllib3 compares the names itself
            return "the certificate is for another host"
        error = error.__cause__ or error.__context__
    return None


def what_to_mend(reason: str) -> str:
    """Advise on what `why_it_failed` has found."""
    return next(
        (advice for words, advice in _ADVICE if words in reason),
        "check tls and the server's certificate",
    )


def _context(options: TlsOptions) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.cert_file:
        context.load_cert_chain(options.cert_file, options.key_file)
    return context


def _identity(path: str | None) -> tuple[int, int, int, int] | None:
    if path is None:
        return None
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
