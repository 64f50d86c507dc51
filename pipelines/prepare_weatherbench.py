"""From an archive to the two stores that the paper's weather benchmarks are trained on.

    python pipelines/prepare_weatherbench.py [--source weatherbench2-hourly] [--out runs/weatherbench]

writes surface_1h.zarr (WeatherBench-S: t2m, u10, v10, tcc, r at 1000 hPa, hourly) and levels_6h.zarr
(WeatherBench-M: r, t, u, v at 150, 500 and 850 hPa, every six hours), with statistics and
climatology of the training years, and beside each a picture to look at before an hour is spent on
training. One Dask cluster serves both. Stopped at any moment, the same command goes on.

An hourly archive of 0.25 degrees has 36 GB for a variable and year: have the workers near it, or
name a WeatherBench 1 folder of 5.625 degrees with --source.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from look_at_store import look_at
from rich.console import Console
from running import run_script

from weathersvq.cli.progress import PrepareLine
from weathersvq.data.plan import Request, make_plan
from weathersvq.data.prepare import prepare
from weathersvq.data.remote import Network
from weathersvq.data.workers import check_scheduler, start_workers
from weathersvq.errors import InputError

console = Console()

STORES: dict[str, dict[str, Any]] = {
    "surface_1h.zarr": {"variables": "t2m,uv10,tcc,r@1000", "step": "1h"},
    "levels_6h.zarr": {"variables": "r,t,u,v", "levels": (150, 500, 850), "step": "6h"},
}


def main(
    source: Annotated[
        str, typer.Option(help="Hourly archive: an alias, a URL, a folder or files.")
    ] = "weatherbench2-hourly",
    out: Annotated[Path, typer.Option(help="Folder of the stores.")] = Path("runs/weatherbench"),
    period: Annotated[str, typer.Option(help="All years.")] = "2010/2018",
    train_period: Annotated[str, typer.Option(help="Years of the statistics.")] = "2010/2015",
    store: Annotated[
        list[str] | None, typer.Option(help="Only this one; may be given again.")
    ] = None,
    on_bad: Annotated[str, typer.Option(help="raise, mask or skip.")] = "raise",
    scheduler: Annotated[
        str, typer.Option(help="local, synchronous, or tcp://HOST:PORT.")
    ] = "local",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes of `local`.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder that keeps what is fetched.")] = None,
) -> None:
    """Prepare both stores and draw what is in them."""
    check_scheduler(scheduler)
    unknown = [name for name in store or () if name not in STORES]
    if unknown:
        raise InputError(f"unknown store {unknown[0]!r}; expected {' or '.join(STORES)}")
    with start_workers(scheduler, workers) as crew:
        if crew.dashboard:
            console.print(f"Dask dashboard at {crew.dashboard}")
        for name in store or STORES:
            request = Request.model_validate(
                {
                    "source": source,
                    "period": period,
                    "train_period": train_period,
                    "on_bad": on_bad,
                    **STORES[name],
                }
            )
            plan = make_plan(request, Network(cache=cache))
            console.print(f"[bold]{name}[/bold]: {plan.describe()}", highlight=False)
            with PrepareLine(len(plan.channels)) as line:
                prepare(plan, out / name, crew, report=line)
            picture = look_at(out / name, (out / name).with_suffix(".png"))
            console.print(f"wrote {out / name} and {picture}", highlight=False)


if __name__ == "__main__":
    run_script(main)
