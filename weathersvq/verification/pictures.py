"""Verification, pictures: curves by lead, hour and wavenumber. Maps are drawn by `maps`."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from weathersvq.maps import pretty_units
from weathersvq.variables import Channel
from weathersvq.verification.evaluation import TRUTH
from weathersvq.verification.results import Results
from weathersvq.verification.sums import BASELINES, metric_units

DOTS_PER_INCH = 80
MOST_TICKS = 12

# Told apart by the colour-blind, too (Okabe and Ito, 2008); baselines and the truth are grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = {"persistence": "--", "climatology": ":", TRUTH: "-"}
GREYS = {"persistence": "0.35", "climatology": "0.35", TRUTH: "0.1"}

TITLES = {
    "rmse": "RMSE",
    "mae": "MAE",
    "bias": "bias",
    "acc": "ACC",
    "skill_persistence": "skill against persistence",
    "skill_climatology": "skill against climatology",
    "mse_unweighted": "MSE unweighted",
    "mae_unweighted": "MAE unweighted",
}


def hours(array: xr.DataArray | xr.Dataset) -> list[float]:
    """Leads in hours."""
    return [float(h) for h in array["lead_time"].values / np.timedelta64(1, "h")]


def curves_by_lead(results: Results, channel: Channel, metric: str = "rmse") -> Figure:
    """One score by lead over the whole grid, with intervals as bands where there are any."""
    figure, axes = _frame()
    scores = _whole(results.by_lead, results, channel, metric)
    ends = results.ends and [_whole(end, results, channel, metric) for end in results.ends]
    for name in results.plan.forecasts:
        one = scores.sel(forecast=name)
        if not np.isfinite(one).any():
            continue
        _line(axes, hours(one), one.values, name, results)
        if ends is not None:
            low, high = (end.sel(forecast=name).values for end in ends)
            axes.fill_between(hours(one), low, high, color=_colour(name, results), alpha=0.2, lw=0)
    units = metric_units(metric, channel.variable.units)
    _lead_axis(axes, hours(scores))
    axes.set_ylabel(_label(TITLES[metric], units))
    if metric == "rmse":
        axes.set_ylim(bottom=0)
    return _finished(figure, axes, channel)


def curves_by_hour(results: Results, channel: Channel) -> Figure:
    """RMSE by hour of the valid time, over all leads and the whole grid."""
    figure, axes = _frame()
    scores = results.scores(("hour",)).sel(channel=str(channel), metric="rmse")
    for name in results.plan.forecasts:
        _line(axes, scores["hour"].values, scores.sel(forecast=name).values, name, results)
    axes.set_xlabel("hour of the valid time [UTC]")
    axes.set_ylabel(_label("RMSE", channel.variable.units))
    axes.set_ylim(bottom=0)
    axes.set_xticks(range(0, 24, 3))
    return _finished(figure, axes, channel)


def spectrum(results: Results, channel: Channel) -> Figure:
    """Power by zonal wavenumber of truth and forecasts at the last lead."""
    assert results.spectra is not None
    figure, axes = _frame()
    power = results.spectra.sel(channel=str(channel)).isel(lead_time=-1, wavenumber=slice(1, None))
    for name in [TRUTH, *(each.name for each in results.plan.contestants)]:
        _line(axes, power["wavenumber"].values, power.sel(forecast=name).values, name, results)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("zonal wavenumber")
    axes.set_ylabel("power" if channel.variable.units == "1" else f"power [{_squared(channel)}]")
    return _finished(figure, axes, channel, f"lead {hours(power.expand_dims('lead_time'))[0]:g} h")


def spectrum_ratio(results: Results, channel: Channel) -> Figure:
    """Power of the forecasts over that of the truth, at the first and the last lead."""
    assert results.spectra is not None
    figure, axes = _frame()
    power = results.spectra.sel(channel=str(channel)).isel(wavenumber=slice(1, None))
    truth = power.sel(forecast=TRUTH)
    ratio = power / truth.where(truth > 0)
    for each in results.plan.contestants:
        for place, style in ((0, ":"), (-1, "-")):
            one = ratio.sel(forecast=each.name).isel(lead_time=place)
            lead = hours(one.expand_dims("lead_time"))[0]
            axes.plot(
                one["wavenumber"], one, style, color=_colour(each.name, results),
                label=f"{each.name}, {lead:g} h",
            )  # fmt: skip
    axes.axhline(1.0, color="0.1", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("zonal wavenumber")
    axes.set_ylabel("power over the truth's")
    axes.set_ylim(0, max(1.5, min(3.0, 1.05 * float(np.nanmax(ratio)))))
    return _finished(figure, axes, channel)


def growth(results: Results) -> Figure:
    """RMSE of the first contestant over that of the climatology, a line for each variable."""
    figure, axes = _frame()
    share = results.error_growth()["share"].sel(forecast=results.plan.contestants[0].name)
    for number, channel in enumerate(results.plan.channels):
        axes.plot(
            hours(share), share.sel(channel=str(channel)), label=str(channel),
            color=COLOURS[number % len(COLOURS)], linestyle=("-", "--", ":")[number // 6 % 3],
        )  # fmt: skip
    axes.axhline(1.0, color="0.1", linewidth=0.8)
    _lead_axis(axes, hours(share))
    axes.set_ylabel("RMSE over that of climatology")
    axes.set_ylim(bottom=0)
    return _finished(figure, axes, None)


def _lead_axis(axes: Axes, leads: list[float]) -> None:
    """Ticks at parts or multiples of a day, no more than fit."""
    step = next(s for s in (1, 2, 3, 6, 12, 24, 48, 120, 240, 8760) if leads[-1] / s <= MOST_TICKS)
    axes.set_xticks(np.arange(step * np.ceil(leads[0] / step), leads[-1] + 1e-6, step))
    axes.set_xlabel("lead [h]")


def _frame() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.6, 3.4), layout="constrained", dpi=DOTS_PER_INCH)
    return figure, figure.add_subplot()


def _finished(figure: Figure, axes: Axes, channel: Channel | None, more: str = "") -> Figure:
    if channel is not None:
        at = "" if channel.level is None else f" at {channel.level} hPa"
        title = f"{channel.variable.long_name}{at}"
        axes.set_title(f"{title}, {more}" if more else title, fontsize="medium")
    axes.grid(linewidth=0.4, alpha=0.5)
    axes.legend(fontsize="small", framealpha=0.8)
    return figure


def _line(axes: Axes, across: ArrayLike, values: ArrayLike, name: str, results: Results) -> None:
    # A single lead or hour would leave a line without length.
    marker = "o" if np.size(across) == 1 else ""
    axes.plot(
        across, values, DASHES.get(name, "-"), color=_colour(name, results), label=name,
        marker=marker,
    )  # fmt: skip


def _colour(name: str, results: Results) -> str:
    if name in (*BASELINES, TRUTH):
        return GREYS[name]
    names = [each.name for each in results.plan.contestants]
    return COLOURS[names.index(name) % len(COLOURS)]


def _label(what: str, units: str) -> str:
    return what if units == "1" else f"{what} [{pretty_units(units)}]"


def _squared(channel: Channel) -> str:
    units = pretty_units(channel.variable.units)
    return f"({units})²" if " " in units else f"{units}²"


def _whole(scores: xr.DataArray, results: Results, channel: Channel, metric: str) -> xr.DataArray:
    return scores.sel(channel=str(channel), metric=metric, region=results.plan.regions.names[0])
