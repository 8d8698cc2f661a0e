"""Measure what three sinks cost compared with one: common work is done once."""

from __future__ import annotations

import os
import sys

from bench import generate
from bench.process import configuration, new_home, ship_once
from bench.real_lines import real_lines, write_by_dialect
from bench.table import Row, Settings

GOAL = 1.6


def several(folder: str, settings: Settings) -> list[Row]:
    """Measure the CPU time of three directory sinks, as a multiple of that of one.

    Once with lines as they are, and once with a different format of events for each sink.
    """
    traces = os.path.join(folder, "traces")
    if lines := real_lines():
        write_by_dialect(traces, lines, settings.real_bytes // 4)
    else:
        os.makedirs(traces)
        generate.write(os.path.join(traces, "generated.jsonl"), settings.real_bytes // 4, seed=1)
    return [
        Row(
            "three sinks over one, raw",
            "times the CPU",
            _ratios(folder, ("raw", "raw", "raw"), settings),
            GOAL,
        ),
        Row(
            "event, ecs and ocsf over event",
            "times the CPU",
            _ratios(folder, ("event", "ecs", "ocsf"), settings),
            GOAL,
        ),
    ]


def _ratios(folder: str, forms: tuple[str, ...], settings: Settings) -> tuple[float, ...]:
    """Measure one and three in turn, so that a machine that slows down slows both."""
    ratios = []
    for turn in range(settings.repeats):
        one, three = _cpu_seconds(folder, forms[:1]), _cpu_seconds(folder, forms)
        ratios.append(three / one)
        print(
            f"  {', '.join(forms)}, run {turn + 1}: {one:.2f} s for one, {three:.2f} s for three",
            file=sys.stderr,
        )
    return tuple(ratios)


def _cpu_seconds(folder: str, forms: tuple[str, ...]) -> float:
    with new_home(folder) as home:
        path = configuration(home, os.path.join(folder, "traces"), forms=forms)
        return ship_once(path).cpu_seconds
