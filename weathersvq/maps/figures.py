"""Single maps, and forecast, truth and error side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from weathersvq.atomic import atomic_path
from weathersvq.errors import InputError
from weathersvq.maps.colours import Colours, colours_of, error_colours
from weathersvq.maps.fields import quantity_of, select
from weathersvq.maps.sheet import DOTS_PER_INCH, Panel, side_by_side
from weathersvq.maps.words import error_label, heading, note_of, quantity_label, scores
from weathersvq.variables import Channel, variable

STILL = (".png", ".pdf", ".svg")


def draw_map(
    field: xr.DataArray,
    *,
    title: str | None = None,
    label: str | None = None,
    colours: Colours | None = None,
    note: str | None = None,
) -> Figure:
    """One map of a field.

    Args:
        field: dims (latitude, longitude), ascending coordinates; named `t2m`, `t2m_truth` or
            `t2m_error` (drawn around zero), if colours and label are to be found by its name.
        title: above the map; default: the field's name.
        label: of the colour bar; default: the long name and units of the variable of that name.
        colours: default: those of the variable of the field's name.
        note: small print below the map.

    Raises:
        InputError: no colours or label given and a name that is no variable's.
    """
    if colours is None or label is None:
        quantity = quantity_of(field)
        is_error = str(field.name).endswith("_error")
        colours = colours or (error_colours(field) if is_error else colours_of([field], quantity))
        label = label or (error_label(quantity) if is_error else quantity_label(quantity))
    panel = Panel(field, "", colours, label)
    return side_by_side([panel], title or str(field.name), note).figure


def forecast_map(
    forecast: xr.Dataset,
    name: str,
    init: np.datetime64 | str,
    lead: np.timedelta64,
    *,
    level: int | None = None,
) -> Figure:
    """The forecast of one variable at one lead.

    Args:
        forecast: dims (init_time, lead_time, [level,] latitude, longitude).
        name: short name.
        level: hPa, for a variable on levels.

    Raises:
        InputError: the forecast doesn't hold this variable, init, lead or level.
    """
    field = select(forecast, name, init, lead, level)
    quantity = variable(name)
    panel = Panel(field, "", colours_of([field], quantity), quantity_label(quantity))
    title = heading("Forecast of", quantity.long_name, field)
    return side_by_side([panel], title, note_of(forecast)).figure


def error_map(
    forecast: xr.Dataset,
    name: str,
    init: np.datetime64 | str,
    lead: np.timedelta64,
    *,
    level: int | None = None,
) -> Figure:
    """Forecast, truth (in the same colours) and error, side by side.

    Args and errors as `forecast_map`; the forecast must hold the truth of the variable.
    """
    if f"{name}_truth" not in forecast:
        raise InputError(
            f"no truth for {name} in this forecast; its source ends too early to draw an error"
        )
    field = select(forecast, name, init, lead, level)
    truth = select(forecast, f"{name}_truth", init, lead, level)
    if not truth.notnull().any():
        raise InputError(
            f"the truth for {name} is not known at this init and lead, so that it has no error"
        )
    title = heading("Forecast, truth and error of", variable(name).long_name, field)
    return side_by_side(compared(field, truth), title, note_of(forecast)).figure


def compared(forecast: xr.DataArray, truth: xr.DataArray) -> list[Panel]:
    """Panels of forecast and truth, in the same colours, and error; each (latitude, longitude)."""
    quantity = quantity_of(forecast)
    error = forecast - truth
    shared, label = colours_of([forecast, truth], quantity), quantity_label(quantity)
    return [
        Panel(forecast, "Forecast", shared, label),
        Panel(truth, "Truth", shared, label),
        Panel(
            error, f"Error: {scores(error, quantity)}", error_colours(error), error_label(quantity)
        ),
    ]


def save_figure(figure: Figure, path: Path | str) -> Path:
    """Write a figure as PNG, PDF or SVG (by suffix); the file appears when it is complete.

    Raises:
        InputError: another suffix, or a folder that can't be written.
    """
    path = check_suffix(path)
    with atomic_path(path) as fresh:
        figure.savefig(fresh, dpi=DOTS_PER_INCH)
    return path


def picture_beside(
    forecast: Path, channel: Channel | None, kind: str, suffix: str = ".png"
) -> Path:
    """Where a picture of a forecast file goes, if nobody names it: `week_t850_error.png`.

    Args:
        forecast: `week.zarr` or `week.nc`.
        channel: what it shows; None where the file holds nothing else.
        kind: of the picture.
    """
    shown = "" if channel is None else f"_{channel}".replace("@", "")
    return forecast.with_name(f"{forecast.with_suffix('').name}{shown}_{kind}{suffix}")


def check_suffix(path: Path | str, suffixes: Sequence[str] = STILL) -> Path:
    """The path of a picture, if it ends as one; to be asked before it is drawn.

    Raises:
        InputError: it doesn't.
    """
    path = Path(path)
    if path.suffix not in suffixes:
        raise InputError(
            f"picture {str(path)!r} ends in {path.suffix or 'nothing'!r}; "
            f"expected {' or '.join(suffixes)}"
        )
    return path
