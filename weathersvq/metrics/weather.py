"""The step after output: how good a forecast was.

Two stages, kept apart. `statistics` gives means over the area for each init and lead, of things
that can be averaged further (squared error, not its root). `metrics` averages them over the inits
and only then takes roots and ratios. `verify` does both; for more inits than fit in memory,
concatenate the statistics of several forecasts along `init_time`, or their `pooled` ones, and call
`metrics`. Statistics are computed here, in a tenth of the time that the library `scores` takes, so
that a long forecast is not held up by them; the tests hold them against that library.

Area means are weighted with the exact areas of the grid's rows. The paper's MSE and MAE are plain
means over all grid cells and go by their own names, `mse_unweighted` and `mae_unweighted`.

Where the truth is missing (NaN), a cell counts neither in the mean nor in the weights. A forecast
that is NaN where the truth is known is an error, never a gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from weathersvq.errors import InputError
from weathersvq.grid import Grid

AREA = ("latitude", "longitude")

STATISTICS = (
    "squared_error",
    "absolute_error",
    "error",
    "squared_error_unweighted",
    "absolute_error_unweighted",
    # Shares of the area and of the cells where the truth is known: weights for further averages.
    "known_area",
    "known_cells",
)
# Which share an average over inits weighs each statistic by.
WEIGHED_BY = {"known_area": STATISTICS[:3], "known_cells": STATISTICS[3:5]}
# Maps whose statistics are computed at a time.
BLOCK_MAPS = 16
METRICS = ("rmse", "bias", "mae", "mse_unweighted", "mae_unweighted")


def verify(forecast: xr.Dataset, truth: xr.Dataset | None = None) -> xr.Dataset:
    """Scores of a forecast by lead.

    Args:
        forecast: dims (init_time, lead_time, [level,] latitude, longitude), short names.
        truth: canonical dataset, dims (time, [level,] latitude, longitude); where it has no such
            time the truth counts as missing. None: the forecast's own `t2m_truth` and so on.

    Returns:
        Each variable that has a truth, with dims (metric, lead_time[, level]), float64; metrics are
        rmse, bias (forecast minus truth), mae, mse_unweighted, mae_unweighted. NaN where nothing is
        known.

    Raises:
        InputError: no truth for any variable, another grid, NaN in the forecast.
    """
    return metrics(statistics(forecast, truth))


def statistics(forecast: xr.Dataset, truth: xr.Dataset | None = None) -> xr.Dataset:
    """Area means for each init and lead, to be averaged over any set of inits.

    Args and errors as `verify`.

    Returns:
        Each variable with dims (statistic, init_time, lead_time[, level]), float64.
    """
    valid_time = forecast["init_time"] + forecast["lead_time"]
    names = [str(n) for n in forecast.data_vars if not str(n).endswith(("_truth", "_error"))]
    result = {}
    for name in names:
        known = _truth_of(forecast, name, truth, valid_time)
        if known is None:
            continue
        result[name] = _area_means(forecast[name], known)
    if not result:
        raise InputError(
            f"nothing to verify: no truth for {', '.join(names)}; "
            "give a source that covers the forecast's valid times"
        )
    return xr.Dataset(result)


def metrics(statistics: xr.Dataset) -> xr.Dataset:
    """Scores by lead from `statistics`: means over the inits first, then roots and ratios.

    Returns:
        Each variable with dims (metric, lead_time[, level]).
    """
    result = {}
    for name, array in statistics.data_vars.items():
        by_area = _mean_over_inits(array, "known_area")
        by_cell = _mean_over_inits(array, "known_cells")
        parts: dict[str, xr.DataArray] = {
            "rmse": by_area["squared_error"] ** 0.5,
            "bias": by_area["error"],
            "mae": by_area["absolute_error"],
            "mse_unweighted": by_cell["squared_error_unweighted"],
            "mae_unweighted": by_cell["absolute_error_unweighted"],
        }
        result[name] = _stack(parts, "metric")
    return xr.Dataset(result)


def persistence(initial_state: xr.Dataset, lead_times: ArrayLike) -> xr.Dataset:
    """The forecast that nothing changes.

    Args:
        initial_state: canonical dataset whose times are the inits.
        lead_times: (n,) timedelta64.

    Returns:
        Forecast dataset, dims (init_time, lead_time, [level,] latitude, longitude); its fields are
        views of `initial_state`, not to be written to.
    """
    leads = np.asarray(lead_times).astype("timedelta64[ns]")
    forecast = initial_state.rename(time="init_time").expand_dims(lead_time=leads)
    return forecast.transpose("init_time", "lead_time", ...)


def pooled(statistics: xr.Dataset) -> xr.Dataset:
    """Statistics of many inits as if of one, so that a long series needs no more memory than a short.

    `metrics` gives the same of them, also of several concatenated along `init_time`: the shares
    that weigh an init are added up, everything else is averaged with them.

    Args:
        statistics: from `statistics` or from here, dims (statistic, init_time, lead_time[, level]).

    Returns:
        The same dims, `init_time` of length one (the first init).
    """
    result = {}
    for name, array in statistics.data_vars.items():
        parts: dict[str, xr.DataArray] = {}
        for weight, members in WEIGHED_BY.items():
            means = _mean_over_inits(array, weight)
            parts |= {member: means[member] for member in members}
            parts[weight] = array.sel(statistic=weight, drop=True).sum("init_time")
        result[name] = _stack({each: parts[each] for each in STATISTICS}, "statistic")
    first = statistics["init_time"].values[:1]
    dataset = xr.Dataset(result).expand_dims(init_time=first)
    return dataset.transpose("statistic", "init_time", "lead_time", ...)


def _truth_of(
    forecast: xr.Dataset, name: str, truth: xr.Dataset | None, valid_time: xr.DataArray
) -> xr.DataArray | None:
    """The truth on the forecast's own dims, or None where there is none for this variable."""
    if truth is None:
        return forecast.get(f"{name}_truth")
    return _at_valid_times(truth[name], valid_time, forecast) if name in truth else None


