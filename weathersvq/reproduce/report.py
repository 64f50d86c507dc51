"""Ours beside the paper's: what the runs of a table gave, in Markdown."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from scipy import stats

from weathersvq.reproduce.tables import Run, Scale, TableConfig

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Finished:
    """A run with its result."""

    run: Run
    result: Mapping[str, Any]

    def mean_error(self, name: str) -> float:
        """`mse` or `mae`, averaged over leads and channels."""
        by_lead = self.result["errors"][name]
        return statistics.fmean(statistics.fmean(lead) for lead in by_lead)


@dataclass(frozen=True)
class Paired:
    """A difference, seed by seed, relative to the baseline's.

    Attributes:
        mean: of the relative differences.
        low, high: of its confidence interval; infinite for a single seed.
    """

    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        if self.low > 0:
            return "worse"
        return "better" if self.high < 0 else "no difference shown"


def paired(values: Sequence[float], against: Sequence[float]) -> Paired:
    """Student's interval of the mean relative difference.

    Args:
        values, against: of the same seeds, in the same order.
    """
    differences = [a / b - 1 for a, b in zip(values, against, strict=True)]
    mean, count = statistics.fmean(differences), len(differences)
    if count < 2:
        return Paired(mean, -math.inf, math.inf)
    error = statistics.stdev(differences) / math.sqrt(count)
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
    return Paired(mean, mean - reach, mean + reach)


@cache
def paper_rows() -> tuple[dict[str, str], ...]:
    """The paper's result tables: table, dataset, variable, model, setting, metric, value."""
    path = resources.files("weathersvq.reproduce") / "paper.csv"
    return tuple(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def paper_value(table: TableConfig, values: Mapping[str, str], metric: str) -> float | None:
    """What the paper gives for an experiment; None where it has none."""
    if table.paper is None:
        return None
    names = [table.names[axis][v] for axis, v in values.items() if v in table.names.get(axis, {})]
    if len(names) < len(values):
        return None
    model = "".join(name.model for name in names)
    setting = "; ".join(name.setting for name in names if name.setting)
    wanted = (table.paper.table, table.paper.dataset, table.paper.variable, model, setting, metric)
    columns = ("table", "dataset", "variable", "model", "setting", "metric")
    for row in paper_rows():
        if tuple(row[column] for column in columns) == wanted:
            return float(row["value"])
    return None


def report(
    name: str, table: TableConfig, scale: Scale, finished: Sequence[Finished], failed: int
) -> str:
    """The table as a Markdown section.

    Args:
        name: of the table.
        table: its description.
        scale: of the runs.
        finished: those with a result.
        failed: how many runs have none.
    """
    groups: dict[tuple[str, ...], list[Finished]] = {}
    for each in finished:
        groups.setdefault(tuple(each.run.values.values()), []).append(each)
    lines = [f"# {name}: {table.title}", ""]
    if table.question:
        lines += [table.question, ""]
    lines += _conditions(scale, finished, failed)
    if not finished:
        return "\n".join([*lines, "No run has finished.", ""])
    unit = finished[0].result["units"][0]
    header = [
        *table.axes, "seeds", f"MSE [{unit}2]", f"MAE [{unit}]", "MSE beside the baseline",
        "paper: MSE", "paper: beside its baseline",
    ]  # fmt: skip
    lines += _row(header) + _row(["---"] * len(header))
    for key, members in groups.items():
        values = members[0].run.values
        lines += _row([
            *key,
            str(len(members)),
            _spread([each.mean_error("mse") for each in members]),
            _spread([each.mean_error("mae") for each in members]),
            _beside(table, groups, members),
            _figure(paper_value(table, values, "MSE")),
            _paper_beside(table, values),
        ])  # fmt: skip
    one = finished[0]
    lines += _row([
        "persistence", *[""] * (len(table.axes) - 1), "",
        f"{one.mean_error('persistence_mse'):.4g}", f"{one.mean_error('persistence_mae'):.4g}",
        "", "", "",
    ])  # fmt: skip
    return "\n".join([*lines, ""])


def _conditions(scale: Scale, finished: Sequence[Finished], failed: int) -> list[str]:
    """Under what the figures hold: nobody should have to guess."""
    lines = [f"- scale: {scale}; {len(finished)} runs finished, {failed} did not"]
    if finished:
        first = finished[0]
        config, result = first.run.experiment, first.result
        title = result["title"] or config.data.source
        lines += [
            f"- data: {title}; {', '.join(result['channels'])}; {result['test_windows']} test "
            f"windows; {len(config.data.inputs)} inputs, {len(result['targets'])} targets every "
            f"{result['step']}",
            f"- best epoch chosen on: {result['selection']}; seeds "
            f"{', '.join(sorted({str(each.run.seed) for each in finished}))}; weathersvq "
            f"{', '.join(sorted({str(each.result['version']) for each in finished}))}",
            "- errors: physical units, means over test windows, leads and cells, not weighted by "
            "area (as the paper's); mean and standard deviation over seeds",
            f"- beside the baseline: relative difference of the MSE, seed by seed, with its "
            f"{CONFIDENCE:.0%} interval (Student); the paper's is of its single figures on other "
            "data, so only the direction can be compared",
        ]
    return [*lines, ""]


def _beside(
    table: TableConfig, groups: Mapping[tuple[str, ...], list[Finished]], members: list[Finished]
) -> str:
    values = members[0].run.values
    reference = tuple(table.baseline.get(axis, value) for axis, value in values.items())
    if not table.baseline or reference == tuple(values.values()) or reference not in groups:
        return ""
    by_seed = {each.run.seed: each.mean_error("mse") for each in groups[reference]}
    both = [each for each in members if each.run.seed in by_seed]
    if not both:
        return ""
    found = paired(
        [each.mean_error("mse") for each in both], [by_seed[each.run.seed] for each in both]
    )
    if len(both) == 1:
        return f"{found.mean:+.1%} (one seed)"
    return f"{found.mean:+.1%} ({found.low:+.1%} to {found.high:+.1%}): {found.verdict}"


def _paper_beside(table: TableConfig, values: Mapping[str, str]) -> str:
    reference = {axis: table.baseline.get(axis, value) for axis, value in values.items()}
    own, other = (paper_value(table, each, "MSE") for each in (values, reference))
    if own is None or other is None or reference == dict(values):
        return ""
    return f"{own / other - 1:+.1%}"


def _spread(values: Sequence[float]) -> str:
    mean = f"{statistics.fmean(values):.4g}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.2g}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _row(cells: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(cells)} |"]
