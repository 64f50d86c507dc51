"""Beside the flow: what data and forecasts in memory can do by themselves, as xarray's accessor `svq`.

    fc.t2m.svq.map(lead="12h")          a field: map, strip, animation
    fc.svq.error_map("t2m", lead="12h")  a forecast: beside its truth, wind, scores, saving

`fc` is what `weathersvq.forecast` gives; `map` and `animate` draw any field in canonical form.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import xarray as xr

from weathersvq.api.notebook import show_figures
from weathersvq.api.selection import across, chosen, initial_state, over, without_initial
from weathersvq.data.windows import parse_step
from weathersvq.errors import InputError, near_misses
from weathersvq.metrics.tally import Tally, field_names
from weathersvq.output import write_forecast
from weathersvq.output.form import ERROR, TRUTH, base_of
from weathersvq.variables import Channel

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.figure import Figure

    from weathersvq.api.arguments import Length, Moment

# Maps of one variable that are scored at a time.
MAPS_AT_A_TIME = 512
NO_TRUTH = "no truth of {} in this forecast; its source ended before it"


@xr.register_dataarray_accessor("svq")
class FieldAccessor:
    """What a field draws of itself: `fc.t2m.svq`."""

    def __init__(self, field: xr.DataArray) -> None:
        self._field = field

    def map(
        self,
        *,
        init: Moment | None = None,
        lead: Length | None = None,
        level: int | None = None,
        time: Moment | None = None,
    ) -> Figure:
        """The field on a map.

        Args:
            init: initial time; the first if None.
            lead: such as `12h`; the last if None.
            level: hPa; needed where there are several.
            time: of a field that is no forecast; the first if None.

        Raises:
            InputError: an init, lead, level or time that the field does not hold.
        """
        from weathersvq.maps import draw_map, error_colours, quantity_label
        from weathersvq.maps.words import error_label, heading

        field = chosen(self._field, init=init, lead=lead, level=level, time=time)
        quantity, suffix = base_of(str(field.name))
        field = field.rename(quantity.name)
        name = quantity.long_name
        if suffix == ERROR:
            return draw_map(
                field, title=heading("Error of forecast", name, field),
                label=error_label(quantity), colours=error_colours(field), note=_note(field),
            )  # fmt: skip
        what = "Forecast of" if "init_time" in field.coords and suffix != TRUTH else ""
        return draw_map(
            field, title=heading(what, name, field), label=quantity_label(quantity),
            note=_note(field),
        )  # fmt: skip

    def strip(
        self,
        *,
        init: Moment | None = None,
        leads: Sequence[Length] | None = None,
        level: int | None = None,
    ) -> Figure:
        """A row of maps by lead; beside the truth: `fc.svq.strip("t2m")`.

        Args:
            init: initial time; the first if None.
            leads: some of them; as many as fit if None.
            level: hPa; needed where there are several.

        Raises:
            InputError: an init, lead or level that the field does not hold, or no leads at all.
        """
        return _strip(self._field, None, init, leads, level)

    def animate(
        self,
        *,
        init: Moment | None = None,
        level: int | None = None,
        frames_per_second: float = 4,
    ) -> FuncAnimation:
        """The field in motion, over its leads or times; `maps.save_animation` writes it.

        Args:
            init: initial time; the first if None.
            level: hPa; needed where there are several.
            frames_per_second: maps a second.

        Raises:
            InputError: an init or level that the field does not hold.
        """
        return _animate(self._field, None, init, level, frames_per_second)


@xr.register_dataset_accessor("svq")
class ForecastAccessor:
    """What a forecast does by itself: `fc.svq`.

    Raises:
        InputError: a dataset that is no forecast.
    """

    def __init__(self, forecast: xr.Dataset) -> None:
        if not {"init_time", "lead_time"} <= set(forecast.coords):
            raise InputError(
                "this dataset has no init_time and lead_time, so it is no forecast; its fields draw "
                "themselves, as in ds.t2m.svq.map()"
            )
        self._forecast = forecast

    def error_map(
        self,
        name: str,
        *,
        init: Moment | None = None,
        lead: Length | None = None,
        level: int | None = None,
    ) -> Figure:
        """Forecast, truth and error side by side.

        Args:
            name: short name of the variable.
            init, lead, level: see `FieldAccessor.map`.

        Raises:
            InputError: a variable that the forecast does not hold or of which it has no truth; an
                init, lead or level that it does not hold.
        """
        from weathersvq.maps import error_map

        forecast, truth = self._pair(name)
        if truth is None:
            raise InputError(NO_TRUTH.format(name))
        one = chosen(forecast, init=init, lead=lead, level=level)
        other = chosen(truth, init=init, lead=lead, level=level)
        both = xr.Dataset({name: one, f"{name}{TRUTH}": other}, attrs=self._forecast.attrs)
        both = both.expand_dims(["init_time", "lead_time"])
        return error_map(both, name, both["init_time"].values[0], both["lead_time"].values[0])

    def rmse_map(
        self, name: str, *, lead: Length | None = None, level: int | None = None
    ) -> Figure:
        """Root-mean-square error of each cell over all initial times.

        Args:
            name: short name of the variable.
            lead, level: see `FieldAccessor.map`.

        Raises:
            InputError: as `error_map`.
        """
        from weathersvq.maps import rmse_map

        forecast, truth = self._pair(name)
        if truth is None:
            raise InputError(NO_TRUTH.format(name))
        forecast, truth = (across(each, lead, level) for each in (forecast, truth))
        error = (forecast - truth).rename(f"{name}{ERROR}").load()
        return rmse_map(error, note=_note(forecast))

    def strip(
        self,
        name: str,
        *,
        init: Moment | None = None,
        leads: Sequence[Length] | None = None,
        level: int | None = None,
    ) -> Figure:
        """Rows of maps by lead: forecast and, where they are known, truth and error.

        Args:
            name: short name of the variable.
            init, leads, level: see `FieldAccessor.strip`.

        Raises:
            InputError: as `FieldAccessor.strip`, or a variable that the forecast does not hold.
        """
        return _strip(*self._pair(name), init, leads, level)

    def animate(
        self,
        name: str,
        *,
        init: Moment | None = None,
        level: int | None = None,
        frames_per_second: float = 4,
    ) -> FuncAnimation:
        """A variable in motion over its leads, beside the truth where it is known.

        Args:
            name: short name of the variable.
            init, level, frames_per_second: see `FieldAccessor.animate`.

        Raises:
            InputError: as `FieldAccessor.animate`, or a variable that the forecast does not hold.
        """
        return _animate(*self._pair(name), init, level, frames_per_second)

    def wind(
        self,
        *,
        init: Moment | None = None,
        lead: Length | None = None,
        level: int | None = None,
        style: Literal["arrows", "streamlines"] = "arrows",
    ) -> Figure:
        """Wind as arrows or streamlines over its speed: of u10 and v10, or with a level of u and v.

        Args:
            init, lead, level: see `FieldAccessor.map`.
            style: how its direction is shown.

        Raises:
            InputError: a forecast without wind; an init, lead or level that it does not hold.
        """
        from weathersvq.maps import wind_map

        names = ("u10", "v10") if level is None else ("u", "v")
        u, v = (chosen(self._pair(name)[0], init=init, lead=lead, level=level) for name in names)
        return wind_map(u, v, style=style, note=_note(u))

    def scores(self) -> pd.DataFrame:
        """Scores by lead over all initial times, area-weighted, with persistence beside them.

        Returns:
            A row for each variable (and level) and lead: variable, units, lead_hours, mean (area
            mean of the forecast), rmse, bias, mae and persistence_rmse, all in these units; NaN where
            the truth, or for persistence the initial state, is not known.

        Raises:
            InputError: values that are missing in the forecast where the truth is known.
        """
        initial = initial_state(self._forecast)
        plain = without_initial(self._forecast)
        for dim in ("lead_time", "init_time"):
            if dim not in plain.dims:
                plain = plain.expand_dims(dim)
        tally = Tally()
        step = max(1, MAPS_AT_A_TIME // plain.sizes["lead_time"])
        for start in range(0, plain.sizes["init_time"], step):
            part = slice(start, start + step)
            state = None if initial is None else initial.isel(time=part).load()
            tally.add(plain.isel(init_time=part).load(), state)
        rows = []
        for name, level in tally.fields:
            channel = Channel(name, level)
            for row in tally.rows(name, level):
                values = asdict(row)
                lead_hours = values.pop("lead")
                rows.append(
                    {"variable": str(channel), "units": channel.variable.units}
                    | {"lead_hours": lead_hours}
                    | values
                )
        table = pd.DataFrame(rows)
        errors = ["rmse", "bias", "mae", "persistence_rmse"]
        return table.astype(dict.fromkeys(errors, np.float64))

    def save(
        self, path: str | os.PathLike[str], *, overwrite: bool = False, append: bool = False
    ) -> Path:
        """Write the forecast: one initial time as CF NetCDF (.nc), any number as Zarr (.zarr).

        Args:
            path: of the file or store.
            overwrite: whether what is there is replaced.
            append: whether the initial times are added to the store that is there.

        Raises:
            InputError: see `output.write_forecast`.
        """
        plain = without_initial(self._forecast)
        return write_forecast(plain, Path(path), overwrite=overwrite, append=append)

    def _pair(self, name: str) -> tuple[xr.DataArray, xr.DataArray | None]:
        """A variable's forecast and, where it is known, its truth."""
        names = field_names(self._forecast)
        if name not in names:
            raise InputError(
                f"no {name} in this forecast{near_misses(name, names)}; it holds {', '.join(names)}"
            )
        return self._forecast[name], self._forecast.get(f"{name}{TRUTH}")


