"""What a map needs to know of an array: its quantity, its dims, its times, its area means."""

from __future__ import annotations

import numpy as np
import xarray as xr

from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.variables import Variable, variable

AREA = ("latitude", "longitude")


def quantity_of(field: xr.DataArray) -> Variable:
    """The variable of which a field is a forecast, the truth (`t2m_truth`) or the error.

    Raises:
        InputError: a field without a name, or with one that is no variable's.
    """
    if field.name is None:
        raise InputError("the array has no name; give it that of its variable: .rename('t2m')")
    return variable(str(field.name).removesuffix("_truth").removesuffix("_error"))


def with_dims(field: xr.DataArray, *leading: str) -> xr.DataArray:
    """The field with dims (one of `leading`, latitude, longitude), or the last two if none is given.

    Raises:
        InputError: other dims.
    """
    first = next((dim for dim in leading if dim in field.dims), None)
    wanted = AREA if first is None else (first, *AREA)
    if set(field.dims) != set(wanted) or (leading and first is None):
        expected = ", ".join([*([" or ".join(leading)] if leading else []), *AREA])
        raise InputError(
            f"{field.name} has dims ({', '.join(map(str, field.dims))}), expected ({expected}); "
            "choose one value of each other with .isel or .sel"
        )
    return field.transpose(*wanted)


def same_places(field: xr.DataArray, other: xr.DataArray) -> None:
    """Whether two fields can be compared.

    Raises:
        InputError: they differ in a coordinate of their dims.
    """
    for dim in field.dims:
        if not field.indexes[dim].equals(other.indexes[dim]):
            raise InputError(
                f"{field.name} and {other.name} differ in {dim}; select what both have"
            )


def select(
    forecast: xr.Dataset,
    name: str,
    init: np.datetime64 | str | None = None,
    lead: np.timedelta64 | None = None,
    level: int | None = None,
) -> xr.DataArray:
    """A variable of a forecast at one init, lead and level; what is None stays an axis.

    Args:
        forecast: dims (init_time, lead_time, [level,] latitude, longitude).
        name: in the forecast, such as `t2m` or `t2m_truth`.
        level: hPa, for a variable on levels.

    Raises:
        InputError: the forecast doesn't hold this variable, init, lead or level.
    """
    if name not in forecast:
        raise InputError(
            f"no {name} in this forecast; it holds {', '.join(sorted(map(str, forecast)))}"
        )
    array = forecast[name]
    wanted: dict[str, object] = {}
    if init is not None:
        wanted["init_time"] = np.datetime64(init).astype("datetime64[ns]")
    if lead is not None:
        wanted["lead_time"] = lead.astype("timedelta64[ns]")
    if level is not None:
        wanted["level"] = level
    elif "level" in array.dims:
        held = ", ".join(map(str, array["level"].values))
        raise InputError(
            f"{name} is on levels ({held} hPa); choose one, as in {name}@{array['level'].values[0]}"
        )
    for dim, value in wanted.items():
        values = array[dim].values if dim in array.dims else np.array([])
        if value not in values:
            raise InputError(
                f"this forecast of {name} holds no {dim.replace('_', ' ')} {_told(value)}; it has "
                + (
                    ", ".join(map(_told, values)) or "none"
                    if values.size <= 12
                    else f"{values.size} from {_told(values[0])} to {_told(values[-1])}"
                )
            )
    return array.sel(wanted)


def _told(value: object) -> str:
    """An init, a lead or a level in a message."""
    if isinstance(value, np.datetime64):
        return str(value.astype("datetime64[m]"))
    if isinstance(value, np.timedelta64):
        return f"{value / np.timedelta64(1, 'h'):g} h"
    return str(value)


def area_mean(field: xr.DataArray) -> float:
    """Mean weighted by cell area, over all the field's dims; missing values are left out."""
    weights = xr.DataArray(Grid.of(field).area_weights(), {"latitude": field["latitude"]})
    return float(field.weighted(weights).mean())


def root_mean_square(error: xr.DataArray) -> float:
    """Area-weighted, over all the field's dims; NaN where nothing is known."""
    return area_mean(error**2) ** 0.5


def scalar(field: xr.DataArray, name: str) -> xr.DataArray | None:
    """The one value that a field has of a coordinate, or None."""
    held = field.coords.get(name)
    return held if held is not None and held.ndim == 0 else None


def hours(lead: xr.DataArray) -> float:
    """A lead time in hours."""
    return float(lead.values / np.timedelta64(1, "h"))
