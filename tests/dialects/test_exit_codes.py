"""Exit codes, from members of a line and from what a shell's tool says."""

from __future__ import annotations

import pytest

from tracesidecar.dialects.parsing import exit_code, exit_code_in


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("Exit code 1\nno such file", 1),  # Claude Code
        ("Exit code: 3", 3),  # Attocode, Codex
        ("Process exited with code -1\nWall time: 1 second", -1),  # Codex
        ("a b\n" * 400 + "Exit Code: 127\nSignal: 0", 127),  # Gemini CLI, at the end
        ("done\n<exited with exit code 0>", 0),  # Copilot
        ("it says Exit code 1 in a line", None),
        ("Exit code 12345678901", None),
        ("Exit code 1.5x", None),
        ("Exit code one", None),
        ("", None),
        (None, None),
    ],
)
def test_a_shells_tool_says_the_code_at_the_beginning_or_the_end(
    said: str | None, code: int | None
) -> None:
    assert exit_code_in(said) == code


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0, 0),
        (-9, -9),
        ("2", 2),
        (3221225786, 3221225786),
        (1.5, None),
        (True, None),
        (2**40, None),
        (None, None),
        ({}, None),
        (float("nan"), None),
        ("x", None),
    ],
)
def test_an_exit_code_is_a_whole_number_of_32_bits(value: object, code: int | None) -> None:
    assert exit_code(value) == code
