"""The step after output: how good a forecast was.

Two stages, kept apart. `statistics` gives means over the area for each init and lead, of things
that can be averaged further (squared error, not its root), with the `scores` library. `metrics`
averages them over the inits and only then takes roots and ratios. `verify` does both; for more
inits than fit in memory, concatenate the statistics of several forecasts along `init_time` and
call `metrics`.

Area means are weighted with the exact areas of the grid's rows. The paper's MSE and MAE are plain
means over all grid cells and go by their own names, `mse_unweighted` and `mae_unweighted`.

Where the truth is missing (NaN), a cell counts neither in the mean nor in the weights. A forecast
that is NaN where the truth is known is an error, never a gap.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from weathersvq.errors import InputError
from weathersvq.grid import Grid

AREA = ("latitude", "longitude")

STATISTICS = (
    "squared_error",
    "absolute_error",
    "error",
    "squared_error_unweighted",
    "absolute_error_unweighted",
    "anomaly_product",
    "forecast_anomaly_squared",
    "truth_anomaly_squared",
    # Shares of the area and of the cells where the truth is known: weights for further averages.
    "known_area",
    "known_cells",
)
# Which share an average over inits weighs each statistic by.
WEIGHED_BY = {"known_area": (*STATISTICS[:3], *STATISTICS[5:8]), "known_cells": STATISTICS[3:5]}
METRICS = ("rmse", "bias", "mae", "acc", "mse_unweighted", "mae_unweighted")


def verify(
    forecast: xr.Dataset,
    truth: xr.Dataset | None = None,
    *,
    climatology: xr.Dataset | None = None,
) -> xr.Dataset:
    """Scores of a forecast by lead.

    Args:
        forecast: dims (init_time, lead_time, [level,] latitude, longitude), short names.
        truth: canonical dataset, dims (time, [level,] latitude, longitude); where it has no such
            time the truth counts as missing. None: the forecast's own `t2m_truth` and so on.
        climatology: what is normal, for the anomaly correlation: a canonical dataset that holds
            every valid time (`data.climatology.evaluate_climatology` makes one), or one with dims
            (dayofyear, hour, [level,] latitude, longitude) as WeatherBench 2 has it. None: no ACC.

    Returns:
        Each variable that has a truth, with dims (metric, lead_time[, level]), float64; metrics are
        rmse, bias (forecast minus truth), mae, acc, mse_unweighted, mae_unweighted. NaN where
        nothing is known.

    Raises:
        InputError: no truth for any variable, another grid, NaN in the forecast.
    """
    return metrics(statistics(forecast, truth, climatology=climatology))


def statistics(
    forecast: xr.Dataset,
    truth: xr.Dataset | None = None,
    *,
    climatology: xr.Dataset | None = None,
) -> xr.Dataset:
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
        normal = None
        if climatology is not None and name in climatology:
            normal = _at_valid_times(climatology[name], valid_time, forecast)
        result[name] = _area_means(forecast[name], known, normal)
    if not result:
        raise InputError(
            f"nothing to verify: no truth for {', '.join(names)}; "
            "give a source that covers the forecast's valid times"
        )
    return xr.Dataset(result)


def metrics(statistics: xr.Dataset) -> xr.Dataset:
    """Scores by lead from `statistics`: means over the inits first, then roots and ratios.

    The anomaly correlation is that of the pooled anomalies, not centred: the mean product of
    forecast and true anomaly over the root of the product of their mean squares.

    Returns:
        Each variable with dims (metric, lead_time[, level]).
    """
    result = {}
    for name, array in statistics.data_vars.items():
        by_area = _mean_over_inits(array, "known_area")
        by_cell = _mean_over_inits(array, "known_cells")
        scale = by_area["forecast_anomaly_squared"] * by_area["truth_anomaly_squared"]
        parts: dict[str, xr.DataArray] = {
            "rmse": by_area["squared_error"] ** 0.5,
            "bias": by_area["error"],
            "mae": by_area["absolute_error"],
            # Where forecast or truth is the climatology itself there is nothing to correlate.
            "acc": by_area["anomaly_product"] / scale.where(scale > 0) ** 0.5,
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


def _row_weights(array: xr.DataArray) -> xr.DataArray:
    """(latitude,) exact relative areas of the rows."""
    return xr.DataArray(Grid.of(array).area_weights(), {"latitude": array["latitude"].values})


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
    """A field on (time, ...) or (dayofyear, hour, ...) looked up at (init_time, lead_time).

    Raises:
        InputError: the grids differ.
    """
    given, expected = Grid.of(array), Grid.of(forecast)
    if not given.matches(expected):
        raise InputError(
            f"{array.name} to verify against is on the grid {given.describe()}, the forecast on "
            f"{expected.describe()}; regrid one of them first"
        )
    if "time" in array.dims:
        found = array.reindex(time=np.unique(valid_time.values)).sel(time=valid_time)
    else:
        found = array.sel(dayofyear=valid_time.dt.dayofyear, hour=valid_time.dt.hour)
    # Centres agree to within rounding; equal ones keep xarray from dropping rows in a join.
    found = found.assign_coords({name: forecast[name].values for name in AREA})
    if "level" in forecast.coords and "level" in found.dims:
        found = found.reindex(level=forecast["level"].values)
    return found.reset_coords(drop=True)


def _area_means(
    forecast: xr.DataArray, truth: xr.DataArray, normal: xr.DataArray | None
) -> xr.DataArray:
    """Dims (statistic, init_time, lead_time[, level])."""
    # Here, as it takes half a second, which a forecast whose truth is not known does without.
    from scores.continuous import additive_bias, mae, mse
    from scores.processing import aggregate

    known = truth.notnull()
    lost = forecast.isnull() & known
    if bool(lost.any()):
        raise InputError(
            f"the forecast of {forecast.name} has missing values in {int(lost.sum())} cells where "
            "the truth is known; a model that gives NaN can't be verified"
        )
    truth = truth.astype(np.float64)
    forecast = forecast.astype(np.float64)
    weights = _row_weights(forecast)
    area = list(AREA)

    def weighted(array: xr.DataArray) -> xr.DataArray:
        return aggregate(array, reduce_dims=area, weights=weights)

    parts = {
        "squared_error": mse(forecast, truth, reduce_dims=area, weights=weights),
        "absolute_error": mae(forecast, truth, reduce_dims=area, weights=weights),
        "error": additive_bias(forecast, truth, reduce_dims=area, weights=weights),
        "squared_error_unweighted": mse(forecast, truth, reduce_dims=area),
        "absolute_error_unweighted": mae(forecast, truth, reduce_dims=area),
        "known_area": weighted(known.astype(np.float64)),
        "known_cells": known.mean(area),
    }
    if normal is None:
        nothing = xr.full_like(parts["error"], np.nan)
        products = dict.fromkeys(STATISTICS[5:8], nothing)
    else:
        predicted, true = (forecast - normal).where(known), truth - normal
        products = {
            "anomaly_product": weighted(predicted * true),
            "forecast_anomaly_squared": weighted(predicted**2),
            "truth_anomaly_squared": weighted(true**2),
        }
    return _stack({name: {**parts, **products}[name] for name in STATISTICS}, "statistic")


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
