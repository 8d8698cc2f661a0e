"""What a failed call of Google Cloud Storage means for the batch, and what a person can do about
it.
"""

from __future__ import annotations

from tracesidecar.sinks.object_store.errors import ErrorTable

_RIGHTS = (
    "the credentials may not do this: give them the role roles/storage.objectCreator on the bucket"
)
_CREDENTIALS = "no token is to be had: mend credentials_file, or the service account or workload identity that this machine has"

MEANINGS = ErrorTable(
    {
        **dict.fromkeys(
            (
                "UnusableCredentials",
                "DefaultCredentialsError",
                "RefreshError",
                "InvalidOperation",
                "authError",
            ),
            ("credentials", _CREDENTIALS),
        ),
        **dict.fromkeys(
            ("TransportError", "ProxyError"), ("network", "check the network and HTTPS_PROXY")
        ),
        **dict.fromkeys(
            ("rateLimitExceeded", "userRateLimitExceeded"), ("throttled", "it asks us to slow down")
        ),
        **dict.fromkeys(
            ("ReadTimeout", "ConnectTimeout"),
            ("timeout", "it did not answer in time; the object keeps its name"),
        ),
        **dict.fromkeys(
            ("accountDisabled", "billingDisabled"),
            ("denied", "the project's billing account is closed"),
        ),
        "checksum": ("checksum", "the bytes were changed on the way"),
        "retentionPolicyNotMet": ("denied", "the bucket's retention policy forbids it"),
        "JSONDecodeError": (
            "unavailable",
            "something that is not Cloud Storage answered: check endpoint_url and proxies",
        ),
        "SSLError": ("tls", "check tls and the server's certificate"),
    },
    rights=_RIGHTS,
    missing="there is no such bucket: create it, or mend bucket and endpoint_url",
)
