"""What is written on maps: quantities, units, times, scores."""

from __future__ import annotations

import math

import pandas as pd
import xarray as xr

from weathersvq.maps.fields import area_mean, hours, root_mean_square, scalar
from weathersvq.variables import Variable

SIMULATED_NOTE = "climate simulation, not past weather"


def pretty_units(units: str) -> str:
    """`m s-1` -> `m s⁻¹`; a share without units is `0 to 1`."""
    if units == "1":
        return "0 to 1"
    superscript = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    words = [word[:1] + word[1:].translate(superscript) for word in units.split()]
    # kg, hPa and the like have no exponents: only digits and signs were changed.
    return " ".join(words)


def quantity_label(quantity: Variable) -> str:
    """Name and units, for a colour bar."""
    return f"{quantity.long_name} ({pretty_units(quantity.units)})"


def error_label(quantity: Variable) -> str:
    """Of the colour bar of errors."""
    return f"forecast minus truth ({pretty_units(quantity.units)})"


def note_of(forecast: xr.Dataset) -> str | None:
    """Small print below maps of a forecast."""
    return SIMULATED_NOTE if forecast.attrs.get("simulated") == "true" else None


def date(time: object) -> str:
    """A UTC time, to the minute."""
    return f"{pd.Timestamp(str(time)):%Y-%m-%d %H:%M} UTC"


def heading(what: str, name: str, field: xr.DataArray) -> str:
    """Of a map or of several: what it shows, and in a second line the times that all share."""
    level = scalar(field, "level")
    at = "" if level is None else f" at {int(level)} hPa"
    when = moments(field)
    return f"{what} {name}{at}".lstrip() + (f"\n{when}" if when else "")


def moments(field: xr.DataArray) -> str:
    """Init, lead and valid time as far as the field has one of each; perhaps nothing."""
    init, lead, time = (scalar(field, name) for name in ("init_time", "lead_time", "time"))
    parts = []
    if init is not None:
        parts.append(f"init {date(init.values)}")
    if lead is not None:
        parts.append(f"lead {hours(lead):g} h")
    if init is not None and lead is not None:
        parts.append(f"valid {date(init.values + lead.values)}")
    elif time is not None:
        parts.append(f"valid {date(time.values)}")
    return ",  ".join(parts)


def amount(value: float, quantity: Variable) -> str:
    """A score with its units; a share has none."""
    return f"{value:.3g}" + ("" if quantity.units == "1" else f" {pretty_units(quantity.units)}")


def score(error: xr.DataArray, quantity: Variable) -> str:
    """Area-weighted RMSE of a map of errors, `no truth` where all are missing."""
    root = root_mean_square(error)
    return "no truth" if math.isnan(root) else f"RMSE {amount(root, quantity)}"


def scores(error: xr.DataArray, quantity: Variable) -> str:
    """Area-weighted RMSE and bias of one map of errors."""
    units = "" if quantity.units == "1" else f" {pretty_units(quantity.units)}"
    return f"{score(error, quantity)}, bias {area_mean(error):+.2g}{units}"
