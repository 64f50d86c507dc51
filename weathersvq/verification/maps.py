"""Verification, maps for the report: RMSE and bias of each cell, best and worst cases."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from weathersvq.maps import (
    SIMULATED_NOTE,
    Colours,
    colours_of,
    draw_map,
    error_colours,
    pretty_units,
    quantity_label,
    score_colours,
)
from weathersvq.variables import Channel
from weathersvq.verification.evaluation import Case
from weathersvq.verification.pictures import hours
from weathersvq.verification.results import Results

# What tells the file apart, caption, figure.
Shown = tuple[str, str, Figure]
# A report holds dozens of maps.
DOTS_PER_INCH = 60


def score_maps(results: Results, channel: Channel) -> Iterator[list[Shown]]:
    """Rows of maps of one variable: RMSE, bias, and the others' RMSE against the first one's."""
    models = [each.name for each in results.plan.contestants]
    first = results.error_maps(models[0]).sel(channel=str(channel))
    leads = hours(first["rmse"])
    # A forecast of one lead has no second map.
    places = [0, 1] if leads[0] != leads[1] else [0]
    for score, colours in (
        ("rmse", score_colours(first["rmse"])),
        ("bias", error_colours(first["bias"])),
    ):
        name = score.upper() if score == "rmse" else score
        yield [
            _map(
                results, channel, first[score].isel(lead_time=place), colours,
                f"{channel}_{score}_map{place + 1}", f"{name} of {models[0]}, {leads[place]:g} h",
            )
            for place in places
        ]  # fmt: skip
    for number, other in enumerate(models[1:], start=2):
        theirs = results.error_maps(other).sel(channel=str(channel))["rmse"].isel(lead_time=-1)
        apart = theirs - first["rmse"].isel(lead_time=-1)
        yield [
            _map(
                results, channel, apart, error_colours(apart), f"{channel}_rmse_map_{number}",
                f"RMSE of {other} minus that of {models[0]}, {leads[-1]:g} h",
            )
        ]  # fmt: skip


def case_maps(results: Results, channel: Channel, case: Case, kind: str) -> list[Shown]:
    """Forecast and truth in the same colours, and the error."""
    grid = results.plan.grid
    forecast, truth = (_field(each, grid.latitude, grid.longitude) for each in
                       (case.forecast, case.truth))  # fmt: skip
    error = forecast - truth
    shared = colours_of([forecast, truth], channel.variable)
    label = quantity_label(channel.variable)
    return [
        _map(results, channel, field, colours, f"{channel}_{kind}_{what}", what, label=text)
        for what, field, colours, text in (
            ("forecast", forecast, shared, label),
            ("truth", truth, shared, label),
            ("error", error, error_colours(error), None),
        )
    ]


def _map(
    results: Results,
    channel: Channel,
    field: xr.DataArray,
    colours: Colours,
    what: str,
    caption: str,
    label: str | None = None,
) -> Shown:
    unit = pretty_units(channel.variable.units)
    title = f"{caption[:1].upper()}{caption[1:]}"
    figure = draw_map(
        field,
        title=title,
        label=label or f"{channel} ({unit})",
        colours=colours,
        note=SIMULATED_NOTE if results.plan.simulated else None,
    )
    figure.set_dpi(DOTS_PER_INCH)
    return what, f"{title}: {channel.variable.long_name}", figure


def _field(values: ArrayLike, latitude: ArrayLike, longitude: ArrayLike) -> xr.DataArray:
    coordinates = {"latitude": np.asarray(latitude), "longitude": np.asarray(longitude)}
    return xr.DataArray(np.asarray(values, dtype=np.float64), coordinates)
