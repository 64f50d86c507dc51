"""The verb `prepare`: an archive, or frames of any form, becomes a store to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from weathersvq.cli.common import make_console


def prepare(
    source: Annotated[
        str,
        typer.Option(help="An archive: a folder, files, a Zarr store, a URL, or an alias of one."),
    ],
    out: Annotated[Path, typer.Option(help="NAME.zarr.")],
    vars_: Annotated[
        str | None,
        typer.Option("--vars", help="Such as t2m,uv10,r@1000; all that there are if not given."),
    ] = None,
    levels: Annotated[
        str | None, typer.Option(help="hPa, such as 150,500,850, of all variables on levels.")
    ] = None,
    derive: Annotated[
        str | None, typer.Option(help="Variables to compute, such as ws10,r2m,tisr,lsm.")
    ] = None,
    period: Annotated[
        str | None, typer.Option(help="START/STOP, such as 2010/2018; all if not given.")
    ] = None,
    step: Annotated[str | None, typer.Option(help="Take every ..., such as 6h.")] = None,
    grid: Annotated[
        str, typer.Option(help="5.625, 2.8125, 1.40625 (degrees), `source`, or a file on it.")
    ] = "5.625",
    method: Annotated[str, typer.Option(help="conservative or bilinear.")] = "conservative",
    on_bad: Annotated[
        str,
        typer.Option(help="Fields that can't be right: raise; mask them; or skip their times."),
    ] = "raise",
    train_period: Annotated[
        str | None,
        typer.Option(help="START/STOP of statistics and climatology; all if not given."),
    ] = None,
    scheduler: Annotated[
        str, typer.Option(help="local (a process a core), synchronous, or tcp://HOST:PORT.")
    ] = "local",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes of `local`.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder in which what is fetched is kept.")
    ] = None,
    deadline: Annotated[
        float,
        typer.Option(min=1, help="Seconds after which a read that keeps failing is given up."),
    ] = 600.0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a store made by another recipe.")
    ] = False,
    frames: Annotated[
        bool, typer.Option("--frames", help="The source is pictures or video, not fields.")
    ] = False,
    form: Annotated[
        str | None, typer.Option(help="--frames: how they are laid out; found out if not given.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="--frames: KEY=VALUE of the form, such as layout=tnhw; again for more."),
    ] = None,
) -> None:
    """Turn an archive into a store of small maps to train on; stopped, it goes on where it was.

    With --frames: pictures, videos or arrays into a frame store.
    """
    if frames:
        _prepare_frames(source, form, option or [], out, overwrite)
        return
    from weathersvq.cli.describe import describe
    from weathersvq.cli.progress import PrepareLine
    from weathersvq.cli.tables import print_rows
    from weathersvq.data.plan import make_plan, parse_request
    from weathersvq.data.prepare import check_store_target, prepare
    from weathersvq.data.remote import Network
    from weathersvq.data.workers import check_scheduler, start_workers

    check_store_target(out)
    check_scheduler(scheduler)
    request = parse_request(
        source=source, variables=vars_, levels=levels, derive=derive, period=period, step=step,
        grid=grid, method=method, on_bad=on_bad, train_period=train_period,
    )  # fmt: skip
    plan = make_plan(request, Network(cache=cache, deadline_seconds=deadline))
    console = make_console()
    console.print(plan.describe(), highlight=False, soft_wrap=True)
    with start_workers(scheduler, workers) as crew:
        if crew.dashboard:
            console.print(f"Dask dashboard at {crew.dashboard}", highlight=False, soft_wrap=True)
        with PrepareLine(len(plan.channels)) as line:
            done = prepare(plan, out, crew, overwrite=overwrite, report=line)
    if not done:
        console.print(f"{out} is there already, complete and made by the same recipe")
        return
    print_rows(console, describe(str(out)))
    console.print(f"wrote {out}", highlight=False, soft_wrap=True)


def _prepare_frames(
    source: str, form: str | None, options: list[str], out: Path, overwrite: bool
) -> None:
    """Read frames of any form once and write them as a store."""
    import yaml

    from weathersvq.cli.progress import CountLine
    from weathersvq.data.frames import open_frames, write_frame_store
    from weathersvq.errors import InputError

    chosen = {}
    for text in options:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--option {text!r} is not of the form KEY=VALUE")
        chosen[key] = yaml.safe_load(value)
    found = open_frames(source, form, **chosen)
    console = make_console()
    count, channels, height, width = found.shape
    console.print(
        f"{source}: {count:,} frames of {channels} x {height} x {width} in {len(found.clips):,} "
        f"clips; {found.comment}".rstrip("; "),
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    with CountLine("frames") as line:
        write_frame_store(found, out, form=form or "", overwrite=overwrite, report=line)
    console.print(f"wrote {out}", highlight=False, soft_wrap=True)
