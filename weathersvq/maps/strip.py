"""A forecast through its leads: forecast, truth and error, one below the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from weathersvq.errors import InputError
from weathersvq.grid import Grid
from weathersvq.maps.colours import colours_of, error_colours
from weathersvq.maps.fields import hours, quantity_of, same_places, with_dims
from weathersvq.maps.frame import frame_of
from weathersvq.maps.sheet import BAR_HEIGHT, MARGIN, NOTE_ROOM, TITLE_HEIGHT, Panel, Sheet
from weathersvq.maps.words import error_label, heading, quantity_label, score

MOST_LEADS = 6

# Inches.
GLOBAL_WIDTH, REGIONAL_WIDTH = 2.5, 1.8
COLUMN_GAP, ROW_GAP = 0.1, 0.1
ROW_TITLE_ROOM, COLUMN_TITLE_ROOM, BAR_GAP, BAR_TITLE_ROOM = 0.25, 0.27, 0.15, 0.75


def lead_strip(
    forecast: xr.DataArray,
    truth: xr.DataArray | None = None,
    *,
    leads: Sequence[np.timedelta64 | str] | None = None,
    title: str | None = None,
    note: str | None = None,
) -> Figure:
    """One column a lead; rows of forecast and, if it is given, truth and error.

    Forecast and truth share their colours at all leads, and so do the errors.

    Args:
        forecast: dims (lead_time, latitude, longitude), named as its variable.
        truth: the same form; missing values where nothing is known.
        leads: those shown, such as `["6h", "12h"]`; default: at most six, evenly spaced, up to the
            last.
        title: default: quantity, level and init as far as the coordinates tell.
        note: small print below.

    Raises:
        InputError: other dims, an unknown name, a lead that the forecast lacks, a truth of other
            leads or another grid.
    """
    quantity = quantity_of(forecast)
    chosen = _leads(with_dims(forecast, "lead_time"), leads)
    rows = {"Forecast": forecast.sel(lead_time=chosen)}
    shared = [rows["Forecast"]]
    if truth is not None:
        same_places(with_dims(forecast, "lead_time"), with_dims(truth, "lead_time"))
        rows["Truth"] = truth.sel(lead_time=chosen)
        shared.append(rows["Truth"])
        rows["Error"] = rows["Forecast"] - rows["Truth"]
    scales = dict.fromkeys(rows, (colours_of(shared, quantity), quantity_label(quantity)))
    if truth is not None:
        scales["Error"] = (error_colours(rows["Error"]), error_label(quantity))

    grid = Grid.of(forecast)
    wide = GLOBAL_WIDTH if grid.wraps else REGIONAL_WIDTH
    high = wide * frame_of(grid).aspect
    right = MARGIN + ROW_TITLE_ROOM + len(chosen) * (wide + COLUMN_GAP)
    width = right + BAR_GAP + BAR_HEIGHT + BAR_TITLE_ROOM + MARGIN
    below = MARGIN + (NOTE_ROOM if note else 0.0)
    bottoms, top = {}, below
    for row in reversed(rows):
        bottoms[row] = top
        top += high + (ROW_GAP if row == "Truth" else COLUMN_TITLE_ROOM)
    sheet = Sheet(grid, width, top + TITLE_HEIGHT)
    for row, fields in rows.items():
        colours, label = scales[row]
        for column in range(len(chosen)):
            field = fields.isel(lead_time=column)
            left = MARGIN + ROW_TITLE_ROOM + column * (wide + COLUMN_GAP)
            text = {"Forecast": f"{hours(field['lead_time']):g} h", "Truth": ""}.get(row)
            panel = Panel(field, score(field, quantity) if text is None else text, colours, label)
            mesh = sheet.add_map(panel, left, bottoms[row], wide, labels=False)
        sheet.figure.text(
            (MARGIN + ROW_TITLE_ROOM / 2) / sheet.width, (bottoms[row] + high / 2) / sheet.height,
            row, rotation=90, ha="center", va="center", fontsize=10,
        )  # fmt: skip
        # Forecast and truth share the bar that the lower of them draws.
        if row != "Forecast" or truth is None:
            start = bottoms["Forecast" if row == "Truth" else row] + high
            place = (right + BAR_GAP - COLUMN_GAP, bottoms[row], BAR_HEIGHT, start - bottoms[row])
            sheet.add_bar(mesh, panel, place)
    what = "Forecast of" if truth is None else "Forecast, truth and error of"
    sheet.set_heading(title or heading(what, quantity.long_name, forecast))
    sheet.add_note(note)
    return sheet.figure


def _leads(
    forecast: xr.DataArray, leads: Sequence[np.timedelta64 | str] | None
) -> list[np.timedelta64]:
    """Those asked for, or at most six in equal steps up to the last."""
    held = forecast["lead_time"].values
    if leads is None:
        step = -(-held.size // MOST_LEADS)
        return list(held[::-1][::step][::-1])
    chosen = [pd.Timedelta(lead).to_numpy() for lead in leads]
    for lead, asked in zip(chosen, leads, strict=True):
        if lead not in held:
            raise InputError(
                f"no lead {asked} in this forecast of {forecast.name}; it has "
                f"{held.size} from {pd.Timedelta(held[0])} to {pd.Timedelta(held[-1])}"
            )
    return chosen
