"""What destinations share.

This is TLS, TCP connections, a thread for blocking clients, requests within limits, credentials,
the reading of HTTP responses, and syslog messages.

Two modules are not exported here, because they load aiohttp, which only HTTP sinks need:
`http_endpoint` (requests with our credentials) and `record_sink` (a sink that posts records).
"""

from tracesidecar.sinks.transport.environment_proxy import list_clear_proxies
from tracesidecar.sinks.transport.http_auth import Bearer, Header, Signature
from tracesidecar.sinks.transport.http_responses import (
    CREDENTIALS_REJECTED,
    NOT_JSON,
    HttpRequest,
    HttpResponse,
    parse_retry_after,
    raise_for_page,
    raise_for_status,
    unlike,
)
from tracesidecar.sinks.transport.request_splitter import (
    RecordRequest,
    RequestLimits,
    RequestSplitter,
    idempotency_key,
    identification,
    record_batches,
)
from tracesidecar.sinks.transport.secret_files import (
    read_secret_file,
    require_one_line,
    require_one_source,
)
from tracesidecar.sinks.transport.syslog_message import (
    DEFAULT_MESSAGE_LIMIT,
    SyslogFormatter,
    SyslogMessageOptions,
)
from tracesidecar.sinks.transport.tcp import (
    Connection,
    Dialer,
    make_closed_by_server_error,
    open_socket,
)
from tracesidecar.sinks.transport.thread import ClientThread
from tracesidecar.sinks.transport.tls import (
    TlsOptions,
    certificate_files,
    is_unverified,
    tls_advice,
    tls_failure,
    warn_if_unverified,
)

__all__ = [
    "CREDENTIALS_REJECTED",
    "DEFAULT_MESSAGE_LIMIT",
    "NOT_JSON",
    "Bearer",
    "ClientThread",
    "Connection",
    "Dialer",
    "Header",
    "HttpRequest",
    "HttpResponse",
    "RecordRequest",
    "RequestLimits",
    "RequestSplitter",
    "Signature",
    "SyslogFormatter",
    "SyslogMessageOptions",
    "TlsOptions",
    "certificate_files",
    "idempotency_key",
    "identification",
    "is_unverified",
    "list_clear_proxies",
    "make_closed_by_server_error",
    "open_socket",
    "parse_retry_after",
    "raise_for_page",
    "raise_for_status",
    "read_secret_file",
    "record_batches",
    "require_one_line",
    "require_one_source",
    "tls_advice",
    "tls_failure",
    "unlike",
    "warn_if_unverified",
]
