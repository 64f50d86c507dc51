"""What people choose of a forecast: one map, or those along an axis; and what rides along with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from weathersvq.data.windows import parse_step, parse_time
from weathersvq.errors import InputError
from weathersvq.metrics.tally import field_names
from weathersvq.output.form import described

if TYPE_CHECKING:
    from weathersvq.api.arguments import Length, Moment

INITIAL = "_initial"


def marked(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset whose fields, too, say whether they are simulated: maps of them do so as well."""
    dataset = dataset.copy()
    for field in dataset.data_vars.values():
        field.attrs["simulated"] = str(dataset.attrs.get("simulated", "false"))
    return dataset


def labelled(forecast: xr.Dataset, source: xr.Dataset | None = None) -> xr.Dataset:
    """A forecast whose fields say what they are, with the state that it started from.

    Args:
        forecast: dims (init_time, lead_time, [level,] latitude, longitude), short names.
        source: canonical dataset that holds the initial times.

    Returns:
        The forecast with long names and, if there is a source, `NAME_initial` (init_time, [level,]
        latitude, longitude) as coordinates, which follow every selection.

    Raises:
        InputError: a source on another grid, or that lacks an initial time or a level.
    """
    forecast = marked(forecast)
    for name, field in forecast.data_vars.items():
        field.attrs |= described(str(name))
    if source is None:
        return forecast
    names = field_names(forecast)
    inits = forecast["init_time"].values.astype("datetime64[s]")
    missing = inits[~np.isin(inits, source["time"].values.astype("datetime64[s]"))]
    if missing.size:
        raise InputError(f"the source does not have the initial time {missing[0]}")
    start = source[names].sel(time=inits)
    if "level" in start.dims:
        start = start.sel(level=forecast["level"].values)
    # Coordinates agree to within rounding; those of the forecast keep xarray from dropping rows.
    start = start.drop_vars(["usable"], errors="ignore").rename(time="init_time")
    start = start.assign_coords({name: forecast[name] for name in start.dims})
    return forecast.assign_coords({f"{name}{INITIAL}": start[name].variable for name in names})


def without_initial(forecast: xr.Dataset) -> xr.Dataset:
    """The forecast as it is written."""
    return forecast.drop_vars([n for n in forecast.coords if str(n).endswith(INITIAL)])


def initial_state(forecast: xr.Dataset) -> xr.Dataset | None:
    """Canonical dataset whose times are the inits; None where not all of it rides along."""
    names = field_names(forecast)
    if not all(f"{name}{INITIAL}" in forecast.coords for name in names):
        return None
    states = {name: forecast[f"{name}{INITIAL}"] for name in names}
    initial = without_initial(xr.Dataset(states)).drop_vars("lead_time", errors="ignore")
    if "init_time" not in initial.dims:
        initial = initial.expand_dims("init_time")
    return initial.rename(init_time="time")


def chosen(
    field: xr.DataArray,
    *,
    init: Moment | None = None,
    lead: Length | None = None,
    level: int | None = None,
    time: Moment | None = None,
) -> xr.DataArray:
    """One map of a field: (latitude, longitude), the rest as scalar coordinates.

    Args:
        field: dims ([init_time,] [lead_time,] [time,] [level,] latitude, longitude).
        init, lead, level, time: see `FieldAccessor.map`.

    Raises:
        InputError: something that the field does not hold, several levels and none named.
    """
    field = over(field, init, level, along=())
    field = _at(field, "lead_time", None if lead is None else parse_step(lead), default=-1)
    return _at(field, "time", None if time is None else parse_time(time))


def over(
    field: xr.DataArray,
    init: Moment | None,
    level: int | None,
    *,
    along: tuple[str, ...] = ("lead_time", "time"),
) -> xr.DataArray:
    """The course of a field from one initial time, at one level.

    Args:
        field: as `chosen`.
        init, level: see `FieldAccessor.map`.
        along: axes of which one must be left.

    Raises:
        InputError: as `chosen`; no course, but one map only.
    """
    field = _at(_at_level(field, level), "init_time", None if init is None else parse_time(init))
    if along and not set(along) & set(field.dims):
        raise InputError(f"{field.name} is one map only; give it with its leads or times")
    return field


def across(field: xr.DataArray, lead: Length | None, level: int | None) -> xr.DataArray:
    """(init_time, latitude, longitude): a field at one lead and level, from all initial times.

    Raises:
        InputError: as `chosen`; a field without initial times.
    """
    if "init_time" not in field.dims:
        raise InputError(f"{field.name} has one initial time only; give it with several")
    lead_time = None if lead is None else parse_step(lead)
    return _at(_at_level(field, level), "lead_time", lead_time, default=-1)


def _at_level(field: xr.DataArray, level: int | None) -> xr.DataArray:
    """The field at one level, without what rides along with it."""
    field = field.drop_vars([name for name in field.coords if str(name).endswith(INITIAL)])
    if level is None and field.sizes.get("level", 1) > 1:
        held = ", ".join(str(each) for each in field["level"].values)
        raise InputError(f"{field.name} has several levels; name one: level= one of {held} (hPa)")
    return _at(field, "level", level)


def _at(field: xr.DataArray, dim: str, value: Any, default: int = 0) -> xr.DataArray:
    """One place of an axis; that of number `default` if the value is None."""
    if dim not in field.dims:
        if value is not None and not (dim in field.coords and field[dim].values == value):
            raise InputError(f"{field.name} has no {_word(dim)} {_said(dim, value)} to choose")
        return field
    if value is None:
        return field.isel({dim: default})
    held = field[dim].values
    found = np.flatnonzero(held == value)
    if not found.size:
        raise InputError(
            f"{field.name} has no {_word(dim)} {_said(dim, value)}; it has "
            f"{_said(dim, held[0])} to {_said(dim, held[-1])} ({held.size})"
        )
    return field.isel({dim: int(found[0])})


def _word(dim: str) -> str:
    return {"init_time": "initial time", "lead_time": "lead"}.get(dim, dim)


def _said(dim: str, value: Any) -> str:
    if dim == "lead_time":
        return f"{value / np.timedelta64(1, 'h'):g}h"
    return f"{value} hPa" if dim == "level" else str(np.datetime64(value, "m"))
