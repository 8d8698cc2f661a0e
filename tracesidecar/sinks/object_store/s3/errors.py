"""What a failed S3 call means for the batch, and what a person can do about it."""

from __future__ import annotations

from tracesidecar.sinks.object_store.errors import ErrorTable, StoreFailure

_KEYS = "the credentials are wrong or have expired: mend credentials_file, access_key and secret_key, or the role that gives them"
_RIGHTS = "the credentials may not do this: allow what docs/sinks/s3.md lists, s3:PutObject below the prefix first"
_REGION = "the bucket is in another region: set region"
_BUSY = "it asks us to slow down"

_BY_CODE = {
    **dict.fromkeys(
        (
            "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch",
            "InvalidClientTokenId", "XAdminUserNotFound", "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError",
            "ProfileNotFound", "TokenRetrievalError", "UnauthorizedSSOTokenError", "SSOTokenLoadError", "MetadataRetrievalError",
        ),
        ("credentials", _KEYS),
    ),
    "RequestTimeTooSkewed": ("clock", "this machine's clock is off by more than the store allows: set the clock"),
    "NoSuchBucket": ("not_found", "there is no such bucket: create it, or mend bucket, region and endpoint_url"),
    "ConditionalRequestConflict": ("conflict", "another write of the same name is under way"),
    "OperationAborted": ("conflict", "another write of the same name is under way"),
    **dict.fromkeys(("SlowDown", "TooManyRequests", "RequestLimitExceeded", "Throttling", "ThrottlingException"), ("throttled", _BUSY)),
    **dict.fromkeys(("PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed"), ("region", _REGION)),
    **dict.fromkeys(
        ("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "IncompleteBody"),
        ("checksum", "the bytes were changed on the way"),
    ),
    "NoSuchUpload": ("conflict", "the store no longer knows the upload: it is begun anew"),
    **dict.fromkeys(("301", "307"), ("region", _REGION)),  # an answer without a body
    "InvalidRequest": ("status", "the bucket does not take what is asked of it: check object_lock, encryption and checksum"),
    "KMS.NotFoundException": ("denied", "there is no such key: mend kms_key_id"),
    "UnreadableAnswer": ("unavailable", "something that is not S3 answered: check endpoint_url and proxies"),
    "SSLError": ("tls", "check tls and the server's certificate"),
    "ProxyConnectionError": ("proxy", "check HTTPS_PROXY"),
    **dict.fromkeys(("ReadTimeoutError", "ConnectTimeoutError"), ("timeout", "it did not answer in time; the object keeps its name")),
}  # fmt: skip


MEANINGS = ErrorTable(_BY_CODE, rights=_RIGHTS, missing="check bucket, prefix and endpoint_url")


def is_taken(failure: StoreFailure) -> bool:
    """Tell whether the name is there already."""
    return failure.status == 412 or failure.code == "PreconditionFailed"


def is_condition_refused(failure: StoreFailure) -> bool:
    """Tell whether the store does not know conditional writes and says so."""
    return failure.status == 501 or failure.code == "NotImplemented"
