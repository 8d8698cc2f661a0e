"""What a failed call of Azure Blob Storage means for the batch, and what a person can do about it."""

from __future__ import annotations

from tracesidecar.sinks.object_store.errors import ErrorTable, StoreFailure

_CREDENTIALS = "the credentials are wrong or have expired: mend credentials_file, the key, the signature, or the identity of this machine"
_RIGHTS = "the credentials may not do this: give them the role Storage Blob Data Contributor, or a signature that may create (sp=c)"
_BUSY = "it asks us to slow down"

MEANINGS = ErrorTable(
    {
        **dict.fromkeys(
            (
                "AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation", "AuthorizationFailure", "AccountIsDisabled",
                "ClientAuthenticationError", "CredentialUnavailableError", "AzureSigningError", "UnusableCredentials",
            ),
            ("credentials", _CREDENTIALS),
        ),
        **dict.fromkeys(("ServerBusy", "TooManyRequests", "IngressLimitExceeded", "OperationTimedOut"), ("throttled", _BUSY)),
        **dict.fromkeys(("Md5Mismatch", "InvalidMd5", "Crc64Mismatch"), ("checksum", "the bytes were changed on the way")),
        **dict.fromkeys(("ContainerBeingDeleted", "LeaseIdMissing"), ("conflict", "somebody else holds the container or the blob")),
        **dict.fromkeys(("ServiceResponseTimeoutError", "ServiceRequestTimeoutError"), ("timeout", "it did not answer in time; the object keeps its name")),
        "IdentityNotInstalled": ("credentials", 'without credentials azure-identity is needed; run: pip install "tracesidecar[azure]"'),
        "ContainerNotFound": ("not_found", "there is no such container: create it, or mend container and account_url"),
        "InsufficientAccountPermissions": ("denied", _RIGHTS),
        "BlobImmutableDueToPolicy": ("denied", "the container's immutability policy forbids it"),
        "SSLError": ("tls", "check tls and the server's certificate"),
    },
    rights=_RIGHTS,
    missing="check container and account_url",
)  # fmt: skip


def is_taken(failure: StoreFailure) -> bool:
    """Tell whether the name is there already; who may only create hears of it by a 403."""
    return failure.code in {"BlobAlreadyExists", "UnauthorizedBlobOverwrite"} or (
        failure.status == 412 and failure.code == "ConditionNotMet"
    )
