"""The client's side of TLS: options, a context that follows its files, and advice on failures."""

from __future__ import annotations

import asyncio
import os
import ssl

import msgspec
import structlog

from tracesidecar.errors import RetryLater

log = structlog.get_logger(__name__)

_OTHER_CA = "set tls.ca_file to the certificate of the CA that signed the server's certificate"
_OTHER_NAME = "the server's certificate is for another host name; correct the address"

_ADVICE = (
    ("issuer certificate", _OTHER_CA),
    ("self-signed", _OTHER_CA),
    ("mismatch", _OTHER_NAME),
    ("another host", _OTHER_NAME),
    ("has expired", "renew the server's certificate, or correct this machine's clock"),
    ("wrong version number", "that port does not speak TLS; correct the address or the port"),
    (
        "alert",
        "the server rejected the handshake; check tls.cert_file and tls.key_file, and its log",
    ),
)
"""What to do, by a part of OpenSSL's message.

The messages are those of X509_verify_cert_error_string and SSL_alert_desc_string_long.
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


def is_unverified(options: TlsOptions | None) -> bool:
    """Return whether there is TLS with a server whose certificate is not verified."""
    return options is not None and not options.verify


class ClientContext:
    """The SSL context of a client, rebuilt when one of its files changes.

    Short-lived certificates (cert-manager, step-ca, Vault) are replaced on disk without a restart;
    the next connection uses the new one.
    """

    def __init__(self, options: TlsOptions) -> None:
        self._options = options
        self._identities: tuple[object, ...] = ()
        self._context: ssl.SSLContext | None = None

    async def load(self) -> ssl.SSLContext:
        """Return the context for a new connection; raise RetryLater if a file cannot be used."""
        try:
            return await asyncio.to_thread(self._load)
        except OSError as error:  # ssl.SSLError is one: the file is there, but holds no PEM
            file = f" {error.filename}" if error.filename else ""
            raise RetryLater(
                "tls",
                f"a TLS file{file} cannot be used: {error.strerror}; "
                "check ca_file, cert_file and key_file of tls",
            ) from error

    def _load(self) -> ssl.SSLContext:
        options = self._options
        files = (options.ca_file, options.cert_file, options.key_file)
        identities = tuple(_identity(path) for path in files)
        if self._context is None or identities != self._identities:
            self._context, self._identities = _build_context(options), identities
        return self._context


def warn_if_unverified(options: TlsOptions | None, where: str) -> None:
    """Log a warning if the server's certificate is not verified."""
    if is_unverified(options):
        log.warning(
            "sink.tls_unverified",
            destination=where,
            meaning="anyone on the network path can read and answer; set tls.verify = true",
        )


def certificate_files(options: TlsOptions) -> str | tuple[str, str] | None:
    """Return the client's certificate in the form that requests and botocore expect."""
    if options.cert_file and options.key_file:
        return options.cert_file, options.key_file
    return options.cert_file


def tls_failure(error: BaseException | None) -> str | None:
    """Return OpenSSL's message from an error or its causes; None if TLS was not the problem."""
    while error is not None:
        if message := getattr(error, "verify_message", None):
            return str(message)
        if isinstance(error, ssl.SSLError) and getattr(error, "reason", None):
            return str(error.reason).lower().replace("_", " ")
        # urllib3 compares the host names itself, and raises its own CertificateError
        if type(error).__name__ == "CertificateError":
            return "the certificate is for another host"
        error = error.__cause__ or error.__context__
    return None


def tls_advice(failure: str) -> str:
    """Return what to do about a message of `tls_failure`."""
    return next(
        (advice for words, advice in _ADVICE if words in failure),
        "check tls and the server's certificate",
    )


def _build_context(options: TlsOptions) -> ssl.SSLContext:
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