def _strip(
    field: xr.DataArray,
    truth: xr.DataArray | None,
    init: Moment | None,
    leads: Sequence[Length] | None,
    level: int | None,
) -> Figure:
    from weathersvq.maps import lead_strip

    courses = _courses(field, truth, init, level)
    asked = None if leads is None else [parse_step(lead) for lead in leads]
    return lead_strip(*courses, leads=asked, note=_note(field))


def _animate(
    field: xr.DataArray,
    truth: xr.DataArray | None,
    init: Moment | None,
    level: int | None,
    frames_per_second: float,
) -> FuncAnimation:
    from weathersvq.maps import animate

    courses = _courses(field, truth, init, level)
    return animate(*courses, note=_note(field), frames_per_second=frames_per_second)


def _courses(
    field: xr.DataArray, truth: xr.DataArray | None, init: Moment | None, level: int | None
) -> tuple[xr.DataArray, xr.DataArray | None]:
    """(lead_time or time, latitude, longitude) of forecast and truth, None if nothing is known."""
    course = over(field, init, level).load()
    known = None if truth is None else over(truth, init, level).load()
    return course, known if known is not None and known.notnull().any() else None


def _note(field: xr.DataArray) -> str | None:
    from weathersvq.maps import SIMULATED_NOTE

    return SIMULATED_NOTE if field.attrs.get("simulated") == "true" else None


show_figures()
