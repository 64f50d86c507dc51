"""What the benchmarks share: timing side by side, memory of a fresh process, table and JSON."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from weathersvq.reproduce.memory import peak_memory_mib

__all__ = [
    "Row", "interleaved_seconds", "output_of", "paired_ratio", "peak_memory_mib",
    "peak_memory_of", "print_rows",
]  # fmt: skip


Case = TypeVar("Case", bound=str)


@dataclass(frozen=True)
class Row:
    """One figure, printed as a line of the table and as a JSON object.

    Attributes:
        benchmark: name of the script.
        case: what was measured.
        value: median, in `unit`.
        unit: `s`, `MiB` ...
        against: the case that `ratio` divides by.
        ratio: how often the value of `against`.
    """

    benchmark: str
    case: str
    value: float
    unit: str
    against: str
    ratio: float


def interleaved_seconds(
    cases: Mapping[Case, Callable[[], None]], repeats: int
) -> dict[Case, list[float]]:
    """Wall-clock times of several functions, by round.

    In each round every function runs once, and each round starts with another one, so that what
    else the machine does meets all of them alike. One run each beforehand is not counted.

    Returns:
        `repeats` times by case; position i of all cases is from the same round.
    """
    names = list(cases)
    for name in names:
        cases[name]()
    seconds: dict[Case, list[float]] = {name: [] for name in names}
    for turn in range(repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            cases[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def paired_ratio(values: Sequence[float], against: Sequence[float]) -> float:
    """Median of the quotients by round: steadier than the quotient of medians on a busy machine."""
    return statistics.median(a / b for a, b in zip(values, against, strict=True))


def output_of(script: str, *arguments: str) -> str:
    """What a fresh process that runs a script prints."""
    command = [sys.executable, script, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def peak_memory_of(script: str, *arguments: str) -> float:
    """Peak memory in MiB of a fresh process that runs a script and prints the figure last."""
    return float(output_of(script, *arguments).split()[-1])


def print_rows(title: str, rows: Sequence[Row]) -> None:
    """A table for people, then one JSON object a line for programs."""
    table = Table(title=title, title_justify="left")
    table.add_column("case")
    for heading in ("value", "unit", "ratio"):
        table.add_column(heading, justify="right" if heading != "unit" else "left")
    table.add_column("against")
    for row in rows:
        table.add_row(row.case, f"{row.value:.4g}", row.unit, f"{row.ratio:.2f}", row.against)
    Console(width=110).print(table)
    for row in rows:
        print(json.dumps(asdict(row)))
