"""What a failed S3 call means for the batch, and what a person can do about it."""

from __future__ import annotations

from tracesidecar.sinks.object_store.errors import ErrorRow, ErrorTable, StoreError

ERRORS = ErrorTable.of(
    ErrorRow(
        "credentials",
        "the credentials are wrong or have expired: "
        "correct credentials_file, access_key and secret_key, or the role that supplies them",
        "ExpiredToken ExpiredTokenException TokenRefreshRequired InvalidToken InvalidAccessKeyId "
        "SignatureDoesNotMatch InvalidClientTokenId XAdminUserNotFound NoCredentialsError "
        "PartialCredentialsError CredentialRetrievalError ProfileNotFound TokenRetrievalError "
        "UnauthorizedSSOTokenError SSOTokenLoadError MetadataRetrievalError UnusableCredentials",
    ),
    ErrorRow(
        "configuration",
        "nothing was sent, because endpoint_url in the AWS configuration file is public, without "
        "TLS: write https there, or set insecure = true here if everybody on the way may read it",
        "EndpointInClear",
    ),
    ErrorRow(
        "clock",
        "this machine's clock differs by more than the store allows: set the clock",
        "RequestTimeTooSkewed",
    ),
    ErrorRow(
        "not_found",
        "there is no such bucket: create it, or correct bucket, region and endpoint_url",
        "NoSuchBucket",
    ),
    ErrorRow(
        "conflict",
        "another write of the same name is in progress",
        "ConditionalRequestConflict OperationAborted",
    ),
    ErrorRow("conflict", "the store has lost the upload: it starts again", "NoSuchUpload"),
    ErrorRow(
        "throttled",
        "the store asks to slow down",
        "SlowDown TooManyRequests RequestLimitExceeded Throttling ThrottlingException",
    ),
    ErrorRow(
        "region",
        "the bucket is in another region: set region",
        # 301 and 307 stand for a response without a body
        "PermanentRedirect TemporaryRedirect AuthorizationHeaderMalformed 301 307",
    ),
    ErrorRow(
        "checksum",
        "the bytes were changed on the way",
        "BadDigest InvalidDigest XAmzContentSHA256Mismatch XAmzContentChecksumMismatch "
        "IncompleteBody",
    ),
    ErrorRow(
        "status",
        "the bucket does not support what is configured: check object_lock, encryption and "
        'checksum; if the store knows no checksums, set checksum = "none", if no conditions, '
        "set conditional = false",
        "InvalidRequest",
    ),
    ErrorRow("denied", "there is no such key: correct kms_key_id", "KMS.NotFoundException"),
    ErrorRow(
        "unavailable",
        "the response was not S3's: check endpoint_url and proxies",
        "UnreadableAnswer",
    ),
    ErrorRow("tls", "check tls and the server's certificate", "SSLError"),
    ErrorRow("proxy", "check HTTPS_PROXY", "ProxyConnectionError"),
    ErrorRow(
        "timeout",
        "it did not answer in time; the same object is sent again under the same name",
        "ReadTimeoutError ConnectTimeoutError",
    ),
    rights="the credentials may not do this: "
    "grant what docs/sinks/s3.md lists, first of all s3:PutObject below the prefix",
    missing="check bucket, prefix and endpoint_url",
)


def is_taken(error: StoreError) -> bool:
    """Return whether the name is taken."""
    return error.status == 412 or error.code == "PreconditionFailed"


def is_condition_unsupported(error: StoreError) -> bool:
    """Return whether the store answers that it does not know conditional writes."""
    return error.status == 501 or error.code == "NotImplemented"
