"""Forecasts in memory: the verb `forecast` as a function."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from weathersvq.api.arguments import moments, silent
from weathersvq.api.models import load_model
from weathersvq.api.selection import labelled
from weathersvq.data.sources import open_source
from weathersvq.grid import Grid
from weathersvq.metrics.tally import field_names
from weathersvq.output import check_target, read_forecast
from weathersvq.variables import parse_channels

if TYPE_CHECKING:
    from weathersvq.api.arguments import AnyPath, Length, Model, Moment, Names, Report, Source


def forecast(
    init: Moment | int | Iterable[Moment | int],
    var: Names | None = None,
    lead: Length | int | None = None,
    *,
    source: Source = "sample",
    model: Model = "bundled",
    out: AnyPath | None = None,
    overwrite: bool = False,
    device: str = "auto",
    precision: str = "fp32",
    compiled: bool = False,
    report: Report = silent,
) -> xr.Dataset:
    """Forecast from one or several initial times.

    Args:
        init: initial time (UTC), text such as `2017-01-01T06` or `START/STOP/STEP`, a datetime, or
            several of them. Of a model of frames: the number of a window of the test split.
        var: variables, such as `t2m,uv10`; all of the model's if None.
        lead: longest lead, such as `72h`; the trained ones if None. Beyond them the model's output
            is fed back. Of a model of frames: how many.
        source: what holds the initial states: a name (see `open_source`) or a dataset.
        model: `bundled`, a file, or a model in memory.
        out: Zarr store or NetCDF file, to which the forecasts are streamed while they are made; for
            more of them than memory holds.
        overwrite: whether what `out` names is replaced.
        device: `auto`, `cpu` or `cuda`.
        precision: `fp32` or `bf16`.
        compiled: whether torch compiles the model first: for many initial times.
        report: told how many initial times of how many are written, with `out`.

    Returns:
        Dataset (init_time, lead_time, [level,] latitude, longitude), physical units; where the
        source knows what followed also `NAME_truth` and `NAME_error` (forecast minus truth); the
        initial state as the coordinate `NAME_initial`. With `out`, opened lazily from there. Of a
        model of frames, see `forecasting.frames.forecast_frames`.

    Raises:
        InputError: times, variables or leads that model or source do not have, data that do not fit
            the model, an `out` that can't be written.
    """
    from weathersvq.forecasting.frames import check_frame_target, frame_forecast, write_frames
    from weathersvq.forecasting.job import make_job, parse_inits
    from weathersvq.forecasting.stream import forecast_targets, write_job

    checkpoint = load_model(model)
    asked = moments(init)
    path = None if out is None else Path(out)
    if checkpoint.experiment.data.kind == "frames":
        if path is not None:
            check_frame_target(path, overwrite)
        frames, _ = frame_forecast(
            checkpoint, list(map(str, asked)), lead, source=source, device=device
        )
        if path is not None:
            write_frames(frames, path, overwrite=overwrite)
        return frames
    inits = parse_inits(asked)
    if path is not None:
        (path,) = forecast_targets(path, None, inits)
        check_target(path, overwrite=overwrite)
    job = make_job(
        checkpoint, inits, var, lead, source=source, device=device, precision=precision,
        compiled=compiled,
    )  # fmt: skip
    if path is None:
        return labelled(job.whole(), job.dataset).load()
    write_job(job, [path], overwrite=overwrite, report=report)
    return labelled(read_forecast(path), job.dataset)


def open_forecast(path: AnyPath, *, source: Source | None = None) -> xr.Dataset:
    """A forecast that was written before, as `forecast` gives it.

    Args:
        path: NetCDF file, read whole, or Zarr store, opened lazily.
        source: what it started from, so that `scores` can set persistence beside it; without it the
            forecast comes without its initial state.

    Raises:
        InputError: nothing there, nothing that can be read, no forecast.
    """
    found = read_forecast(Path(path))
    if source is None:
        return labelled(found)
    own = Grid.of(found)
    names = field_names(found)
    dataset = open_source(source, parse_channels(names), grid=own if own.is_global else None)
    return labelled(found, dataset)
