"""Verification, statistics and metrics: sums over regions that add up exactly, and scores of them.

A sum is kept for each initial time, lead, channel and region; roots, ratios and correlations are
taken of totals alone. So the sums of parts, seasons, hours or machines may be added in any way, and
give the scores of the whole.

Cells where the truth is missing (NaN), now or at the initial time, count nowhere. A forecast that is NaN where the truth is known
is an error, never a gap.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from weathersvq.errors import InputError
from weathersvq.verification.regions import Regions

Float = NDArray[np.float64]

AREA_SUMS = ("squared_error", "absolute_error", "error", "area")
ANOMALY_SUMS = ("anomaly_product", "forecast_anomaly_squared", "truth_anomaly_squared")
CELL_SUMS = ("squared_error_unweighted", "absolute_error_unweighted", "cells")
SUMS = (*AREA_SUMS, *ANOMALY_SUMS, *CELL_SUMS)

# Forecasts that every other one is measured against.
PERSISTENCE, CLIMATOLOGY = "persistence", "climatology"
BASELINES = (PERSISTENCE, CLIMATOLOGY)

METRICS = (
    "rmse",
    "mae",
    "bias",
    "acc",
    "skill_persistence",
    "skill_climatology",
    "mse_unweighted",
    "mae_unweighted",
)
# Maps whose sums are computed at a time, so that they stay in the processor's cache.
BLOCK_MAPS = 16


def region_sums(
    forecast: NDArray[np.float32],
    truth: NDArray[np.float32],
    normal: NDArray[np.float32] | None,
    regions: Regions,
    name: str,
) -> Float:
    """Sums of n maps over each region.

    Args:
        forecast, truth: (n, H, W) physical units.
        normal: (n, H, W) the climatology at the same times, or None.
        regions: of the grid; area weights are shares of the whole grid's area.
        name: of the forecast and the variable, for messages.

    Returns:
        (len(SUMS), n, R); sums of anomalies are zero where there is no climatology.

    Raises:
        InputError: NaN in the forecast where the truth is known.
    """
    count = len(truth)
    total = np.empty((len(SUMS), count, len(regions.names)))
    for start in range(0, count, BLOCK_MAPS):
        block = slice(start, start + BLOCK_MAPS)
        usual = None if normal is None else normal[block]
        total[:, block] = _block_sums(forecast[block], truth[block], usual, regions, name)
    return total


def _block_sums(
    forecast: NDArray[np.float32],
    truth: NDArray[np.float32],
    normal: NDArray[np.float32] | None,
    regions: Regions,
    name: str,
) -> Float:
    maps = len(truth)
    known = ~np.isnan(truth).reshape(maps, -1)
    error = np.subtract(forecast, truth, dtype=np.float64).reshape(maps, -1)
    error[~known] = 0.0
    lost = int(np.isnan(error).sum())
    if lost:
        raise InputError(
            f"the forecast {name} has missing values in {lost} cells where the truth is known; "
            "a model that gives NaN can't be verified"
        )
    squared, absolute = error**2, np.abs(error)
    sums = dict.fromkeys(SUMS, np.zeros((maps, len(regions.names))))
    if known.all():
        sums["area"] = np.broadcast_to(regions.area.sum(axis=0), sums["area"].shape)
        sums["cells"] = np.broadcast_to(regions.cells.sum(axis=0), sums["cells"].shape)
    else:
        sums["area"] = known @ regions.area
        sums["cells"] = known @ regions.cells
    sums["squared_error"] = squared @ regions.area
    sums["absolute_error"] = absolute @ regions.area
    sums["error"] = error @ regions.area
    sums["squared_error_unweighted"] = squared @ regions.cells
    sums["absolute_error_unweighted"] = absolute @ regions.cells
    if normal is not None:
        normal = normal.reshape(maps, -1)
        there = known & ~np.isnan(normal)
        predicted, true = (
            np.where(there, np.subtract(each.reshape(maps, -1), normal, dtype=np.float64), 0.0)
            for each in (forecast, truth)
        )
        sums["anomaly_product"] = (predicted * true) @ regions.area
        sums["forecast_anomaly_squared"] = predicted**2 @ regions.area
        sums["truth_anomaly_squared"] = true**2 @ regions.area
    return np.stack([sums[each] for each in SUMS])


def metrics(sums: xr.DataArray) -> xr.DataArray:
    """Scores of total sums.

    Skill is 1 - MSE / MSE of the baseline, area-weighted: 1 perfect, 0 as good as the baseline,
    below it worse. The anomaly correlation is that of the pooled anomalies, not centred.

    Args:
        sums: dims (forecast, sum, ...), already added over all that is to be pooled.

    Returns:
        Dims (metric, forecast, ...); NaN where nothing is known, or where there is no such baseline.
    """
    one = {name: sums.sel(sum=name, drop=True) for name in SUMS}
    area = one["area"].where(one["area"] > 0)
    cells = one["cells"].where(one["cells"] > 0)
    mse = one["squared_error"] / area
    scale = one["forecast_anomaly_squared"] * one["truth_anomaly_squared"]
    parts = {
        "rmse": mse**0.5,
        "mae": one["absolute_error"] / area,
        "bias": one["error"] / area,
        # Where forecast or truth is the climatology itself there is nothing to correlate.
        "acc": one["anomaly_product"] / scale.where(scale > 0) ** 0.5,
        **{f"skill_{each}": _skill(mse, each) for each in BASELINES},
        "mse_unweighted": one["squared_error_unweighted"] / cells,
        "mae_unweighted": one["absolute_error_unweighted"] / cells,
    }
    names = [name for name in METRICS if name in parts]
    stacked = xr.concat([parts[name] for name in names], dim="metric", coords="minimal")
    return stacked.assign_coords(metric=names).transpose("metric", "forecast", ...)


def _skill(mse: xr.DataArray, baseline: str) -> xr.DataArray:
    if baseline not in mse["forecast"].values:
        return mse * np.nan
    reference = mse.sel(forecast=baseline, drop=True)
    return 1 - mse / reference.where(reference > 0)


def metric_units(metric: str, units: str) -> str:
    """Units of a score of a variable: those of the variable, squared, or none."""
    if metric == "acc" or metric.startswith("skill"):
        return "1"
    if metric.startswith("mse"):
        return "1" if units == "1" else f"({units})2" if " " in units else f"{units}2"
    return units
