"""Beside the flow: what is normal for a place, a day of the year and an hour of the day.

For each hour of the day and each grid cell, the annual course over the training years is fitted by
least squares with a mean and its first harmonics:

    x(phase) = c0 + sum over k of [ck cos(2 pi k phase) + sk sin(2 pi k phase)]

where the phase runs from 0 to 1 through each calendar year, leap or not. This is the mean by day of
year and hour, smoothed: a few years give only a few values for each day and hour.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from weathersvq.errors import InputError

Float = NDArray[np.float64]

# Bytes of the data that are in memory at a time while fitting.
BLOCK_BYTES = 32 * 2**20

# Of the normal equations: 2 for whole years, soon beyond a million for a part of one.
LARGEST_CONDITION = 100.0


def year_phase(times: pd.DatetimeIndex) -> Float:
    """(n,) how much of its calendar year has gone by at each time, 0 to 1."""
    days = times.day_of_year - 1 + hour_of_day(times) / 24
    return np.asarray(days / np.where(times.is_leap_year, 366, 365), dtype=np.float64)


def hour_of_day(times: pd.DatetimeIndex) -> Float:
    """(n,) hours since midnight UTC, with fractions."""
    return np.asarray((times - times.normalize()) / pd.Timedelta(hours=1), dtype=np.float64)


def annual_basis(phase: Float, harmonics: int) -> Float:
    """(n, 1 + 2 harmonics): columns 1, cos, sin, cos of twice the angle, and so on."""
    angles = 2 * np.pi * np.outer(phase, np.arange(1, harmonics + 1))
    waves = np.stack([np.cos(angles), np.sin(angles)], axis=2).reshape(phase.size, 2 * harmonics)
    return np.concatenate([np.ones((phase.size, 1)), waves], axis=1)


def coefficient_names(harmonics: int) -> list[str]:
    """Names of the columns of `annual_basis`."""
    return ["mean", *(f"{wave}{k}" for k in range(1, harmonics + 1) for wave in ("cos", "sin"))]


def fit_climatology(dataset: xr.Dataset, harmonics: int = 3) -> xr.Dataset:
    """Fit the annual course by hour of the day.

    Lazy data are read once, in blocks of about `BLOCK_BYTES`; what is accumulated are the normal
    equations, whose size doesn't depend on the length of the series.

    Args:
        dataset: canonical dataset, dims (time, [level,] latitude, longitude); the training period.
        harmonics: waves a year; 0 gives the mean by hour alone, for series shorter than a year.

    Returns:
        Coefficients: each variable with dims (hour, coefficient, [level,] latitude, longitude),
        float32, in the variable's units.

    Raises:
        InputError: a series that doesn't cover the year (for these harmonics), missing values.
    """
    times = pd.DatetimeIndex(dataset["time"].values)
    basis = annual_basis(year_phase(times), harmonics)
    hours, hour_index = np.unique(hour_of_day(times), return_inverse=True)
    normal = np.stack(
        [basis[hour_index == h].T @ basis[hour_index == h] for h in range(hours.size)]
    )
    condition = float(np.linalg.cond(normal).max())
    if not condition < LARGEST_CONDITION:
        raise InputError(
            f"a climatology with {harmonics} harmonics can't be fitted to "
            f"{times[0]} .. {times[-1]}: the data must cover the year at each hour of day; "
            "give more data or fewer harmonics (0: mean by hour)"
        )
    coefficients = {}
    for name, array in dataset.data_vars.items():
        array = array.transpose("time", ...)
        right = np.zeros((hours.size, basis.shape[1], array[0].size))
        for block in _blocks(array):
            values = array[block].values.reshape(block.stop - block.start, -1)
            if np.isnan(values).any():
                raise InputError(
                    f"{name} has missing values between {times[block.start]} and "
                    f"{times[block.stop - 1]}; a climatology needs a period without any"
                )
            for h in np.unique(hour_index[block]):
                rows = hour_index[block] == h
                right[h] += basis[block][rows].T @ values[rows].astype(np.float64)
        solved = np.linalg.solve(normal, right).astype(np.float32)
        coefficients[name] = xr.DataArray(
            solved.reshape(hours.size, basis.shape[1], *array.shape[1:]),
            dims=("hour", "coefficient", *array.dims[1:]),
            attrs=array.attrs,
        )
    return xr.Dataset(
        coefficients,
        coords={
            "hour": hours,
            "coefficient": coefficient_names(harmonics),
            **{name: dataset[name] for name in dataset.coords if "time" not in dataset[name].dims},
        },
        attrs={"fitted_on": f"{times[0].isoformat()}/{times[-1].isoformat()}"},
    )


def _blocks(array: xr.DataArray) -> Iterator[slice]:
    """Pieces of the first dimension of about BLOCK_BYTES, whole Dask chunks where there are any."""
    length = array.shape[0]
    step = max(1, BLOCK_BYTES // max(1, array.nbytes // length))
    if array.chunks is not None:
        chunk = array.chunks[0][0]
        step = max(1, step // chunk) * chunk
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


def evaluate_climatology(coefficients: xr.Dataset, times: ArrayLike) -> xr.Dataset:
    """The climatology at these times.

    Args:
        coefficients: of `fit_climatology`.
        times: (n,) datetime64, of any year.

    Returns:
        Canonical dataset, dims (time, [level,] latitude, longitude), float32.

    Raises:
        InputError: a time at an hour of the day that the climatology was not fitted for.
    """
    index = pd.DatetimeIndex(np.asarray(times))
    hours = coefficients["hour"].values
    wanted = hour_of_day(index)
    unknown = ~np.isin(wanted, hours)
    if unknown.any():
        raise InputError(
            f"the climatology has no values for {index[unknown][0]}; it knows the hours "
            f"{', '.join(f'{hour:g}' for hour in hours)} (UTC)"
        )
    harmonics = (coefficients.sizes["coefficient"] - 1) // 2
    basis = annual_basis(year_phase(index), harmonics).astype(np.float32)
    fields = {}
    for name, array in coefficients.data_vars.items():
        array = array.transpose("hour", "coefficient", ...)
        values = np.empty((index.size, *array.shape[2:]), dtype=np.float32)
        for number, hour in enumerate(hours):
            rows = wanted == hour
            values[rows] = np.tensordot(basis[rows], array.values[number], axes=1)
        fields[name] = xr.DataArray(values, dims=("time", *array.dims[2:]), attrs=array.attrs)
    coords = {
        name: coordinate
        for name, coordinate in coefficients.coords.items()
        if name not in ("hour", "coefficient")
    }
    return xr.Dataset(fields, {"time": index, **coords}, coefficients.attrs)
