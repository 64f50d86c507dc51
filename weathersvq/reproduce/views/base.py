"""What a view is given, what it gives, and Markdown tables, written once for all views."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from weathersvq.reproduce.results import Finished
from weathersvq.reproduce.tables import Scale, StudyConfig, TableConfig


@dataclass(frozen=True)
class Shown:
    """What a view shows: a study's runs, or nothing but the table where it has no runs.

    Attributes:
        table: its description.
        study: its description; None for tables without runs.
        scale: of the runs.
        finished: those with a result, at least one where there is a study.
    """

    table: TableConfig
    study: StudyConfig | None
    scale: Scale
    finished: Sequence[Finished]


@dataclass(frozen=True)
class Picture:
    """A figure with what a person reads who can't see it."""

    figure: Figure
    caption: str


@dataclass
class Part:
    """What a view gives.

    Attributes:
        lines: of Markdown.
        pictures: drawn below them.
    """

    lines: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; columns without a single entry are left out.

    A bar inside a cell would end it, so that it is written as its character reference.
    """
    used = [n for n, name in enumerate(header) if not rows or any(row[n] for row in rows) or n == 0]
    lines = [[header[n] for n in used], ["---"] * len(used), *([r[n] for n in used] for r in rows)]
    return [
        *("| " + " | ".join(c.replace("|", "&#124;") for c in line) + " |" for line in lines),
        "",
    ]


def spread(values: Sequence[float], digits: int = 4) -> str:
    """Mean and standard deviation over seeds."""
    mean = f"{statistics.fmean(values):.{digits}g}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.2g}"


def figure_text(value: float | None) -> str:
    """A figure of the paper, as printed there."""
    return "" if value is None else f"{value:g}"


def label(values: Mapping[str, str]) -> str:
    """An experiment in a few words."""
    return ", ".join(values.values())


def of_first_seed(finished: Sequence[Finished]) -> list[Finished]:
    """The runs of the lowest seed that is there."""
    first = min(each.run.seed for each in finished)
    return [each for each in finished if each.run.seed == first]
