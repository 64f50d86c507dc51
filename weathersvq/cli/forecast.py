"""The verb `forecast`: from initial times to files, scores and maps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weathersvq.cli.common import make_console

if TYPE_CHECKING:
    from weathersvq.checkpoint import Checkpoint

# More files than these are not named one by one.
MOST_FILES_NAMED = 20


def forecast(
    init: Annotated[
        list[str],
        typer.Option(help="Initial time (UTC), or START/STOP/STEP; may be given again."),
    ],
    var: Annotated[
        str | None,
        typer.Option(help="Variables, such as t2m or t2m,uv10; all of the model's if not given."),
    ] = None,
    lead: Annotated[
        str | None,
        typer.Option(help="Longest lead, such as 72h; beyond the trained ones output is fed back."),
    ] = None,
    source: Annotated[
        str, typer.Option(help="`sample`, a folder, NetCDF, GRIB or Zarr, local or a URL.")
    ] = "sample",
    model: Annotated[
        str, typer.Option(help="`bundled`, or a checkpoint (.safetensors).")
    ] = "bundled",
    out: Annotated[
        Path | None,
        typer.Option(help="FILE.nc or FILE.zarr; without it, files named by variable and init."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace what --out names.")] = False,
    maps: Annotated[bool, typer.Option(help="Draw maps of the forecast and its error.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="fp32 or bf16, which is faster; its error against fp32 is shown.")
    ] = "fp32",
    compile_: Annotated[
        bool, typer.Option("--compile", help="Compile the model first: for many inits.")
    ] = False,
) -> None:
    """Forecast from one or several initial times, with maps and scores."""
    from weathersvq.api.models import load_model
    from weathersvq.forecasting.job import make_job, parse_inits
    from weathersvq.forecasting.stream import draw_maps, forecast_targets, write_job
    from weathersvq.output import check_target

    checkpoint = load_model(model)
    if checkpoint.experiment.data.kind == "frames":
        _forecast_frames(checkpoint, init, lead, source, out, overwrite, device)
        return
    inits = parse_inits(init)
    targets = forecast_targets(out, var, inits)
    replace = overwrite or out is None
    for target in targets:
        check_target(target, overwrite=replace)
    job = make_job(
        checkpoint, inits, var, lead, source=source, device=device, precision=precision,
        compiled=compile_,
    )  # fmt: skip

    import dask
    from dask import threaded

    from weathersvq.cli.progress import CountLine
    from weathersvq.cli.tables import print_precision, print_scores

    console = make_console()
    if precision != "fp32":
        print_precision(console, job.precision_errors(), precision, min(job.batch_size, inits.size))
    # There is no cluster in this process; to look for one, dask would import all of distributed.
    with dask.config.set(scheduler=threaded.get), CountLine("inits") as line:
        done = write_job(job, targets, overwrite=replace, report=line)
    print_scores(console, done.tally)
    drawn = draw_maps(done.first, targets[0]) if maps else []
    if len(targets) > MOST_FILES_NAMED:
        console.print(
            f"wrote {len(targets)} files {targets[0]} to {targets[-1]}",
            highlight=False,
            soft_wrap=True,
        )
        targets = []
    for path in (*targets, *drawn):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
    if done.first.attrs["simulated"] == "true":
        console.print(
            "Note: the bundled sample is a climate simulation under its own calendar, "
            "not past weather."
            if source == "sample"
            else "Note: these data are a climate simulation, not past weather.",
            soft_wrap=True,
        )


def _forecast_frames(
    checkpoint: Checkpoint,
    init: list[str],
    lead: str | None,
    source: str,
    out: Path | None,
    overwrite: bool,
    device: str,
) -> None:
    """Forecast frames: windows of the test split by their numbers, leads in frames."""
    from weathersvq.cli.tables import print_frame_scores
    from weathersvq.forecasting.frames import check_frame_target, frame_forecast, write_frames

    path = out or Path("forecasts") / f"{checkpoint.experiment.name}.zarr"
    check_frame_target(path, overwrite or out is None)
    result, series = frame_forecast(checkpoint, init, lead, source=source, device=device)
    console = make_console()
    print_frame_scores(console, result, series.channels, series.units)
    write_frames(result, path, overwrite=overwrite or out is None)
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)
