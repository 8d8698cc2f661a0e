"""What a tool touches is taken apart as the systems do that it is for, whatever an agent writes."""

from __future__ import annotations

import pytest

from tracesidecar.encode.targets import split_command, split_path, split_url


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("ls -la /srv", ["ls", "-la", "/srv"]),
        ("sh -c 'echo \"a b\"'", ["sh", "-c", 'echo "a b"']),
        ("echo 'open", ["echo", "'open"]),
        ("x" + " y" * 100, ["x", *["y"] * 63]),
        ("   ", []),
    ],
)
def test_a_command_is_its_words(command: str, words: list[str]) -> None:
    assert split_command(command) == words


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/etc/cron.d/orchard", ("orchard", "/etc/cron.d", None)),
        ("C:\\pears\\plan.md", ("plan.md", "C:\\pears", "md")),
        ("plan.tar.gz", ("plan.tar.gz", None, "gz")),
        ("/srv/.env", (".env", "/srv", None)),
        ("/", (None, None, None)),
        ("/srv/pears/", ("pears", "/srv", None)),
    ],
)
def test_a_path_is_name_directory_and_extension(path: str, parts: tuple[str | None, ...]) -> None:
    assert split_path(path) == parts


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://u:p@Orchard.example:8443/a?b=c", ("https", "orchard.example", "/a")),
        ("orchard.example/a", (None, None, "orchard.example/a")),
        ("http://[::1", (None, None, None)),
        ("https://10.0.0.7/", ("https", "10.0.0.7", "/")),
    ],
)
def test_an_address_is_scheme_domain_and_path(url: str, parts: tuple[str | None, ...]) -> None:
    assert split_url(url) == parts
