"""Verification: the verb `evaluate` as a function."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import xarray as xr

from weathersvq.api.arguments import listed, silent
from weathersvq.data.workers import check_scheduler, start_workers
from weathersvq.errors import InputError
from weathersvq.verification.evaluation import evaluate as run
from weathersvq.verification.plan import make_plan
from weathersvq.verification.results import Results, parse_by

if TYPE_CHECKING:
    from weathersvq.api.arguments import AnyPath, Model, Names, Report


def evaluate(
    models: Model | Sequence[Model] | Mapping[str, Model] = "bundled",
    *,
    source: AnyPath = "sample",
    period: str | None = None,
    every: str | None = None,
    limit: int | None = None,
    var: Names | None = None,
    lead: str | None = None,
    by: Names = ("lead", "region"),
    regions: Sequence[str] = (),
    climatology: str | None = None,
    seed: int = 0,
    scheduler: str = "synchronous",
    workers: int = 1,
    report: Report = silent,
) -> Results:
    """Score models and forecasts over a period, beside persistence and climatology.

    Args:
        models: `bundled`, models, files of models or of forecasts (.nc, .zarr); under names of your
            own as a dictionary, or as text `NAME=PATH`.
        source: truth and initial states, see `open_source`.
        period: START/STOP; the first model's test period if None.
        every: distance of initial times, such as `24h`; all if None.
        limit: at most so many initial times, spread evenly.
        var: variables; all common ones if None.
        lead: longest lead, such as `72h`; the common ones if None.
        by: what `scores` and `table` are split by: some of lead, region, season, hour.
        regions: such as `tropics` or `land`, `[NAME=]LAT0,LAT1,LON0,LON1`, `[NAME=]MASK.nc`; all
            named ones if none is given.
        climatology: period it is fitted to; the first model's training period if None.
        seed: of the bootstrap behind the intervals.
        scheduler, workers: see `prepare`.
        report: told how many initial times of how many are done.

    Returns:
        `table()` and `scores()` of it, `report("report.html")`, `write("scores.nc")`.

    Raises:
        InputError: see `verification.plan.make_plan`.
    """
    axes = parse_by(listed(by) or "")
    check_scheduler(scheduler)
    plan = make_plan(
        _contestants(models), source=os.fspath(source), period=period, every=every, limit=limit,
        var=listed(var), lead=lead, regions=regions, climatology=climatology,
    )  # fmt: skip
    # One process of its own would only cost its start.
    who = "synchronous" if scheduler == "local" and workers == 1 else scheduler
    with start_workers(who, workers) as crew:
        return Results(plan, run(plan, crew, report), axes, seed)


def _contestants(models: Model | Sequence[Model] | Mapping[str, Model]) -> list[str]:
    """As the verb takes them: PATH or NAME=PATH."""
    # A dataset is a mapping, too, but not one of models.
    if isinstance(models, Mapping) and not isinstance(models, xr.Dataset):
        return [f"{name}={_path_of(model)}" for name, model in models.items()]
    if isinstance(models, Sequence) and not isinstance(models, str):
        return [_path_of(model) for model in models]
    return [_path_of(models)]


def _path_of(model: Model) -> str:
    """A contestant is read where it is needed, which may be in another process: it needs a file."""
    if isinstance(model, str | os.PathLike):
        return os.fspath(model)
    path = getattr(model, "path", None)
    if path is None:
        raise InputError(
            f"what is in memory only ({type(model).__name__}) can't be evaluated; save it, a "
            "forecast by fc.svq.save('NAME.zarr'), and give the file"
        )
    return str(path)
