"""What a failed S3 call means for the batch, and what a person can do about it."""

from __future__ import annotations

from tracesidecar.errors import RetryLater
from tracesidecar.sinks.s3_bucket import S3Failure

_KEYS = "the credentials are wrong or have expired: mend credentials_file, access_key and secret_key, or the role that gives them"
_RIGHTS = "the credentials may not do this: allow s3:PutObject and s3:AbortMultipartUpload below the prefix"
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
    "UnreadableAnswer": ("unavailable", "something that is not S3 answered: check endpoint_url and proxies"),
    "SSLError": ("tls", "check tls and the server's certificate"),
    "ProxyConnectionError": ("proxy", "check HTTPS_PROXY"),
    **dict.fromkeys(("ReadTimeoutError", "ConnectTimeoutError"), ("timeout", "it did not answer in time; the object keeps its name")),
}  # fmt: skip


def later(failure: S3Failure, where: str) -> RetryLater:
    """Say in a sentence what came back from where and what to do."""
    reason, advice = _BY_CODE.get(failure.code) or _by_status(failure.status)
    answered = f"answered {failure.status} {failure.code}" if failure.status else f"could not be reached ({failure.code})"
    said = f", {failure.tls_reason}" if failure.tls_reason else ""
    return RetryLater(reason, f"{where} {answered}{said}: {advice}", after_seconds=failure.after_seconds)


def is_taken(failure: S3Failure) -> bool:
    """Tell whether the name is there already."""
    return failure.status == 412 or failure.code == "PreconditionFailed"


def is_condition_refused(failure: S3Failure) -> bool:
    """Tell whether the store does not know conditional writes and says so."""
    return failure.status == 501 or failure.code == "NotImplemented"


def is_forbidden(failure: S3Failure) -> bool:
    """Tell whether the credentials, or what they may do, were refused."""
    return failure.status in {401, 403} or _BY_CODE.get(failure.code, ("", ""))[0] == "credentials"


def _by_status(status: int) -> tuple[str, str]:
    if status in {401, 403}:
        return "denied", _RIGHTS
    if status == 429:
        return "throttled", _BUSY
    if status == 404:
        return "not_found", "check bucket, prefix and endpoint_url"
    if 300 <= status < 400:
        return "region", _REGION
    if status >= 500:
        return "unavailable", "the store is in trouble itself"
    if status == 0:
        return "network", "check endpoint_url, the network and the proxies"
    return "status", "this is neither a yes nor a no that we know: check the store's log"
