"""Data: sources opened, and stores prepared, as the verb `prepare` does."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from weathersvq.api.arguments import listed, silent
from weathersvq.api.selection import marked
from weathersvq.data.sources import open_canonical
from weathersvq.data.sources import open_source as open_any_source
from weathersvq.errors import InputError
from weathersvq.grid import WEATHERBENCH_GRIDS, Grid
from weathersvq.variables import parse_channels

if TYPE_CHECKING:
    from weathersvq.api.arguments import AnyPath, Names, Report, Source


def open_source(
    source: Source = "sample",
    var: Names | None = None,
    *,
    grid: str | Grid = "5.625",
    method: str = "conservative",
) -> xr.Dataset:
    """Open any archive, without reading its fields, in the form that everything here takes.

    Args:
        source: `sample`, a folder, a file, a pattern, a Zarr store, a URL, an archive's short name
            (`arco-era5`), or a dataset in memory with the names, units and axes of any of them.
        var: variables, such as `t2m,uv10,t@850`; all that are known if None.
        grid: where global data that are on another one go: 5.625, 2.8125 or 1.40625 (degrees), or a
            grid. Regional data stay on their own.
        method: of regridding, `conservative` or `bilinear`.

    Returns:
        Dataset (time, [level,] latitude, longitude), short names, see `data.canonical`.

    Raises:
        InputError: nothing there, nothing that can be read, or a variable, level, axis or unit that
            is missing or unknown.
        OSError: a URL that can't be reached.
    """
    if not isinstance(grid, Grid):
        if grid not in WEATHERBENCH_GRIDS:
            raise InputError(
                f"unknown grid {grid!r}; expected one of {', '.join(WEATHERBENCH_GRIDS)} or a Grid"
            )
        grid = Grid.equiangular(float(grid))
    channels = None if var is None else parse_channels(var)
    return marked(open_any_source(source, channels, grid=grid, method=method))


def prepare(
    source: AnyPath,
    out: AnyPath,
    var: Names | None = None,
    *,
    levels: Sequence[int] = (),
    derive: Names = (),
    period: str | None = None,
    step: str | None = None,
    grid: str = "5.625",
    method: str = "conservative",
    on_bad: str = "raise",
    train_period: str | None = None,
    scheduler: str = "synchronous",
    workers: int | None = None,
    cache: AnyPath | None = None,
    deadline: float = 600.0,
    overwrite: bool = False,
) -> xr.Dataset:
    """Turn an archive into a store of small maps to train on; stopped, it goes on where it was.

    Args:
        source: see `open_source`.
        out: NAME.zarr.
        var: variables; all that there are if None.
        levels: hPa, of all variables on levels.
        derive: variables to compute, such as `ws10,r2m,tisr,lsm`.
        period: START/STOP, such as `2010/2018`; all if None.
        step: take every ..., such as `6h`.
        grid: 5.625, 2.8125, 1.40625 (degrees), `source`, or a file on it.
        method: `conservative` or `bilinear`.
        on_bad: what becomes of fields that can't be right: `raise`; `mask` them; `skip` their times.
        train_period: START/STOP of statistics and climatology; all if None.
        scheduler: `synchronous` (the verb's default, `local`, starts processes, for which a script
            must guard its main module), `local`, or `tcp://HOST:PORT`.
        workers: processes of `local`.
        cache: folder in which what is fetched is kept.
        deadline: seconds after which a read that keeps failing is given up.
        overwrite: whether a store made by another recipe is replaced.

    Returns:
        The store, opened as `open_source` does, on its own grid.

    Raises:
        InputError: see `data.plan.make_plan` and `data.prepare.prepare`.
        OSError: faults of disk, network or cluster; what is finished is kept.
    """
    from weathersvq.data.plan import make_plan, parse_request
    from weathersvq.data.prepare import check_store_target
    from weathersvq.data.prepare import prepare as run
    from weathersvq.data.remote import Network
    from weathersvq.data.workers import check_scheduler, start_workers

    target = Path(out)
    check_store_target(target)
    check_scheduler(scheduler)
    request = parse_request(
        source=os.fspath(source), variables=listed(var), levels=listed(map(str, levels)),
        derive=listed(derive), period=period, step=step, grid=grid, method=method, on_bad=on_bad,
        train_period=train_period,
    )  # fmt: skip
    network = Network(cache=None if cache is None else Path(cache), deadline_seconds=deadline)
    plan = make_plan(request, network)
    with start_workers(scheduler, workers) as crew:
        run(plan, target, crew, overwrite=overwrite)
    return marked(open_canonical(target))


def prepare_frames(
    source: AnyPath | NDArray[Any],
    out: AnyPath,
    form: str | None = None,
    *,
    overwrite: bool = False,
    report: Report = silent,
    **options: Any,
) -> Path:
    """Turn pictures or video of any form into a frame store, as `prepare --frames` does.

    Args:
        source: a file, a folder, or an array of frames such as (sequence, time, row, column).
        out: NAME.zarr.
        form: how they are laid out, such as `arrays` or `kth`; found out if None.
        overwrite: whether a store that is there is replaced.
        report: told how many frames of how many are written.
        options: of the form, such as `layout="nthw"`.

    Returns:
        The store's path, for `data.source` of an experiment on frames.

    Raises:
        InputError: see `data.frames.open_frames` and `write_frame_store`.
    """
    from weathersvq.data.frames import open_frames, write_frame_store

    path = Path(out)
    if not isinstance(source, np.ndarray):
        frames = open_frames(source, form, **options)
        write_frame_store(frames, path, form=form or "", overwrite=overwrite, report=report)
        return path
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frames.npy"
        np.save(file, source)
        frames = replace(open_frames(file, "arrays", **options), source="an array")
        write_frame_store(frames, path, form="arrays", overwrite=overwrite, report=report)
    return path
