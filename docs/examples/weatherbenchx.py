"""A forecast of weathersvq, read and scored by three programs that know nothing of it.

In weathersvq's environment, a forecast, its truth as an analysis, and our own scores:

    weathersvq forecast --init 2017-01-01/2017-01-05/6h --no-maps --out forecast.zarr
    python docs/examples/weatherbenchx.py ours forecast.zarr ours.zarr

In another one (its packages must not share ours: `pip install -e weatherbenchX xskillscore scores`
beside a checkout of google-research/weatherbenchX):

    python docs/examples/weatherbenchx.py theirs forecast.zarr ours.zarr

`theirs` takes the forecast as it lies on disk, without renaming: WeatherBench-X by its own loader,
`scores`, `xskillscore`, and plain xarray with Dask. It prints how far each RMSE by lead is from ours,
relative, and ends with exit code 1 where that is more than 1e-6.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

# What float32 fields allow, whoever adds them up.
TOLERANCE = 1e-6

TRUTH = "_truth"
AREA = ("latitude", "longitude")


def write_ours(forecast: Path, out: Path) -> None:
    """Our RMSE by lead of every variable, under its WeatherBench name; area-weighted."""
    from weathersvq.metrics.weather import verify
    from weathersvq.output import read_forecast
    from weathersvq.variables import variable

    scores = verify(read_forecast(forecast)).sel(metric="rmse", drop=True)
    names = {name: variable(str(name)).weatherbench2 for name in scores.data_vars}
    scores.rename(names).to_zarr(out, mode="w", zarr_format=2, consolidated=True)


def by_weatherbenchx(forecast: Path, names: list[str]) -> xr.Dataset:
    """WeatherBench-X, forecast and truth by its own loader."""
    from weatherbenchX import aggregation, weighting
    from weatherbenchX.data_loaders.xarray_loaders import PredictionsFromXarray
    from weatherbenchX.metrics.deterministic import RMSE

    predictions = PredictionsFromXarray(path=str(forecast), variables=names)
    targets = PredictionsFromXarray(
        path=str(forecast),
        variables=names,
        # The truth lies beside each forecast; another archive would come by TargetsFromXarray.
        preprocessing_fn=lambda ds: ds[[name + TRUTH for name in names]],
        rename_variables={name + TRUTH: name for name in names},
    )
    with xr.open_zarr(forecast) as opened:
        when = opened["time"].values, opened["prediction_timedelta"].values
    aggregator = aggregation.Aggregator(
        reduce_dims=("init_time", *AREA), weigh_by=[weighting.GridAreaWeighting()]
    )
    values = aggregation.compute_metric_values_for_single_chunk(
        {"rmse": RMSE()}, aggregator, predictions.load_chunk(*when), targets.load_chunk(*when)
    )
    return values.rename({f"rmse.{name}": name for name in names})


def opened_pair(forecast: Path, names: list[str]) -> tuple[xr.Dataset, xr.Dataset, xr.DataArray]:
    """The forecast, its truth under the same names, both lazy, and the weights of rows."""
    # Where no warning is wanted, none comes: times and leads are decoded as they are meant.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened = xr.open_zarr(forecast, chunks={"time": 4})
    truth = opened[[name + TRUTH for name in names]].rename({name + TRUTH: name for name in names})
    latitude = np.deg2rad(opened["latitude"].values)
    middle = (latitude[:-1] + latitude[1:]) / 2
    edges = np.sin(np.concatenate([[-np.pi / 2], middle, [np.pi / 2]]))
    weights = xr.DataArray(np.diff(edges), {"latitude": opened["latitude"]}, ("latitude",))
    return opened[names].astype(np.float64), truth.astype(np.float64), weights


def by_scores(forecast: Path, names: list[str]) -> xr.Dataset:
    from scores.continuous import mse

    predicted, true, weights = opened_pair(forecast, names)
    kept = mse(predicted, true, reduce_dims=["time", *AREA], weights=weights)
    return np.sqrt(kept).rename(prediction_timedelta="lead_time").compute()


def by_xskillscore(forecast: Path, names: list[str]) -> xr.Dataset:
    import xskillscore

    predicted, true, weights = opened_pair(forecast, names)
    other = {dim: 0 for dim in predicted[names[0]].dims if dim not in ("time", *AREA)}
    full = weights.broadcast_like(predicted[names[0]].isel(other, drop=True))
    # It averages within one chunk only; forecasts have one an init.
    predicted, true = predicted.chunk(time=-1), true.chunk(time=-1)
    found = xskillscore.rmse(predicted, true, dim=["time", *AREA], weights=full)
    return found.rename(prediction_timedelta="lead_time").compute()


def by_xarray(forecast: Path, names: list[str]) -> xr.Dataset:
    predicted, true, weights = opened_pair(forecast, names)
    squared = ((predicted - true) ** 2).weighted(weights).mean(["time", *AREA])
    return (squared**0.5).rename(prediction_timedelta="lead_time").compute()


PROGRAMS: dict[str, Callable[[Path, list[str]], xr.Dataset]] = {
    "WeatherBench-X": by_weatherbenchx,
    "scores": by_scores,
    "xskillscore": by_xskillscore,
    "xarray and Dask": by_xarray,
}


def compare(forecast: Path, ours: Path) -> float:
    """Print each program's RMSE beside ours; the largest relative difference of all."""
    with xr.open_zarr(ours) as opened:
        own = opened.load()
    names = [str(name) for name in own.data_vars]
    worst = 0.0
    for program, score in PROGRAMS.items():
        theirs = score(forecast, names)
        for name in names:
            same_leads = theirs[name].sel(lead_time=own["lead_time"])
            difference = float(np.abs(same_leads / own[name] - 1).max())
            worst = max(worst, difference)
            rmse = float(same_leads.isel(lead_time=-1).mean())
            print(f"{program:16} {name:26} RMSE {rmse:9.5f} (last lead), off by {difference:.1e}")
    return worst


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("ours", "theirs"):
        sys.exit(__doc__)
    paths = Path(sys.argv[2]), Path(sys.argv[3])
    if sys.argv[1] == "ours":
        write_ours(*paths)
    else:
        largest = compare(*paths)
        print(f"largest relative difference {largest:.1e}, allowed {TOLERANCE:g}")
        sys.exit(largest > TOLERANCE)
