"""The verb `evaluate`: models and forecasts scored over a period."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from weathersvq.cli.common import make_console


def evaluate(
    forecasts: Annotated[
        list[str],
        typer.Argument(help="`bundled`, checkpoints, forecasts (.nc, .zarr); each also NAME=PATH."),
    ],
    source: Annotated[
        str, typer.Option(help="Truth: `sample`, a folder, NetCDF, GRIB or Zarr, local or a URL.")
    ] = "sample",
    period: Annotated[
        str | None,
        typer.Option(
            help="START/STOP; what there is of the first model's test period if not given."
        ),
    ] = None,
    every: Annotated[
        str | None, typer.Option(help="Distance of initial times, such as 24h; all if not given.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many initial times, spread evenly.")
    ] = None,
    var: Annotated[
        str | None, typer.Option(help="Variables, such as t2m,uv10; all common ones if not given.")
    ] = None,
    lead: Annotated[
        str | None, typer.Option(help="Longest lead, such as 72h; the common ones if not given.")
    ] = None,
    by: Annotated[
        str, typer.Option(help="What --out is split by: some of lead,region,season,hour.")
    ] = "lead,region",
    region: Annotated[
        list[str] | None,
        typer.Option(
            help="tropics, land, ..., [NAME=]LAT0,LAT1,LON0,LON1 or [NAME=]MASK.nc; may be given "
            "again; all named ones if not given."
        ),
    ] = None,
    climatology: Annotated[
        str | None,
        typer.Option(help="Period it is fitted to; the first model's training if not given."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="One page, FILE.html, or FILE.md with pictures beside it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Scores, FILE.nc or FILE.csv.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap behind the intervals.")] = 0,
    scheduler: Annotated[
        str, typer.Option(help="local (a process a core), synchronous, or tcp://HOST:PORT.")
    ] = "local",
    workers: Annotated[int, typer.Option(min=1, help="Processes of `local`.")] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what --out and --report name.")
    ] = False,
) -> None:
    """Score models and forecasts over a period, beside persistence and climatology."""
    from weathersvq.api.verification import evaluate as run
    from weathersvq.cli.progress import CountLine
    from weathersvq.cli.tables import print_evaluation
    from weathersvq.verification.results import OUTPUTS, REPORTS, check_file

    for path, suffixes in ((out, OUTPUTS), (report, REPORTS)):
        if path is not None:
            check_file(path, suffixes, overwrite=overwrite)
    with CountLine("inits") as line:
        results = run(
            forecasts, source=source, period=period, every=every, limit=limit, var=var, lead=lead,
            by=by, regions=region or [], climatology=climatology, seed=seed, scheduler=scheduler,
            workers=workers, report=line,
        )  # fmt: skip
    console = make_console()
    print_evaluation(console, results)
    if out is not None:
        results.write(out, overwrite=overwrite)
        console.print(f"wrote {out}", highlight=False, soft_wrap=True)
    if report is not None:
        results.report(report, overwrite=overwrite)
        console.print(f"wrote {report}", highlight=False, soft_wrap=True)
