"""`demo`: a tiny agent that writes traces with planted secrets, to see everything at work."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import string
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from tracesidecar.cli.output import complain
from tracesidecar.exit_codes import ExitCode
from tracesidecar.sanitize import printable

LINES_PER_CONVERSATION = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the rate, the duration and the directory."""
    parser.add_argument(
        "--rate", type=_positive, default=5.0, metavar="N", help="lines a second (default 5)"
    )
    parser.add_argument(
        "--seconds", type=_positive, default=30.0, metavar="N", help="how long (default 30)"
    )
    parser.add_argument(
        "directory",
        nargs="?",
        default="traces",
        metavar="DIR",
        help="where to write (default ./traces)",
    )


def execute(arguments: argparse.Namespace) -> int:
    """Write lines until the time is over, each with one write, as agents do."""
    os.umask(arguments.caller.umask)  # its files are an agent's, not ours
    os.makedirs(arguments.directory, exist_ok=True)
    path = os.path.join(
        arguments.directory, f"demo-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.jsonl"
    )
    total = max(1, round(arguments.rate * arguments.seconds))
    complain(
        f"writing {total} lines to {printable(path)} in {arguments.seconds:g} s; "
        "some of them hold invented secrets"
    )
    begin = time.monotonic()
    with open(path, "xb", buffering=0) as file:
        for number, line in enumerate(itertools.islice(trace_lines(random.Random()), total)):
            time.sleep(max(0.0, begin + number / arguments.rate - time.monotonic()))
            file.write(line)
    complain(f"wrote {total} lines")
    return ExitCode.DONE


def trace_lines(chance: random.Random) -> Iterator[bytes]:
    """Yield lines in the format of Machina's traces, without end."""
    for number in itertools.count():
        operation, request, metadata = _step(number, chance)
        prompt, completion = chance.randint(300, 3000), chance.randint(20, 600)
        entry = {
            "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "action": "tool_call" if operation else "llm_call",
            "connector": "demo_cmms" if operation else "",
            "asset_id": f"P-{chance.randint(201, 206)}" if operation else "",
            "operation": operation,
            "input_summary": request,
            "output_summary": "" if number % 3 else "3 work orders are open",
            "duration_ms": round(chance.uniform(2, 900), 2),
            "success": number % 11 != 10,
            "error": "" if number % 11 != 10 else "TimeoutError: no answer from demo_cmms",
            "metadata": metadata,
            "conversation_id": f"demo-{os.getpid()}-{number // LINES_PER_CONVERSATION}",
            "prompt_tokens": 0 if operation else prompt,
            "completion_tokens": 0 if operation else completion,
            "total_tokens": 0 if operation else prompt + completion,
            "usd_cost": 0.0 if operation else round(prompt * 3e-6 + completion * 15e-6, 6),
            "model": "" if operation else "demo-model-1",
        }
        yield json.dumps(entry, ensure_ascii=False).encode() + b"\n"


def _step(number: int, chance: random.Random) -> tuple[str, str, dict[str, object]]:
    """Return one step of the agent: operation, request, metadata.

    Every secret is invented here at run time, from parts, so that no scanner finds one in the code.
    """

    def token(length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
        return "".join(chance.choice(alphabet) for _ in range(length))

    access_key = "AK" + "IA" + token(16, string.ascii_uppercase + "234567")
    git_token = "gh" + "s_" + token(36)
    steps: tuple[tuple[str, str, dict[str, object]], ...] = (
        ("", "Which pumps need maintenance this week?", {}),
        ("read_work_orders", "status=open", {"rows": 3}),
        (
            "",
            f"Use AWS_ACCESS_KEY_ID={access_key} for the upload",
            {},
        ),
        ("connect", "", {"user": "planner", "password": token(14)}),
        (
            "fetch",
            f"git clone https://x-access-token:{git_token}@git.example.org/plant/pumps.git",
            {},
        ),
        ("read_spare_parts", "P-201 größer als 3″ – naïve check ✓", {"rows": 12}),
        (
            "http_get",
            "GET /v1/parts",
            {
                "result_json": json.dumps(
                    {"headers": {"Authorization": f"Bearer {token(40)}"}, "status": 200}
                )
            },
        ),
        ("", "Write to the planner at jane.doe@example.org that P-203 is due", {}),
    )
    return steps[number % len(steps)]


def _positive(text: str) -> float:
    number = float(text)
    if number <= 0:
        raise argparse.ArgumentTypeError("expected a number above 0")
    return number
