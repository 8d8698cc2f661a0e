"""Ordinary text stays as it is: the files of the locked packages, in pieces of 4 KB.

They are sources, licences, lock files, schemas, scripts and pages of documentation that nobody here
wrote. What is redacted of them is judged one by one.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import msgspec
import pytest

from tracesidecar.sanitize.rejections import RejectionReason
from tracesidecar.sanitize.sanitizer import Sanitizer

PIECE = 4096
SHORTEST = 200
MOST_BYTES = 4 << 20
ONE_OF = 11
AT_LEAST = 3000
LEAST_UNTOUCHED = 0.998
NOT_LOCKED = frozenset({"tracesidecar", "pip", "setuptools"})
"""Their files depend on the machine."""
JUDGED = tomllib.loads(Path(__file__).with_name("ordinary_text.toml").read_text(encoding="utf-8"))[
    "judged"
]


def list_pieces() -> Iterator[tuple[str, str]]:
    """Iterate over (name, text) of a sample that is the same on every machine."""
    for distribution in sorted(distributions(), key=lambda each: each.name):
        if distribution.name in NOT_LOCKED:
            continue
        for file in sorted(distribution.files or (), key=str):
            name = f"{distribution.name}/{file}"
            path = Path(str(file.locate()))
            if ".." in file.parts or file.suffix == ".pyc" or not path.is_file():
                continue
            text = _read_text(path)
            for start in range(0, len(text), PIECE):
                piece = text[start : start + PIECE]
                key = hashlib.sha256(f"{name}#{start}".encode()).digest()
                if len(piece) >= SHORTEST and int.from_bytes(key[:4]) % ONE_OF == 0:
                    yield f"{name}#{start // PIECE}", piece


def _read_text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(MOST_BYTES)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return ""
    return "" if "\0" in text else text


def test_ordinary_text_is_not_touched_but_for_what_was_judged(secrets_only: Sanitizer) -> None:
    count, touched = 0, set()
    for name, text in list_pieces():
        count += 1
        line = msgspec.json.encode({"type": "tool_result", "content": text})
        redacted = secrets_only.redact_line(line)
        assert not isinstance(redacted, RejectionReason), name
        if redacted != line:
            found = secrets_only.find_redactions(line)
            assert not isinstance(found, RejectionReason), name
            touched |= {f"{name} {finding.rule}" for finding in found}
    assert count >= AT_LEAST
    assert sorted(touched - set(JUDGED)) == [], "judge these in ordinary_text.toml"
    pieces = {each.rpartition(" ")[0] for each in touched}
    assert 1 - len(pieces) / count >= LEAST_UNTOUCHED


KEPT = (
    '{"spec": {"secret": {"$ref": "#/definitions/SecretSource", "description": "Where it is"}}}',
    '{"password": {"type": ["string", "null"], "description": "12 or more", "minLength": 12}}',
    '{"credentials": {"type": "array", "x-kubernetes-list-type": "atomic", "items": {}}}',
    '"nextForwardToken": "f/3196120912244748858305587945946474234673"',
    '"LockToken": "447e55ac-2396-4c6d-b9f9-86b67c17f8b5"',
    "list-backups --starting-token abCDeFGhiJKlmnOPqrSTuvwxYZ1aBCdEFghijK7LM",
    "update-set --lock-token 447e55ac-2396-4c6d-b9f9-86b67c17f8b5",
    '"encryptionKey": "arn:aws:kms:us-west-2:111122223333:key/c9fe2447-07f2-4cd1"',
    "--passphrase file://path-to-passphrase-file",
    "the process identified by PID. It is set by its parent.",
    "a payload identified by allocationName). alter it with care",
    "import X25519PrivateKey\nkey: X25519PrivateKey | None\nkey: X25519PrivateKey",
    "def sign(private_key: rsa.RSAPrivateKeyWithNumbers, x_key: mlkem.MLKEM768PrivateKey,):",
    "def provider(credential: AsyncTokenProvider, *scopes: str) -> None:",
    ":type credential: ~cloud.core.credentials_async.AsyncTokenProvider",
    "def error(self, startToken:Token=None, offendingToken:Token=None):",
    "while current_token.category == category:\n    if token == Comment.Special:",
    "createToken('GTE0PRE', '^>=0.0.0$')",
    "MLKEM768PrivateKey = rust_bindings.kem.MLKEM768PrivateKey",
    "    opt.pkcs12_password = pkcs12_password",
    "git-credential-store: git-credential-store.o",
    'auth = f"{auth}:{password}"',
    'headers["authorization"] = "Basic " + encode(pair)',
    'def ask(prompt: str = "Password: ", stream: TextIO | None = None) -> str:',
    "    client.call(authorization=authorization, region=region)",
    "names = ['macauthorization', 'mailalias', 'mcx', 'md5']",
    '"lastModifiedSecret": 1556312220.133',
    "secrets: 3.6-\nselect: 3.0-",
    '"license_key": "cc-by-nc-sa-2.0-uk", "spdx_license_key": "LicenseRef-a-cfe"',
    '"Action": ["eks-auth:AssumeRoleForPodIdentity"]',
    "#define IW_AUTH_ALG_SHARED_KEY\t0x00000002",
)


@pytest.mark.parametrize("text", KEPT)
def test_what_is_no_secret_in_ordinary_text_stays(secrets_only: Sanitizer, text: str) -> None:
    line = msgspec.json.encode({"type": "tool_result", "content": text})
    assert secrets_only.redact_line(line) == line


REDACTED = (
    ('{"password": {"type": "string", "default": "Hay5tack!7x"}}', "Hay5tack!7x"),
    ('{"secret": {"$ref": "#/a", "value": "Hay5tack!7x"}}', "Hay5tack!7x"),
    ('"SessionToken": "kT4grACk2Z2suaoTjFq7Lw9x"', "kT4grACk2Z2suaoTjFq7Lw9x"),
    ("--access-token kT4grACk2Z2suaoTjFq7Lw9x", "kT4grACk2Z2suaoTjFq7Lw9x"),
    ("CREATE USER ops IDENTIFIED BY n33dle99x;", "n33dle99x"),
    ("mariadb says: identified by n33dle99x", "n33dle99x"),
    ("Authorization: Bearer abcdefghijkl", "abcdefghijkl"),
    ('["Authorization", "kT4grACk2Z2suao"]', "kT4grACk2Z2suao"),
    ("password: kT4grACk2Z", "kT4grACk2Z"),
    ('secret_key = "kT4grACk2Z2suaoTjFq7Lw9x"', "kT4grACk2Z2suaoTjFq7Lw9x"),
    ('db_password = "pass{word}7x"', "pass{word}7x"),
    ("the token is kT4grACk2Z2suaoTjFq7", "kT4grACk2Z2suaoTjFq7"),
    ('password = "{Hay5tack}"', "Hay5tack"),
    ('{"password": "{Haystack}"}', "Haystack"),
    ('createPassword("Hay5tack")', "Hay5tack"),
    ("[Config::API_KEY => 'kT4grACk2Z2suaoTjFq7']", "kT4grACk2Z2suaoTjFq7"),
    ("user: root, password: BlueHaystack, host: a", "BlueHaystack"),
    ("password: cGFzc3dvcmQtaGF5=", "cGFzc3dvcmQtaGF5"),
    ("PASSWORD=!@#$%^&*", "!@#$%^&*"),
    (".password=haystackx7", "haystackx7"),
    ('secret_key = "dev-key-for-2024"', "dev-key-for-2024"),
    ('{"password": {"type": "string", "x-value": "Hay5tack!7x"}}', "Hay5tack!7x"),
)


@pytest.mark.parametrize(("text", "secret"), REDACTED)
def test_a_secret_that_looks_nearly_like_it_is_redacted(
    secrets_only: Sanitizer, text: str, secret: str
) -> None:
    redacted = secrets_only.redact_line(msgspec.json.encode({"type": "x", "content": text}))
    assert not isinstance(redacted, RejectionReason)
    assert secret not in msgspec.json.decode(redacted)["content"]
