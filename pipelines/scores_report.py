"""Shared by the training pipelines: scores as Markdown tables and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import xarray as xr
from matplotlib.axes import Axes

LABELS = {
    "svq": "SimVP+SVQ",
    "simvp": "SimVP",
    "persistence": "persistence",
    "climatology": "climatology",
}


def lead_hours(scores: xr.DataArray) -> list[float]:
    return [float(h) for h in scores["lead_time"].dt.total_seconds() / 3600]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def lead_rows(scores: xr.DataArray) -> list[str]:
    """One row a lead, one column a forecast.

    Args:
        scores: dims (forecast, lead_time), or (seed, forecast, lead_time): then mean and range.
    """
    kinds = [str(kind) for kind in scores["forecast"].values]
    rows = []
    for position, hours in enumerate(lead_hours(scores)):
        values = (scores.sel(forecast=kind).isel(lead_time=position) for kind in kinds)
        rows.append([f"{hours:g}", *map(with_range, values)])
    return markdown_table(["lead [h]", *(LABELS[kind] for kind in kinds)], rows)


def with_range(values: xr.DataArray) -> str:
    """Mean over seeds with its range, or the one number there is."""
    lowest, highest = float(values.min()), float(values.max())
    mean = f"{float(values.mean()):.4g}"
    return mean if lowest == highest else f"{mean} ({lowest:.4g} to {highest:.4g})"


def draw_by_lead(axes: Axes, scores: xr.DataArray, label: Mapping[str, str] = LABELS) -> None:
    """Curves by lead, trained models solid and baselines dashed; a band where there are seeds."""
    hours = lead_hours(scores)
    for kind in map(str, scores["forecast"].values):
        one = scores.sel(forecast=kind)
        style = "-" if kind in ("svq", "simvp") else "--"
        mean = one.mean("seed") if "seed" in one.dims else one
        (line,) = axes.plot(hours, mean, linestyle=style, label=label[kind])
        if "seed" in one.dims:
            axes.fill_between(
                hours, one.min("seed"), one.max("seed"), color=line.get_color(), alpha=0.2
            )
    axes.set_xlabel("lead [h]")
    axes.set_ylim(bottom=0)
