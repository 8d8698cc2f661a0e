"""Google credentials: from a file, or from the machine's own identity."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tracesidecar.sinks.object_store.errors import StoreError
from tracesidecar.sinks.object_store.gcs.options import FILE_VARIABLE

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

SCOPES = ["https://www.googleapis.com/auth/devstorage.read_write"]


def credentials(file: str | None, *, is_emulator: bool) -> Credentials:
    """Load the file if one is given, else the default credentials of environment and machine.

    An emulator without a file gets anonymous ones. Raises StoreError or GoogleAuthError.
    """
    import google.auth
    from google.auth.credentials import AnonymousCredentials

    if file is not None:
        return _load_file(file)
    if is_emulator:
        return AnonymousCredentials()  # type: ignore[no-untyped-call]
    if FILE_VARIABLE in os.environ:
        return _load_file(os.environ[FILE_VARIABLE])
    return google.auth.default(scopes=SCOPES)[0]


def _load_file(path: str) -> Credentials:
    """Load a file of any known type.

    Google's own loader asks another of its services for the project first, which this machine may
    not be able to reach.
    """
    from google.auth.exceptions import GoogleAuthError

    try:
        return _of_type(msgspec.json.decode(Path(path).read_bytes(), type=dict[str, object]))
    except (OSError, ValueError, GoogleAuthError):  # not chained: a message may quote the key
        raise StoreError("UnusableCredentials") from None


def _of_type(found: dict[str, object]) -> Credentials:
    from google.auth import aws, identity_pool
    from google.oauth2 import credentials as user
    from google.oauth2 import service_account

    made: Credentials
    source = found.get("credential_source")
    match found.get("type"):
        case "service_account":
            made = service_account.Credentials.from_service_account_info(found, scopes=SCOPES)  # type: ignore[no-untyped-call]
        case "external_account" if isinstance(source, dict) and "environment_id" in source:
            made = aws.Credentials.from_info(found, scopes=SCOPES)  # type: ignore[no-untyped-call]
        case "external_account":
            made = identity_pool.Credentials.from_info(found, scopes=SCOPES)  # type: ignore[no-untyped-call]
        case "authorized_user":
            made = user.Credentials.from_authorized_user_info(found, scopes=SCOPES)  # type: ignore[no-untyped-call]
        case _:
            raise ValueError("unknown type of credentials")
    return made
