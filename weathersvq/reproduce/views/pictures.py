"""Pictures of errors by place and lead, and of forecasts beside the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cartopy.crs as ccrs
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from weathersvq.checkpoint import load_checkpoint
from weathersvq.config import Experiment
from weathersvq.grid import Grid, PixelGrid
from weathersvq.maps import add_coastlines, unrolled
from weathersvq.reproduce.results import Finished
from weathersvq.reproduce.runner import MAPS_FILE
from weathersvq.reproduce.views.base import Part, Picture, Shown, label, of_first_seed, table
from weathersvq.series import open_series
from weathersvq.training.runs import MODEL_FILE

Values = NDArray[np.floating]
# Leads side by side in a picture.
COLUMNS = 4
# Rows of latitude that are told apart, degrees.
BANDS = {"90 S - 60 S": (-90, -60), "60 S - 20 S": (-60, -20), "20 S - 20 N": (-20, 20),
         "20 N - 60 N": (20, 60), "60 N - 90 N": (60, 90)}  # fmt: skip


def error_maps(shown: Shown) -> Part:
    """Root-mean-square errors by cell and lead of the first experiments, and their difference."""
    runs = of_first_seed(shown.finished)[:2]
    grid = load_checkpoint(runs[0].folder / MODEL_FILE, weights=False).grid
    channel, unit = runs[0].result["channels"][0], runs[0].result["units"][0]
    squares = [_mean_squares(shown.finished, run) for run in runs]
    leads = _chosen(len(squares[0]))
    names = [_name(run) for run in runs]
    rows = {
        f"RMSE of\n{name}": np.sqrt(each[leads]) for name, each in zip(names, squares, strict=True)
    }
    high = float(max(values.max() for values in rows.values()))
    scales = {row: (0.0, high, "viridis", f"RMSE [{unit}]") for row in rows}
    if len(runs) == 2:
        difference = np.sqrt(squares[1][leads]) - np.sqrt(squares[0][leads])
        reach = float(np.abs(difference).max()) or 1.0
        row = f"{names[1]}\nminus {names[0]}"
        rows[row] = difference
        scales[row] = (-reach, reach, "RdBu_r", f"difference of RMSE [{unit}]")
    titles = _lead_titles(runs[0], leads)
    seeds = len({each.run.seed for each in shown.finished})
    figure = _grid_of_maps(rows, titles, scales, grid)
    caption = (
        f"Errors of {channel} by cell over all test windows, {seeds} seed{'s' * (seeds > 1)}; blue: "
        f"{names[-1]} has the smaller error."
    )
    lines = _by_band(squares, names, grid, unit) if isinstance(grid, Grid) else []
    return Part(lines, [Picture(figure, caption)])


def _mean_squares(finished: Sequence[Finished], like: Finished) -> Values:
    """(T, H, W) of the first channel, averaged over seeds."""
    parts = []
    for each in finished:
        if each.key == like.key:
            with np.load(each.folder / MAPS_FILE) as file:
                parts.append(file["model"][:, 0])
    mean: Values = np.mean(parts, axis=0)
    return mean


def _by_band(squares: Sequence[Values], names: Sequence[str], grid: Grid, unit: str) -> list[str]:
    """RMSE by band of latitude, all leads, weighted by area."""
    rows = []
    weights = np.asarray(grid.area_weights())
    for band, (south, north) in BANDS.items():
        inside = (grid.latitude >= south) & (grid.latitude < north)
        if not inside.any():
            continue
        area = weights[inside][:, None]
        values = [float(np.sqrt((each[:, inside] * area).mean() / area.mean())) for each in squares]
        row = [band, *(f"{value:.4g}" for value in values)]
        rows.append([*row, *([f"{values[1] / values[0] - 1:+.1%}"] if len(values) == 2 else [])])
    header = ["latitude", *(f"RMSE of {name} [{unit}]" for name in names)]
    return table([*header, *(["difference"] if len(names) == 2 else [])], rows)


@torch.inference_mode()
def strips(shown: Shown) -> Part:
    """Truth, forecast and error of one test window by lead."""
    run = shown.finished[0]
    checkpoint = load_checkpoint(run.folder / MODEL_FILE)
    series = open_series(run.run.experiment.data)
    batches = series.batches(checkpoint.normalization, "test", 1)
    # The middle of the test period: no corner case of its beginning.
    batch = next(b for n, b in enumerate(batches) if n == len(batches) // 2)
    mean, std = checkpoint.normalization.scale()
    forecast = checkpoint.build()(batch.inputs)
    predicted, truth = ((each.numpy() * std + mean)[0, :, 0] for each in (forecast, batch.targets))
    leads = _chosen(len(truth))
    channel, unit = run.result["channels"][0], run.result["units"][0]
    low, high = float(truth.min()), float(truth.max())
    reach = float(np.abs(predicted - truth).max()) or 1.0
    look = "plasma" if isinstance(checkpoint.grid, Grid) else "gray"
    rows = {
        "truth": truth[leads],
        "forecast": predicted[leads],
        "error": (predicted - truth)[leads],
    }
    values = (low, high, look, f"{channel} [{unit}]")
    scales = {
        "truth": values, "forecast": values,
        "error": (-reach, reach, "RdBu_r", f"forecast minus truth [{unit}]"),
    }  # fmt: skip
    figure = _grid_of_maps(rows, _lead_titles(run, leads), scales, checkpoint.grid)
    caption = f"One window from the middle of the test split, {_name(run)}, seed {run.run.seed}."
    return Part(pictures=[Picture(figure, caption)])


def _name(run: Finished) -> str:
    return label(run.run.values) or run.run.experiment.model.kind


def _chosen(leads: int) -> list[int]:
    """Some leads, evenly, the first and the last among them."""
    return sorted({round(float(n)) for n in np.linspace(0, leads - 1, min(COLUMNS, leads))})


def _lead_titles(run: Finished, leads: Sequence[int]) -> list[str]:
    experiment: Experiment = run.run.experiment
    number, _, unit = experiment.data.step.partition(" ")
    if unit:
        return [f"{unit} {run.result['targets'][lead]}" for lead in leads]
    amount, letter = int(number[:-1]), number[-1]
    return [f"+{run.result['targets'][lead] * amount} {letter}" for lead in leads]


def _grid_of_maps(
    rows: Mapping[str, Values],
    titles: Sequence[str],
    scales: Mapping[str, tuple[float, float, str, str]],
    grid: Grid | PixelGrid,
) -> Figure:
    """A row a quantity, a column a lead; each row with its colour bar.

    Args:
        rows: title: (leads, H, W).
        titles: of the leads.
        scales: title: lowest and highest value, colour map and label of the bar.
        grid: of the maps; coastlines are drawn where it lies on the globe.
    """
    on_globe = isinstance(grid, Grid)
    height, width = grid.shape
    wide = 2.6 if width >= height else 2.6 * width / height
    tall = wide * height / width
    figure = Figure(
        figsize=(wide * len(titles) + 1.6, (tall + 0.15) * len(rows) + 0.35),
        layout="constrained", dpi=120,
    )  # fmt: skip
    # Fields of the whole globe are drawn with the Greenwich meridian in the middle.
    projection: dict[str, Any] = {"projection": ccrs.PlateCarree()} if on_globe else {}
    axes = figure.subplots(len(rows), len(titles), squeeze=False, subplot_kw=projection)
    for row, (title, values) in enumerate(rows.items()):
        low, high, colours, name = scales[title]
        for column, one in enumerate(values):
            panel = axes[row, column]
            style: dict[str, Any] = {"vmin": low, "vmax": high, "cmap": colours}
            if isinstance(grid, Grid):
                edges, cells = grid.longitude_edges, one
                if grid.wraps:
                    # From the date line to the date line.
                    edges, cells = unrolled(one, grid, -180.0)
                image = panel.pcolormesh(
                    edges, grid.latitude_edges, cells, transform=ccrs.PlateCarree(), **style
                )
                add_coastlines(panel)
            else:
                image = panel.imshow(one, **style)
                panel.set_xticks([])
                panel.set_yticks([])
            if row == 0:
                panel.set_title(titles[column], fontsize=9)
            if column == 0:
                panel.text(
                    -0.06, 0.5, title, transform=panel.transAxes, rotation=90,
                    ha="center", va="center", fontsize=8,
                )  # fmt: skip
        bar = figure.colorbar(image, ax=axes[row, :].tolist(), shrink=0.9, pad=0.01)
        bar.set_label(name, fontsize=8)
        bar.ax.tick_params(labelsize=7)
    return figure
