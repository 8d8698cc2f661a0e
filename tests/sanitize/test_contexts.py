"""Secrets that nothing but what stands around them names: tables, lines above, commands, fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tracesidecar.sanitize.sanitizer import Sanitizer

OPAQUE = "Zq7vR2mK9xT4wL8b"
CHOSEN = "hunter2xyz"
DIGEST = "9f86d081884c7d659a2feaa0c55ad015"


def out(text: str) -> dict[str, Any]:
    return {"out": text}


CONTEXTS: dict[str, Any] = {
    "markdown": out(
        f"| user | password |\n|------|------|\n| bob | {CHOSEN} |\n| eve | {OPAQUE} |"
    ),
    "markdown, in the middle": out(
        f"| Name | API Key | At |\n|---|---|---|\n| prod | {DIGEST} | 2 |"
    ),
    "CSV": out(f"username,password,email\nbob,{CHOSEN},b@x.org\neve,{OPAQUE},e@x.org\n"),
    "CSV with quotes": out(f'"login","secret_key","note"\n"bob","{OPAQUE}","x, y"\n'),
    "CSV with semicolons": out(f"name;passwort;ort\nbob;{CHOSEN};Berlin\n"),
    "TSV": out(f"host\tuser\tpassword\ndb1\tapp\t{CHOSEN}\n"),
    "psql": out(f" id | name | password  \n----+------+-----\n  1 | bob  | {CHOSEN}\n(1 row)\n"),
    "psql -x": out(f"-[ RECORD 1 ]--\nid       | 1\npassword | {CHOSEN}\n"),
    "mysql": out(
        f"+----+------------+\n| id | api_secret |\n+----+------------+\n|  1 | {OPAQUE} |"
    ),
    "vault": out(f"Key         Value\n---         -----\npassword    {CHOSEN}\nuser        bob\n"),
    "kubectl": out(f"NAME      TOKEN                AGE\nmy-agent  {OPAQUE}  3d\n"),
    "columns and rows": {"columns": ["id", "password"], "rows": [[1, CHOSEN], [2, OPAQUE]]},
    "fields and rows": {"fields": [{"name": "id"}, {"name": "api_key"}], "rows": [[1, OPAQUE]]},
    "insert": out(f"INSERT INTO users (id, name, password) VALUES (1, 'bob', '{CHOSEN}');"),
    "key and value": {"Key": "DB_PASSWORD", "Value": CHOSEN},
    "parameter": {"ParameterKey": "MasterUserPassword", "ParameterValue": CHOSEN},
    "next line": out(f"Password:\n{CHOSEN}\nLogged in"),
    "next line but one": out(f"Your API key:\n\n    {OPAQUE}\n\nKeep it safe"),
    "prompt": out(f"Enter token:\n> {OPAQUE}\n"),
    "block": out(f"password: |\n  {CHOSEN}\nuser: bob\n"),
    "list": out(f"passwords:\n  - {CHOSEN}\n  - {OPAQUE}\nusers:\n  - bob\n"),
    "mysql -p": {"argv": ["mysql", "-u", "root", f"-p{CHOSEN}", "db"]},
    "sshpass": {"args": ["sshpass", "-p", CHOSEN, "ssh", "host"]},
    "docker login": {"command": ["docker", "login", "-u", "bob", "-p", CHOSEN]},
    "redis-cli": {"command": ["redis-cli", "-a", CHOSEN]},
    "htpasswd": {"command": ["htpasswd", "-b", "file", "bob", CHOSEN]},
    "openssl": {"command": ["openssl", "enc", "-k", CHOSEN]},
    "auth": {"auth": ["bob", CHOSEN]},
    "pgpass": out(f"$ cat ~/.pgpass\ndb.internal:5432:app:bob:{CHOSEN}\n"),
    "plan": out(f'  + password             = "{CHOSEN}"\n'),
    "changed": out(f'aws_db_instance.x: password: "" => "{CHOSEN}"'),
    "gh auth token": {"command": "gh auth token", "output": OPAQUE},
    "cat": {"input": {"command": "cat ~/.secrets/db_password"}, "result": f"{CHOSEN}\n"},
    "vault get": {"command": "vault kv get -field=password secret/db", "stdout": CHOSEN},
    "op read": {"command": ["op", "read", "op://v/i/p"], "aggregated_output": OPAQUE},
    "pass": {"command": "pass show email/work", "output": CHOSEN},
    "printenv": {"command": "printenv DB_PASSWORD", "output": CHOSEN},
    "browser": {"tool": "type", "input": {"element": "Password field", "text": CHOSEN}},
    "fill": {"action": "fill", "selector": "input[type=password]", "value": CHOSEN},
    "page.type": out(f"await page.type('input[name=\"passwd\"]', '{CHOSEN}')"),
    "send_keys": out(f'driver.find_element(By.ID, "password").send_keys("{CHOSEN}")'),
    "is": out(f"the password is: {CHOSEN}"),
    "as": out(f"use {OPAQUE} as the password"),
    "dash": out(f"password - {CHOSEN}"),
    "blank": out(f"with token {OPAQUE} it works"),
    "_pat": out(f"github_pat: {OPAQUE}"),
    "backtick": out('password = "hunt`er2xyz"'),
    "Some": out(f'db_password: Some("{CHOSEN}")'),
    "x-oauth-basic": out(f"git clone https://{OPAQUE}:x-oauth-basic@github.com/x/y"),
    "slash in a password": out("mysql://bob:hunter/2xyz@db.example/x"),
}
PLAIN: dict[str, Any] = {
    "types": out("| field | type |\n|---|---|\n| password | string |\n| token | integer, 42 |"),
    "credentials in a manual": out(
        "| Credential | Usage |\n|---|---|\n| [`A`](https://x.y/z) | Local |"
    ),
    "arguments": out("compact(\n\tsettings,\n\tapiKey,\n\tinput.customInstructions,\n)"),
    "code": out("if client_request_token:\n    self._validate(client_request_token)\n"),
    "constant": out("#define NID_auth_psk             1048\n"),
    "header alone": out("user,password,email\n"),
    "prose": out("Your password:\nIt must have twelve characters.\n"),
    "public command": {"command": "cat README.md", "output": OPAQUE},
    "search": {"tool": "type", "input": {"element": "Search field", "text": CHOSEN}},
    "columns": {"columns": ["id", "name"], "rows": [[1, OPAQUE]]},
    "sort key": {"Key": "Name", "Value": OPAQUE},
}


@pytest.mark.parametrize("name", CONTEXTS)
@pytest.mark.parametrize("is_long", [False, True])
def test_what_its_surroundings_name_is_redacted(
    secrets_only: Sanitizer, name: str, *, is_long: bool
) -> None:
    value = {"before": "word " * 600, **CONTEXTS[name]} if is_long else CONTEXTS[name]
    line = json.dumps(value).encode()
    redacted = secrets_only.redact_line(line)
    assert isinstance(redacted, bytes)
    assert not any(
        secret.encode() in redacted for secret in (OPAQUE, CHOSEN, DIGEST, "er2xyz", "2xyz")
    )


@pytest.mark.parametrize("name", PLAIN)
def test_what_only_looks_like_such_a_context_stays(secrets_only: Sanitizer, name: str) -> None:
    line = json.dumps(PLAIN[name]).encode()
    assert secrets_only.redact_line(line) == line