def _at_valid_times(
    array: xr.DataArray, valid_time: xr.DataArray, forecast: xr.Dataset
) -> xr.DataArray:
    """A field on (time, ...) looked up at (init_time, lead_time).

    Raises:
        InputError: the grids differ.
    """
    given, expected = Grid.of(array), Grid.of(forecast)
    if not given.matches(expected):
        raise InputError(
            f"{array.name} to verify against is on the grid {given.describe()}, the forecast on "
            f"{expected.describe()}; regrid one of them first"
        )
    found = array.reindex(time=np.unique(valid_time.values)).sel(time=valid_time)
    # Centres agree to within rounding; equal ones keep xarray from dropping rows in a join.
    found = found.assign_coords({name: forecast[name].values for name in AREA})
    if "level" in forecast.coords and "level" in found.dims:
        found = found.reindex(level=forecast["level"].values)
    return found.reset_coords(drop=True)


def _area_means(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Dims (statistic, init_time, lead_time[, level])."""
    forecast = forecast.transpose(..., *AREA)
    leading = forecast.dims[:-2]
    predicted, known = (
        array.to_numpy().reshape(-1, *forecast.shape[-2:])
        for array in (forecast, truth.transpose(*forecast.dims))
    )
    weights = Grid.of(forecast).area_weights()
    # Some maps at a time, which stay in the processor's cache from one sum to the next.
    blocks = [
        _block_means(
            predicted[first : first + BLOCK_MAPS],
            known[first : first + BLOCK_MAPS],
            weights,
            forecast.name,
        )
        for first in range(0, len(predicted), BLOCK_MAPS)
    ]
    values = np.concatenate(blocks, axis=1).reshape(-1, *forecast.shape[:-2])
    coordinates = {dim: forecast[dim].values for dim in leading}
    return xr.DataArray(
        values, {"statistic": list(STATISTICS), **coordinates}, ("statistic", *leading)
    )


def _block_means(
    forecast: NDArray[Any], truth: NDArray[Any], weights: NDArray[np.float64], name: object
) -> NDArray[np.float64]:
    """(len(STATISTICS), n) area means of n maps.

    Args:
        forecast, truth: (n, H, W).
        weights: (H,) of the rows.
        name: of the variable, for messages.
    """
    equal = np.ones_like(weights)
    known = ~np.isnan(truth)
    cells = known.sum(axis=2)
    error = np.subtract(forecast, truth, dtype=np.float64)
    if not known.all():
        error[~known] = 0.0
    lost = int(np.isnan(error).sum())
    if lost:
        raise InputError(
            f"the forecast of {name} has missing values in {lost} cells where "
            "the truth is known; a model that gives NaN can't be verified"
        )
    squared = np.einsum("nhw,nhw->nh", error, error)
    signed = error.sum(axis=2)
    absolute = np.abs(error, out=error).sum(axis=2)
    means = {
        "squared_error": _mean_of_rows(squared, cells, weights),
        "absolute_error": _mean_of_rows(absolute, cells, weights),
        "error": _mean_of_rows(signed, cells, weights),
        "squared_error_unweighted": _mean_of_rows(squared, cells, equal),
        "absolute_error_unweighted": _mean_of_rows(absolute, cells, equal),
        "known_area": cells @ weights / (weights.sum() * truth.shape[2]),
        "known_cells": known.mean(axis=(1, 2)),
    }
    return np.stack([means[each] for each in STATISTICS])


def _mean_of_rows(
    sums: NDArray[np.float64], cells: NDArray[np.integer[Any]], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n,) means from the rows' sums (n, H) over as many cells (n, H); NaN where there is none."""
    with np.errstate(invalid="ignore"):
        return (sums @ weights) / (cells @ weights)


def _mean_over_inits(array: xr.DataArray, weight: str) -> dict[str, xr.DataArray]:
    """Name of a statistic -> its mean over the inits, each counting as much as is known of it."""
    weights = array.sel(statistic=weight, drop=True)
    # All statistics at once: where one is NaN, its own weights do not count.
    means = array.weighted(weights).mean("init_time")
    return {str(name): means.sel(statistic=name, drop=True) for name in array["statistic"].values}


def _stack(parts: dict[str, xr.DataArray], dim: str) -> xr.DataArray:
    names: Sequence[str] = list(parts)
    stacked = xr.concat(list(parts.values()), dim=dim, coords="minimal", compat="override")
    return stacked.assign_coords({dim: names})
