"""Beside the verb `map`: what is drawn of a stored forecast, and where the picture goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure

from weathersvq.cli.progress import CountLine
from weathersvq.data.windows import parse_step, parse_time
from weathersvq.errors import InputError, near_misses
from weathersvq.maps import (
    animate,
    check_movie,
    check_suffix,
    error_map,
    forecast_map,
    lead_strip,
    picture_beside,
    rmse_map,
    save_animation,
    save_figure,
    wind_map,
)
from weathersvq.maps.fields import select
from weathersvq.maps.wind import Style, check_style
from weathersvq.maps.words import note_of
from weathersvq.metrics.tally import forecast_fields
from weathersvq.output import read_forecast
from weathersvq.variables import Channel, parse_channels


@dataclass(frozen=True, eq=False)
class Picture:
    """What is asked for, with every default filled in.

    Attributes:
        kind: a key of `KINDS`.
        forecast: dims (init_time, lead_time, [level,] latitude, longitude).
        channels: one; of wind, two.
        lead: of the map; a strip or an animation ends there.
        path: where it goes.
    """

    kind: str
    forecast: xr.Dataset
    channels: tuple[Channel, ...]
    init: np.datetime64
    lead: np.timedelta64
    style: Style
    path: Path

    def one(self, channel: Channel) -> xr.DataArray:
        """(latitude, longitude)."""
        return select(self.forecast, channel.name, self.init, self.lead, channel.level)

    def course(self) -> tuple[xr.DataArray, xr.DataArray | None]:
        """(lead_time, latitude, longitude) of forecast and truth, None if nothing of it is known."""
        channel = self.channels[0]
        names = (channel.name, f"{channel.name}_truth")
        course, truth = (
            select(self.forecast, name, self.init, level=channel.level)
            .sel(lead_time=slice(None, self.lead))
            .load()
            if name in self.forecast
            else None
            for name in names
        )
        assert course is not None
        return course, truth if truth is not None and truth.notnull().any() else None


def _forecast(asked: Picture) -> Figure:
    (channel,) = asked.channels
    return forecast_map(asked.forecast, channel.name, asked.init, asked.lead, level=channel.level)


def _error(asked: Picture) -> Figure:
    (channel,) = asked.channels
    return error_map(asked.forecast, channel.name, asked.init, asked.lead, level=channel.level)


def _strip(asked: Picture) -> Figure:
    return lead_strip(*asked.course(), note=note_of(asked.forecast))


def _wind(asked: Picture) -> Figure:
    u, v = (asked.one(channel) for channel in asked.channels)
    return wind_map(u, v, style=asked.style, note=note_of(asked.forecast))


def _animation(asked: Picture) -> FuncAnimation:
    return animate(*asked.course(), note=note_of(asked.forecast))


def _rmse(asked: Picture) -> Figure:
    (channel,) = asked.channels
    name = f"{channel.name}_error"
    if name not in asked.forecast:
        raise InputError(f"no truth for {channel} in this forecast, so that it has no RMSE")
    error = select(asked.forecast, name, lead=asked.lead, level=channel.level)
    return rmse_map(error, note=note_of(asked.forecast))


KINDS: Mapping[str, Callable[[Picture], Figure | FuncAnimation]] = {
    "forecast": _forecast,
    "error": _error,
    "strip": _strip,
    "wind": _wind,
    "animation": _animation,
    "rmse": _rmse,
}


def plan_picture(
    path: Path,
    kind: str,
    *,
    var: str | None,
    init: str | None,
    lead: str | None,
    style: str | None,
    out: Path | None,
) -> Picture:
    """Everything that can be wrong is found here, before anything is drawn.

    Raises:
        InputError: an unknown kind, no forecast at `path`, a variable, init, lead or level that it
            lacks, an option that does not belong to the kind, a suffix that is no picture's.
    """
    if kind not in KINDS:
        raise InputError(
            f"unknown kind {kind!r}{near_misses(kind, KINDS)}; expected {', '.join(KINDS)}"
        )
    if style is not None and kind != "wind":
        raise InputError(f"--style {style} is of --kind wind alone, not of {kind}")
    if init is not None and kind == "rmse":
        raise InputError("--kind rmse is over all inits; leave --init away")
    check = check_movie if kind == "animation" else check_suffix
    if out is not None:
        check(out)
    forecast = read_forecast(path)
    fields = [Channel(*each) for each in forecast_fields(forecast)]
    channels = _wind_in(fields) if kind == "wind" else fields[:1]
    if var is not None:
        channels = list(parse_channels(var))
        if len(channels) != (2 if kind == "wind" else 1):
            wanted = "two components" if kind == "wind" else "one variable"
            raise InputError(f"--kind {kind} shows {wanted}, not --var {var}")
    inits, leads = forecast["init_time"].values, forecast["lead_time"].values
    # The wind at 10 metres is one of its kind.
    alone = len(fields) == len(channels) or (kind == "wind" and channels[0].level is None)
    suffix = ".gif" if kind == "animation" else ".png"
    picture = Picture(
        kind, forecast, tuple(channels),
        inits[0] if init is None else parse_time(init),
        leads[-1] if lead is None else parse_step(lead),
        check_style(style or "arrows"),
        out or picture_beside(path, None if alone else channels[0], kind, suffix),
    )  # fmt: skip
    for channel in channels:
        picture.one(channel)
    return picture


def _wind_in(fields: list[Channel]) -> list[Channel]:
    """The two components at 10 metres, or at the first level that has them.

    Raises:
        InputError: there is no wind.
    """
    levels = [field.level for field in fields if field.name == "u"]
    pairs = [parse_channels("uv10"), *((Channel("u", at), Channel("v", at)) for at in levels)]
    for pair in pairs:
        if set(pair) <= set(fields):
            return list(pair)
    raise InputError(f"no wind in this forecast; it holds {', '.join(map(str, fields))}")


def write_picture(picture: Picture) -> Path:
    """Draw and write it, with a line that says how far an animation is."""
    drawn = KINDS[picture.kind](picture)
    if isinstance(drawn, Figure):
        return save_figure(drawn, picture.path)
    with CountLine("frames") as line:
        return save_animation(drawn, picture.path, report=line)
