"""What a failed call of Azure Blob Storage means for the batch, and how a person can help."""

from __future__ import annotations

from tracesidecar.sinks.object_store.errors import ErrorRow, ErrorTable, StoreError

_RIGHTS = (
    "the credentials may not do this: give them the role Storage Blob Data Contributor, "
    "or a signature that may create (sp=c)"
)

ERRORS = ErrorTable.of(
    ErrorRow(
        "credentials",
        "the credentials are wrong or have expired: "
        "correct credentials_file, the key, the signature, or the identity of this machine",
        "AuthenticationFailed InvalidAuthenticationInfo NoAuthenticationInformation "
        "AuthorizationFailure AccountIsDisabled ClientAuthenticationError "
        "CredentialUnavailableError AzureSigningError UnusableCredentials",
    ),
    ErrorRow(
        "credentials",
        "without credentials azure-identity is needed; run: pip install azure-identity",
        "IdentityNotInstalled",
    ),
    ErrorRow(
        "throttled",
        "the store asks to slow down",
        "ServerBusy TooManyRequests IngressLimitExceeded OperationTimedOut",
    ),
    ErrorRow(
        "checksum", "the bytes were changed on the way", "Md5Mismatch InvalidMd5 Crc64Mismatch"
    ),
    ErrorRow(
        "conflict",
        "another client holds the container or the blob",
        "ContainerBeingDeleted LeaseIdMissing",
    ),
    ErrorRow(
        "timeout",
        "it did not answer in time; the same object is sent again under the same name",
        "ServiceResponseTimeoutError ServiceRequestTimeoutError",
    ),
    ErrorRow(
        "not_found",
        "there is no such container: create it, or correct container and account_url",
        "ContainerNotFound",
    ),
    ErrorRow("denied", _RIGHTS, "InsufficientAccountPermissions"),
    ErrorRow(
        "denied", "the container's immutability policy forbids it", "BlobImmutableDueToPolicy"
    ),
    ErrorRow(
        "unavailable",
        "the response was not Azure's: check account_url and proxies",
        "UnreadableAnswer",
    ),
    ErrorRow("tls", "check tls and the server's certificate", "SSLError"),
    rights=_RIGHTS,
    missing="check container and account_url",
)


def is_taken(error: StoreError) -> bool:
    """Return whether the name is taken.

    Credentials that may only create get a 403 for it (UnauthorizedBlobOverwrite).
    """
    return error.code in {"BlobAlreadyExists", "UnauthorizedBlobOverwrite"} or (
        error.status == 412 and error.code == "ConditionNotMet"
    )
