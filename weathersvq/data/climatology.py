"""Beside the flow: what is normal for a place, a day of the year and an hour of the day.

For each hour of the day and each grid cell, the annual course over the training years is fitted by
least squares with a mean and its first harmonics:

    x(phase) = c0 + sum over k of [ck cos(2 pi k phase) + sk sin(2 pi k phase)]

where the phase runs from 0 to 1 through each calendar year, leap or not. This is the mean by day of
year and hour, smoothed: a few years give only a few values for each day and hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from weathersvq.data.canonical import load_fields
from weathersvq.data.pieces import time_pieces
from weathersvq.data.windows import good_times
from weathersvq.errors import InputError
from weathersvq.grid import Grid

Float = NDArray[np.float64]

# Bytes of the data that are in memory at a time while fitting.
PIECE_BYTES = 32 * 2**20

# Of the normal equations: 2 for whole years, soon beyond a million for a part of one.
LARGEST_CONDITION = 100.0

# Group of a prepared store that holds its climatology.
GROUP = "climatology"
# Attribute of a climatology: first and last time of the series.
FITTED_ON = "fitted_on"


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


@dataclass(frozen=True, eq=False)
class Sums:
    """Normal equations of a series or a piece of it; those of pieces add up to those of the whole.

    Attributes:
        harmonics: waves a year.
        hours: (h,) of the day that occur.
        first, last: times of the series, whether usable or not.
        normal: by variable, (h, L, k, k) sums of products of the k basis functions over the times
            whose map is whole; L levels, 1 for a variable without.
        right: by variable, (h, L, k, cells) sums of basis function times value.
    """

    harmonics: int
    hours: Float
    first: np.datetime64
    last: np.datetime64
    normal: dict[str, Float]
    right: dict[str, Float]


def climatology_sums(dataset: xr.Dataset, harmonics: int = 3) -> Sums:
    """Normal equations of a piece of a series that fits into memory.

    A map with any missing value does not count, for its variable and level.

    Args:
        dataset: canonical dataset, dims (time, [level,] latitude, longitude).
        harmonics: waves a year.
    """
    times = pd.DatetimeIndex(dataset["time"].values)
    basis = annual_basis(year_phase(times), harmonics)
    hours, hour_index = np.unique(hour_of_day(times), return_inverse=True)
    normal, right = {}, {}
    for name in _with_time(dataset):
        maps = _maps_by_level(dataset[name])
        whole = np.all(np.isfinite(maps), axis=2)
        _, levels, cells = maps.shape
        functions = basis.shape[1]
        normal[name] = np.zeros((hours.size, levels, functions, functions))
        right[name] = np.zeros((hours.size, levels, functions, cells))
        for hour in range(hours.size):
            for level in range(levels):
                rows = np.flatnonzero((hour_index == hour) & whole[:, level])
                columns = basis[rows].T
                normal[name][hour, level] = columns @ basis[rows]
                right[name][hour, level] = columns @ maps[rows, level].astype(np.float64)
    return Sums(
        harmonics, hours, times[0].to_datetime64(), times[-1].to_datetime64(), normal, right
    )


def _with_time(dataset: xr.Dataset) -> list[str]:
    return [str(name) for name, field in dataset.data_vars.items() if "time" in field.dims]


def _maps_by_level(field: xr.DataArray) -> NDArray[np.float32]:
    """(time, level, cells); one level where there is no such axis."""
    values = load_fields(_ordered(field)).to_numpy()
    cells = int(np.prod(values.shape[-2:]))
    return values.reshape(values.shape[0], -1, cells)


def _ordered(field: xr.DataArray) -> xr.DataArray:
    return field.transpose("time", ..., "latitude", "longitude")


def merge_sums(parts: Iterable[Sums]) -> Sums:
    """Normal equations of all parts, added in the order given.

    Parts are taken one at a time: of an iterator over many, only two are in memory.

    Raises:
        ValueError: no part, or parts of other variables or harmonics.
    """
    total: Sums | None = None
    for part in parts:
        total = part if total is None else _added(total, part)
    if total is None:
        raise ValueError("there are no sums to merge")
    return total


def _added(first: Sums, second: Sums) -> Sums:
    if (first.harmonics, set(first.right)) != (second.harmonics, set(second.right)):
        raise ValueError("sums of unlike variables or harmonics can't be merged")
    hours = np.union1d(first.hours, second.hours)

    def add(one: Float, other: Float) -> Float:
        total = np.zeros((hours.size, *one.shape[1:]))
        total[np.searchsorted(hours, first.hours)] = one
        total[np.searchsorted(hours, second.hours)] += other
        return total

    return Sums(
        first.harmonics,
        hours,
        min(first.first, second.first),
        max(first.last, second.last),
        {name: add(first.normal[name], second.normal[name]) for name in first.normal},
        {name: add(first.right[name], second.right[name]) for name in first.right},
    )


def solve_climatology(sums: Sums, like: xr.Dataset) -> xr.Dataset:
    """The climatology that normal equations stand for.

    Args:
        sums: of the whole series.
        like: a dataset with the series' variables, for labels, levels and units; its fields are not
            read.

    Returns:
        See `fit_climatology`.

    Raises:
        InputError: a series that doesn't cover the year (for these harmonics).
    """
    first, last = pd.Timestamp(sums.first), pd.Timestamp(sums.last)
    coefficients = {}
    for name, right in sums.right.items():
        _refuse_part_of_year(sums.normal[name], sums.harmonics, f"{name} in {first} .. {last}")
        field = _ordered(like[name])
        solved = np.linalg.solve(sums.normal[name], right).astype(np.float32)
        coefficients[name] = xr.DataArray(
            # (hour, level, coefficient, cells)
            np.swapaxes(solved, 1, 2).reshape(
                sums.hours.size, 1 + 2 * sums.harmonics, *field.shape[1:]
            ),
            dims=("hour", "coefficient", *field.dims[1:]),
            attrs=field.attrs,
        )
    return xr.Dataset(
        coefficients,
        coords={
            "hour": sums.hours,
            "coefficient": coefficient_names(sums.harmonics),
            **{name: like[name] for name in like.coords if "time" not in like[name].dims},
        },
        attrs={FITTED_ON: fitted_on(sums.first, sums.last)},
    )


def fitted_on(first: np.datetime64, last: np.datetime64) -> str:
    """How a climatology names the series that it was fitted to, by its first and last time."""
    return f"{pd.Timestamp(first).isoformat()}/{pd.Timestamp(last).isoformat()}"


def _refuse_part_of_year(normal: Float, harmonics: int, what: str) -> None:
    condition = float(np.linalg.cond(normal).max())
    if not condition < LARGEST_CONDITION:
        raise InputError(
            f"a climatology with {harmonics} harmonics can't be fitted to {what}: the data must "
            "cover the year at each hour of day; give more data or fewer harmonics (0: mean by hour)"
        )


def fit_climatology(dataset: xr.Dataset, harmonics: int = 3) -> xr.Dataset:
    """Fit the annual course by hour of the day.

    Lazy data are read once, in pieces; what is accumulated are the normal equations, whose size
    doesn't depend on the length of the series. At times that are not usable, a field counts where
    its own map is whole.

    Args:
        dataset: canonical dataset, dims (time, [level,] latitude, longitude); the training period.
        harmonics: waves a year; 0 gives the mean by hour alone, for series shorter than a year.

    Returns:
        Coefficients: each variable with dims (hour, coefficient, [level,] latitude, longitude),
        float32, in the variable's units.

    Raises:
        InputError: a series that doesn't cover the year (for these harmonics), a missing value at a
            usable time.
    """
    dataset = dataset[_with_time(dataset)]
    times = pd.DatetimeIndex(dataset["time"].values)
    # What the times alone tell is found before the fields are read.
    basis = annual_basis(year_phase(times), harmonics)
    hours = hour_of_day(times)
    normal = [basis[hours == hour].T @ basis[hours == hour] for hour in np.unique(hours)]
    _refuse_part_of_year(np.stack(normal), harmonics, f"{times[0]} .. {times[-1]}")

    def parts() -> Iterator[Sums]:
        for piece in time_pieces(dataset, PIECE_BYTES):
            part = dataset.isel(time=piece).load()
            _refuse_missing(part)
            yield climatology_sums(part, harmonics)

    return solve_climatology(merge_sums(parts()), dataset)


def _refuse_missing(part: xr.Dataset) -> None:
    usable = good_times(part)
    for name in _with_time(part):
        whole = np.all(np.isfinite(_maps_by_level(part[name])), axis=(1, 2))
        if not whole[usable].all():
            when = part["time"].values[usable & ~whole][0].astype("datetime64[m]")
            raise InputError(
                f"{name} has missing values, first at {when}; a climatology needs a period without "
                "any, or a prepared store that flags them"
            )


def stored_climatology(source: str) -> xr.Dataset | None:
    """Coefficients that a local prepared store carries beside its fields, or None.

    Args:
        source: path of the store, a dataset's attribute `source_name`.
    """
    group = Path(source).expanduser() / GROUP
    if source in ("", "sample") or not any(
        (group / head).is_file() for head in (".zgroup", "zarr.json")
    ):
        return None
    return xr.open_zarr(group, consolidated=False).load()


def stored_for(training: xr.Dataset, harmonics: int) -> xr.Dataset | None:
    """The stored climatology of a training period, where there is one that was fitted to the same.

    Args:
        training: canonical dataset of the training period alone; the attribute `source_name` says
            where it comes from.
        harmonics: waves a year wanted.

    Returns:
        As `fit_climatology` of `training`; None where the store has none, or one of another period,
        grid or number of harmonics, or without one of the variables and levels.
    """
    stored = stored_climatology(str(training.attrs.get("source_name", "")))
    names, times = _with_time(training), training["time"].values
    if (
        stored is None
        or stored.attrs.get(FITTED_ON) != fitted_on(times[0], times[-1])
        or stored.sizes["coefficient"] != 1 + 2 * harmonics
        or not Grid.of(stored).matches(Grid.of(training))
        or not set(names) <= set(stored.data_vars)
    ):
        return None
    if "level" in training.dims:
        if "level" not in stored.dims or not set(training["level"].values) <= set(
            stored["level"].values
        ):
            return None
        stored = stored.sel(level=training["level"].values)
    # Labels that went through a file can differ in their last digit.
    labels = {axis: training[axis] for axis in ("latitude", "longitude")}
    return stored[names].assign_coords(labels)


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
