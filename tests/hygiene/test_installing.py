"""No text tells people to install us by our name, which is not ours on public package indexes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import tracesidecar
from tracesidecar.extras import install_command

PROJECT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve()
INSTALLER = re.compile(
    r"\b(?:pip3?|pipx|uvx?|poetry|pdm|conda|mamba)\b(?P<words>(?:[ \t]+[^\s`;&|)]+)+)"
)
BY_NAME = re.compile(r"tracesidecar(?:\[[^\]]*\]?)?(?:[=<>~!@].*)?")
VERBS = {"install", "add", "run", "download", "wheel", "inject", "upgrade"}
WHEEL = re.compile(r"tracesidecar-([\w.+]+)-py3-none-any\.whl")


def texts() -> list[Path]:
    """Every text of the project that git has, or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    names = listed.stdout.splitlines() if listed.returncode == 0 else []
    found = [PROJECT / name for name in names] or [
        path
        for path in PROJECT.rglob("*")
        if not any(part.startswith(".") for part in path.relative_to(PROJECT).parts)
    ]
    return [path for path in found if path.is_file() and not path.is_symlink() and path != HERE]


def by_name(text: str) -> list[str]:
    """Return the commands in a text that would ask an index for us.

    A command may go on in the next line, behind the mark of a comment or of a quotation.
    """
    joined = re.sub(r"\\?\n[ \t]*(?:[#>*]+[ \t]*|//[ \t]*)?", " ", text)
    found = []
    for command in INSTALLER.finditer(joined):
        words = [word.strip("\"'`.,:{}") for word in command["words"].split()[:12]]
        if VERBS & set(words[:3]) and any(BY_NAME.fullmatch(word) for word in words):
            found.append(command[0][:80])
    return found


def test_no_text_installs_us_from_an_index() -> None:
    found = {}
    for path in texts():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        if commands := by_name(text):
            found[str(path.relative_to(PROJECT))] = commands
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "pip install tracesidecar",
        "run: pip install 'tracesidecar[s3]'",
        "python -m pip install --upgrade tracesidecar==0.1.0",
        "# pip3 install \\\n#   tracesidecar",
        "you can `pip install\ntracesidecar`",
        "pipx install tracesidecar",
        "uv tool install tracesidecar",
        "uv pip install -q tracesidecar[sql,s3]>=1",
        "f'pip install \"tracesidecar[{extra}]\"'",
    ],
)
def test_what_it_would_find(text: str) -> None:
    assert by_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "pip install dist/tracesidecar-0.1.0-py3-none-any.whl",
        'pip install "/path/to/tracesidecar-0.1.0-py3-none-any.whl[s3]"',
        "pip install --editable .",
        "after pip install, run .venv/bin/tracesidecar demo",
        "pip install boto3",
    ],
)
def test_what_it_lets_pass(text: str) -> None:
    assert not by_name(text)


def test_every_wheel_that_a_text_names_is_of_this_version() -> None:
    named = {
        (path.name, version)
        for path in texts()
        if path.suffix in {".md", ".toml", ".service", ".yaml"}
        for version in WHEEL.findall(path.read_text("utf-8"))
    }
    assert {version for _, version in named} == {tracesidecar.__version__}


def test_an_extra_is_added_from_where_the_program_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pip records it for a wheel, for a checkout, and for a package from somewhere else."""
    record = tmp_path / "tracesidecar-0.1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: tracesidecar\nVersion: 0.1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    origin = record / "direct_url.json"

    assert install_command("s3").endswith(
        f"-m pip install '/path/to/tracesidecar-{tracesidecar.__version__}-py3-none-any.whl[s3]'"
    )
    origin.write_text('{"url": "file:///srv/my%20wheels/tracesidecar-0.1.0-py3-none-any.whl"}')
    assert install_command("s3").endswith(
        "-m pip install '/srv/my wheels/tracesidecar-0.1.0-py3-none-any.whl[s3]'"
    )
    origin.write_text('{"url": "file:///srv/checkout", "dir_info": {"editable": true}}')
    assert install_command("sql").endswith("-m pip install --editable '/srv/checkout[sql]'")
    origin.write_text("damaged")
    assert "/path/to/tracesidecar-" in install_command("sql")
