"""Curves over epochs and over the size of the codebook."""

from __future__ import annotations

import csv
import statistics

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from weathersvq.checkpoint import load_checkpoint
from weathersvq.models.size import measure
from weathersvq.reproduce.results import Finished, by_experiment
from weathersvq.reproduce.views.base import Part, Picture, Shown, label, of_first_seed
from weathersvq.training.runs import METRICS_FILE, MODEL_FILE

# Colours that stay apart for the colour-blind (Okabe and Ito), and line styles when they run out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
STYLES = ("-", "--", ":", "-.")


def style(number: int) -> dict[str, str]:
    """Colour and line of the n-th curve."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": STYLES[number // len(COLOURS) % len(STYLES)],
    }


def course(run: Finished, column: str) -> list[float] | None:
    """A column of a run's metrics by epoch; None where it has none."""
    text = (run.folder / METRICS_FILE).read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    if not rows or column not in rows[0]:
        return None
    return [float(row[column]) for row in rows]


def curves(shown: Shown) -> Part:
    """Validation error and perplexity of the codebook by epoch, first seed."""
    runs = of_first_seed(shown.finished)
    channel, unit = runs[0].result["channels"][0], runs[0].result["units"][0]
    rmse = f"validation_rmse_{channel}_{unit.replace(' ', '_')}"
    figure = Figure(figsize=(10, 4.6), layout="constrained", dpi=120)
    left, right = figure.subplots(1, 2)
    for number, run in enumerate(runs):
        for axes, column in ((left, rmse), (right, "perplexity")):
            values = course(run, column)
            if values is not None:
                axes.plot(
                    range(1, len(values) + 1), values, marker="o", markersize=3,
                    label=label(run.run.values), **style(number),
                )  # fmt: skip
    _finish(left, "epoch", f"validation RMSE of {channel} [{unit}], unweighted")
    _finish(right, "epoch", "perplexity of the codebook [codes]")
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if right.lines:
        right.set_yscale("log")
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8,
        frameon=False,
    )  # fmt: skip
    caption = (
        f"Validation error and use of the codebook by epoch, seed {runs[0].run.seed}; perplexity "
        "over the first validation batch."
    )
    return Part(pictures=[Picture(figure, caption)])


def by_size(shown: Shown) -> Part:
    """Error and multiply-accumulates over the number of codes, a curve a quantizer."""
    groups = by_experiment(shown.finished)
    unit = shown.finished[0].result["units"][0]
    lines: dict[str, list[tuple[int, list[float], float]]] = {}
    for members in groups.values():
        values = dict(members[0].run.values)
        codes = int(values.pop("codes"))
        shape = load_checkpoint(members[0].folder / MODEL_FILE, weights=False).shape
        macs = measure(members[0].run.experiment.model, shape).macs / 1e9
        mse = [each.error("mse") for each in members]
        lines.setdefault(label(values), []).append((codes, mse, macs))
    figure = Figure(figsize=(9, 3.8), layout="constrained", dpi=120)
    left, right = figure.subplots(1, 2)
    for number, (name, points) in enumerate(lines.items()):
        points.sort(key=lambda point: point[0])
        sizes = [point[0] for point in points]
        means = [statistics.fmean(point[1]) for point in points]
        left.plot(sizes, means, marker="o", label=name, **style(number))
        for count, mse, _ in points:
            left.plot([count] * len(mse), mse, ".", color=style(number)["color"], markersize=4)
        right.plot(sizes, [point[2] for point in points], marker="o", label=name, **style(number))
    _finish(left, "codes N", f"test MSE [{unit}²], unweighted")
    _finish(right, "codes N", "multiply-accumulates a forecast [1e9]")
    for axes in (left, right):
        axes.set_xscale("log", base=2)
    right.set_yscale("log")
    left.legend(frameon=False)
    seeds = max(len(members) for members in groups.values())
    caption = f"Error (points: {seeds} seed{'s' * (seeds > 1)}) and cost by size of the codebook."
    return Part(pictures=[Picture(figure, caption)])


def _finish(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
