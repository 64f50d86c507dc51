"""What runs gave, the paper's own figures, and how two sides of a comparison are told apart."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from scipy import stats

from weathersvq.reproduce.tables import Run, StudyConfig

CONFIDENCE = 0.95

Verdict = Literal["better", "worse", "no difference shown", "one seed"]


@dataclass(frozen=True)
class Finished:
    """A run with its result.

    Attributes:
        run: what was asked for.
        result: content of its `result.json`.
        folder: where it is.
    """

    run: Run
    result: Mapping[str, Any]
    folder: Path

    @property
    def key(self) -> tuple[str, ...]:
        """The axes' values: the same for all seeds of an experiment."""
        return tuple(self.run.values.values())

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the channels' variables, each once: r@500 and r@850 are r."""
        return tuple(dict.fromkeys(each.split("@")[0] for each in self.result["channels"]))

    def error(self, name: str, variable: str | None = None) -> float:
        """`mse`, `mae` or those of persistence, averaged over leads and channels.

        Args:
            name: of the error.
            variable: whose channels count; all if None.
        """
        places = [
            place
            for place, channel in enumerate(self.result["channels"])
            if variable in (None, channel.split("@")[0])
        ]
        by_lead = self.result["errors"][name]
        return statistics.fmean(lead[place] for lead in by_lead for place in places)


def by_experiment(finished: Sequence[Finished]) -> dict[tuple[str, ...], list[Finished]]:
    """Runs of the same experiment, one a seed, in the order of the table."""
    groups: dict[tuple[str, ...], list[Finished]] = {}
    for each in finished:
        groups.setdefault(each.key, []).append(each)
    return groups


@dataclass(frozen=True)
class Paired:
    """A difference, seed by seed, relative to the other side.

    Attributes:
        mean: of the relative differences.
        low, high: of its confidence interval; infinite for a single seed.
        seeds: how many.
    """

    mean: float
    low: float
    high: float
    seeds: int

    @property
    def verdict(self) -> Verdict:
        if self.seeds == 1:
            return "one seed"
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
        return Paired(mean, -math.inf, math.inf, count)
    error = statistics.stdev(differences) / math.sqrt(count)
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
    return Paired(mean, mean - reach, mean + reach, count)


def paired_by_seed(values: Mapping[int, float], against: Mapping[int, float]) -> Paired | None:
    """`paired` over the seeds that both have; None where there is none."""
    seeds = sorted(values.keys() & against.keys())
    if not seeds:
        return None
    return paired([values[seed] for seed in seeds], [against[seed] for seed in seeds])


# The paper


@cache
def paper_rows() -> tuple[dict[str, str], ...]:
    """The paper's result tables: table, dataset, variable, model, setting, metric, value."""
    path = resources.files("weathersvq.reproduce") / "paper.csv"
    return tuple(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def paper_value(
    study: StudyConfig, values: Mapping[str, str], metric: str, variable: str | None = None
) -> float | None:
    """What the paper gives for an experiment.

    Args:
        study: says which of the paper's rows it stands beside.
        values: of the axes.
        metric: such as MSE.
        variable: where the study has several.

    Returns:
        None where the paper has no such row.
    """
    if study.paper is None:
        return None
    model, settings = "", []
    for axis, value in values.items():
        if axis not in study.names:
            model += value
            continue
        if value not in study.names[axis]:
            return None
        name = study.names[axis][value]
        model += name.model
        settings.append(name.setting)
    wanted = (
        study.paper.table, study.paper.dataset, study.paper.variable or variable or "", model,
        "; ".join(each for each in settings if each), metric,
    )  # fmt: skip
    columns = ("table", "dataset", "variable", "model", "setting", "metric")
    for row in paper_rows():
        if tuple(row[column] for column in columns) == wanted:
            return float(row["value"])
    return None
