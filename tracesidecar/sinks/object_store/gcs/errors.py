"""What a failed call of Google Cloud Storage means for the batch, and how a person can help."""

from __future__ import annotations

from tracesidecar.sinks.object_store.errors import ErrorRow, ErrorTable

ERRORS = ErrorTable.of(
    ErrorRow(
        "credentials",
        "no token can be obtained: correct credentials_file, "
        "or the service account or workload identity of this machine",
        "UnusableCredentials DefaultCredentialsError RefreshError InvalidOperation authError",
    ),
    ErrorRow("network", "check the network and HTTPS_PROXY", "TransportError ProxyError"),
    ErrorRow("throttled", "the store asks to slow down", "rateLimitExceeded userRateLimitExceeded"),
    ErrorRow(
        "timeout",
        "it did not answer in time; the same object is sent again under the same name",
        "ReadTimeout ConnectTimeout",
    ),
    ErrorRow(
        "denied", "the project's billing account is closed", "accountDisabled billingDisabled"
    ),
    ErrorRow("denied", "the bucket's retention policy forbids it", "retentionPolicyNotMet"),
    ErrorRow("checksum", "the bytes were changed on the way", "checksum"),
    ErrorRow(
        "unavailable",
        "the response was not Cloud Storage's: check endpoint_url and proxies",
        "JSONDecodeError UnreadableAnswer",
    ),
    ErrorRow("tls", "check tls and the server's certificate", "SSLError"),
    rights="the credentials may not do this: "
    "give them the role roles/storage.objectCreator on the bucket",
    missing="there is no such bucket: create it, or correct bucket and endpoint_url",
)
