"""The last step of the flow: a model over a whole period, beside persistence and climatology."""

from __future__ import annotations

import numpy as np
import xarray as xr

from weathersvq.checkpoint import Checkpoint
from weathersvq.data.climatology import evaluate_climatology, fit_climatology, stored_for
from weathersvq.data.windows import Period, Windows, find_windows, good_times
from weathersvq.errors import InputError
from weathersvq.forecasting.job import ForecastJob, Times
from weathersvq.metrics.weather import metrics, persistence, statistics
from weathersvq.variables import parse_channels

# Forecasts, truths and both baselines of this many inits are held at a time.
INITS_AT_ONCE = 96


def evaluation_inits(
    checkpoint: Checkpoint, dataset: xr.Dataset, period: Period, every: int = 1
) -> Times:
    """Initial times of all windows that lie wholly in the period: every n-th of them.

    Raises:
        InputError: no window in the period.
    """
    windows = evaluation_windows(checkpoint, dataset, period, every)
    times = dataset["time"].values
    if windows.origins.size == 0:
        left_out = windows.describe_left_out()
        raise InputError(
            f"the period {period} holds no window to evaluate"
            f"{f' (left out: {left_out})' if left_out else ''}; the data reach from "
            f"{times[0].astype('datetime64[h]')} to {times[-1].astype('datetime64[h]')}"
        )
    return times[windows.origins].astype("datetime64[s]")


def evaluation_windows(
    checkpoint: Checkpoint, dataset: xr.Dataset, period: Period, every: int = 1
) -> Windows:
    """The windows behind `evaluation_inits`, with how many were left out for gaps and flags."""
    return find_windows(
        dataset["time"].values,
        checkpoint.step,
        checkpoint.experiment.data.offsets,
        period,
        every,
        good_times(dataset),
    )


def training_climatology(
    checkpoint: Checkpoint, dataset: xr.Dataset, harmonics: int = 3
) -> xr.Dataset:
    """Coefficients of the climatology by day of year and hour over the model's training period.

    The one that a prepared store carries is taken where it was fitted to the same period.
    """
    times = checkpoint.experiment.fields.period("train").positions(dataset["time"].values)
    names = sorted({channel.name for channel in parse_channels(checkpoint.normalization.channels)})
    training = dataset[names].isel(time=times)
    stored = stored_for(training, harmonics)
    return fit_climatology(training, harmonics) if stored is None else stored


def evaluate(
    checkpoint: Checkpoint,
    dataset: xr.Dataset,
    inits: Times,
    climatology: xr.Dataset,
    *,
    device: str = "auto",
) -> xr.Dataset:
    """Scores of the model, of persistence and of climatology over the same inits.

    Args:
        checkpoint: trained model.
        dataset: canonical dataset with inputs and truth.
        inits: initial times, ascending.
        climatology: coefficients, of `training_climatology`.
        device: `auto`, `cpu` or `cuda`.

    Returns:
        Each variable with dims (forecast, metric, lead_time[, level]); `forecast` is model,
        persistence and climatology, metrics as in `verify`.

    Raises:
        InputError: see `forecast.forecast` and `verify.verify`.
    """
    names = list(dict.fromkeys(c.name for c in parse_channels(checkpoint.normalization.channels)))
    parts: dict[str, list[xr.Dataset]] = {"model": [], "persistence": [], "climatology": []}
    for part in ForecastJob(checkpoint, dataset, inits, device=device, part_size=INITS_AT_ONCE):
        predicted = part.forecast
        valid_time = predicted["init_time"] + predicted["lead_time"]
        normal = evaluate_climatology(climatology, np.unique(valid_time.values))
        truth = predicted[[str(n) for n in predicted if str(n).endswith("_truth")]]
        for name, one in (
            ("model", predicted[names]),
            ("persistence", persistence(part.initial, predicted["lead_time"].values)),
            ("climatology", normal.sel(time=valid_time).drop_vars("time")),
        ):
            parts[name].append(statistics(one.merge(truth), climatology=normal))
    scores = {name: metrics(xr.concat(several, dim="init_time")) for name, several in parts.items()}
    return xr.concat(list(scores.values()), dim="forecast").assign_coords(forecast=list(scores))
