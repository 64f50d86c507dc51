"""From forecast to output: a job of any length, written and scored while it is being computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from weathersvq.errors import InputError
from weathersvq.forecasting.job import ForecastJob, Part, Times
from weathersvq.metrics.tally import Tally, forecast_fields
from weathersvq.output import write_forecast, zarr_stream
from weathersvq.variables import Channel


@dataclass(frozen=True, eq=False)
class Written:
    """What is left in memory of a job that has been written.

    Attributes:
        first: forecast of the first init, for maps.
        tally: scores by lead over all inits.
    """

    first: xr.Dataset
    tally: Tally


def forecast_targets(out: Path | None, var: str | None, inits: Times) -> list[Path]:
    """Where forecasts go: to `out`, or to a file an init in ./forecasts/.

    Raises:
        InputError: a NetCDF file for several inits.
    """
    if out is not None:
        if out.suffix == ".nc" and inits.size > 1:
            raise InputError(
                f"{str(out)!r} can hold one init only, but {inits.size} are asked for; "
                "name a .zarr, or leave --out away for a file each"
            )
        return [out]
    name = (var or "all").replace(",", "_").replace("@", "")
    stamps = [str(t.astype("datetime64[m]")).replace("-", "").replace(":", "") for t in inits]
    return [Path("forecasts") / f"{name}_{stamp}.nc" for stamp in stamps]


def write_job(
    job: ForecastJob,
    targets: Sequence[Path],
    *,
    overwrite: bool = False,
    report: Callable[[int, int], None] = lambda _done, _of: None,
) -> Written:
    """Compute a job and write it part by part: the next part is computed while one is written.

    Memory is bounded, whatever the number of inits: beside what `ForecastJob` holds, the part that
    is being written, twice at most, and sums of its scores.

    Args:
        job: not yet begun.
        targets: one Zarr store, or a NetCDF file for each init.
        overwrite: whether what is there is replaced.
        report: told how many inits of how many are computed.

    Returns:
        Scores, and the first forecast. If anything fails, a Zarr store is not there at all; of
        NetCDF files there are whole ones of the inits before.

    Raises:
        InputError, OSError: as `ForecastJob`, `zarr_stream` and `write_forecast`.
    """
    tally = Tally()
    first: xr.Dataset | None = None
    done = 0
    with ExitStack() as stack:
        write: Callable[[xr.Dataset], None]
        if targets[0].suffix == ".zarr":
            write = stack.enter_context(zarr_stream(targets[0], job.inits, overwrite=overwrite))
        else:
            write = _FileEach(targets, overwrite)

        def finish(part: Part) -> None:
            write(part.forecast)
            tally.add(part.forecast, part.initial)

        # Left before the store gets its name, so that the last part is in it.
        writer = stack.enter_context(ThreadPoolExecutor(max_workers=1))
        pending: Future[None] | None = None
        for part in job:
            if pending is not None:
                pending.result()
            pending = writer.submit(finish, part)
            if first is None:
                first = part.forecast.isel(init_time=[0]).copy(deep=True)
            done += part.forecast.sizes["init_time"]
            report(done, job.inits.size)
        if pending is not None:
            pending.result()
    assert first is not None
    return Written(first, tally)


def draw_maps(forecast: xr.Dataset, target: Path) -> list[Path]:
    """Maps of the first init's last lead and of its error, beside the forecast file."""
    from weathersvq.maps import error_map, forecast_map, picture_beside, save_figure

    written = []
    init, lead = forecast["init_time"].values[0], forecast["lead_time"].values[-1]
    fields = forecast_fields(forecast)
    for name, level in fields:
        drawings = {"forecast": forecast_map}
        if f"{name}_error" in forecast:
            drawings["error"] = error_map
        for kind, draw in drawings.items():
            path = picture_beside(target, Channel(name, level) if len(fields) > 1 else None, kind)
            save_figure(draw(forecast, name, init=init, lead=lead, level=level), path)
            written.append(path)
    return written


class _FileEach:
    """Writes each init of the parts to the next of the targets."""

    def __init__(self, targets: Sequence[Path], overwrite: bool) -> None:
        self.targets = iter(targets)
        self.overwrite = overwrite

    def __call__(self, part: xr.Dataset) -> None:
        for position in np.arange(part.sizes["init_time"]):
            one = part.isel(init_time=[position])
            write_forecast(one, next(self.targets), overwrite=self.overwrite)
