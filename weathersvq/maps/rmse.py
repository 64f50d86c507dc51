"""Where errors are large: the RMSE of each cell over many times."""

from __future__ import annotations

import xarray as xr
from matplotlib.figure import Figure

from weathersvq.errors import InputError
from weathersvq.maps.colours import score_colours
from weathersvq.maps.fields import hours, quantity_of, root_mean_square, scalar, with_dims
from weathersvq.maps.sheet import Panel, side_by_side
from weathersvq.maps.words import amount, date, heading, pretty_units


def rmse_map(error: xr.DataArray, *, title: str | None = None, note: str | None = None) -> Figure:
    """Root-mean-square error of each cell, in colours from zero.

    Args:
        error: dims (init_time or time, latitude, longitude), forecast minus truth, named as its
            variable (`t2m_error`); times of which nothing is known are left out.
        title: before the area-weighted RMSE and the times; default: quantity, level and lead.
        note: small print below.

    Raises:
        InputError: other dims, an unknown name, no error that is known.
    """
    error = with_dims(error, "init_time", "time")
    quantity = quantity_of(error)
    along = str(error.dims[0])
    known = error.isel({along: error.notnull().any(("latitude", "longitude")).values})
    times = known[along].values
    if not times.size:
        raise InputError(f"no known value in {error.name}; the forecast needs a truth to compare")
    rmse = (known**2).mean(along) ** 0.5
    lead = scalar(error, "lead_time")
    if title is None:
        title = heading(
            "RMSE of", quantity.long_name, error.drop_vars("lead_time", errors="ignore")
        )
        title += "" if lead is None else f", lead {hours(lead):g} h"
    span = date(times[0]) + (f" to {date(times[-1])}" if times.size > 1 else "")
    count = f"{times.size} {'init' if along == 'init_time' else 'time'}{'s' * (times.size > 1)}"
    score = f"{amount(root_mean_square(known), quantity)} area-weighted,  {count} {span}"
    panel = Panel(rmse, "", score_colours(rmse), f"RMSE ({pretty_units(quantity.units)})")
    return side_by_side([panel], f"{title}\n{score}", note).figure
