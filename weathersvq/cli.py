"""The command line: one verb, one function. Heavy imports stay inside the verbs."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from weathersvq.checkpoint import Checkpoint

# More files than these are not named one by one.
MOST_FILES_NAMED = 20

# New objects after which garbage is looked for.
GARBAGE_THRESHOLD = 50_000

app = typer.Typer(
    name="weathersvq",
    help="Short-range forecasts on gridded climate data with SimVP and SVQ.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command()
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
    from weathersvq.data.windows import parse_step
    from weathersvq.forecast import ForecastJob, choose_channels, open_for, parse_inits
    from weathersvq.inference import parse_precision
    from weathersvq.output import check_target
    from weathersvq.stream import draw_maps, forecast_targets, write_job

    checkpoint = _open_model(model)
    if checkpoint.experiment.data.kind == "frames":
        _forecast_frames(checkpoint, init, lead, source, out, overwrite, device)
        return
    inits = parse_inits(init)
    longest = None if lead is None else parse_step(lead)
    reduced = parse_precision(precision)
    targets = forecast_targets(out, var, inits)
    replace = overwrite or out is None
    for target in targets:
        check_target(target, overwrite=replace)
    channels = choose_channels(checkpoint, var)

    from weathersvq.progress import CountLine
    from weathersvq.tables import print_precision, print_scores

    console = _console()
    job = ForecastJob(
        checkpoint, open_for(checkpoint, source), inits, channels=channels, lead=longest, device=device,
        precision=reduced, compiled=compile_,
    )  # fmt: skip
    if reduced != "fp32":
        print_precision(console, job.precision_errors(), precision, min(job.batch_size, inits.size))
    with CountLine("inits") as line:
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


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="Experiment, YAML.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a key, such as train.lr=1e-3; may be given again."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; runs/NAME if not given.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run there.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run there.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Processes a machine, one a GPU.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines that train together.")] = 1,
) -> None:
    """Train the model of a config and keep its best epoch."""
    from weathersvq.config import load_experiment
    from weathersvq.errors import InputError, SectionError

    experiment = load_experiment(config, set_ or [])
    try:
        from weathersvq.ranks import find_ranks
        from weathersvq.runs import run_summary
        from weathersvq.train import train as run
    except ModuleNotFoundError as error:
        if error.name != "lightning":
            raise
        raise InputError(
            "training needs lightning, which is not installed; pip install 'weathersvq[train]'"
        ) from error

    folder = out or Path("runs") / experiment.name
    try:
        path = run(
            experiment, folder, resume=resume, overwrite=overwrite, device=device,
            devices=devices, nodes=nodes,
        )  # fmt: skip
    except SectionError as error:
        raise InputError(f"{config}: {error}") from error
    if not find_ranks(devices, nodes).leads:
        return
    console = _console()
    console.print(run_summary(folder), highlight=False, soft_wrap=True)
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)


@app.command()
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
    from weathersvq.data.plan import make_plan, parse_request
    from weathersvq.data.prepare import check_store_target, prepare
    from weathersvq.data.remote import Network
    from weathersvq.data.workers import check_scheduler, start_workers
    from weathersvq.inspect import describe
    from weathersvq.progress import PrepareLine
    from weathersvq.tables import print_rows

    check_store_target(out)
    check_scheduler(scheduler)
    request = parse_request(
        source=source, variables=vars_, levels=levels, derive=derive, period=period, step=step,
        grid=grid, method=method, on_bad=on_bad, train_period=train_period,
    )  # fmt: skip
    plan = make_plan(request, Network(cache=cache, deadline_seconds=deadline))
    console = _console()
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

    from weathersvq.data.frames import open_frames, write_frame_store
    from weathersvq.errors import InputError
    from weathersvq.progress import CountLine

    chosen = {}
    for text in options:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--option {text!r} is not of the form KEY=VALUE")
        chosen[key] = yaml.safe_load(value)
    found = open_frames(source, form, **chosen)
    console = _console()
    count, channels, height, width = found.shape
    console.print(
        f"{source}: {count:,} frames of {channels} x {height} x {width} in {len(found.clips):,} "
        f"clips; {found.comment}".rstrip("; "),
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    with CountLine("frames") as line:
        write_frame_store(found, out, form=form or "", overwrite=overwrite, report=line)
    console.print(f"wrote {out}", highlight=False, soft_wrap=True)


@app.command()
def reproduce(
    table: Annotated[
        str | None, typer.Argument(help="Such as table4, figure7 or control; or `all` of them.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Say which there are.")] = False,
    scale: Annotated[
        str, typer.Option(help="full (the paper's), small (a night), smoke (minutes).")
    ] = "small",
    source: Annotated[
        str | None, typer.Option(help="Data instead of those that the table names.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Runs of each experiment; as the table says.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many of the runs, to see that they work.")
    ] = None,
    scheduler: Annotated[
        str, typer.Option(help="local (a process a core), synchronous, or tcp://HOST:PORT.")
    ] = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes of `local`: one a GPU, or a core.")
    ] = None,
    tables: Annotated[Path, typer.Option(help="Folder of the tables' descriptions.")] = Path(
        "configs/tables"
    ),
    study: Annotated[
        str | None, typer.Option(help="The only study of the table that is wanted.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of runs and reports.")] = Path("runs/reproduce"),
    report_to: Annotated[Path | None, typer.Option(help="Folder of reports, if another.")] = None,
) -> None:
    """Run the experiments of a table or figure of the paper; ours beside the paper's figures."""
    from weathersvq.errors import InputError
    from weathersvq.reproduce.tables import load_table, parse_scale, plan_runs, table_names

    console = _console()
    if list_ or table is None:
        for name in table_names(tables):
            console.print(
                f"{name}: {load_table(name, tables).title}", highlight=False, markup=False
            )
        return
    from weathersvq.data.workers import check_scheduler, start_workers
    from weathersvq.progress import RunsLine
    from weathersvq.reproduce.reproduce import Wanted
    from weathersvq.reproduce.reproduce import reproduce as run_tables
    from weathersvq.reproduce.runner import gpu_count

    check_scheduler(scheduler)
    chosen = parse_scale(scale)
    described = {
        name: load_table(name, tables)
        for name in (table_names(tables) if table == "all" else [table])
    }
    wanted = [
        Wanted(name, each, chosen, plan_runs(each, chosen, Path(), seeds, source, study)[:limit])
        for name, each in described.items()
        if table != "all" or each.has(chosen)
    ]
    runs = {run.folder_name for each in wanted for run in each.runs}
    # Tables without runs need nobody to do them.
    who = scheduler if runs else "synchronous"
    count = workers or gpu_count() or None
    with start_workers(who, count) as crew, RunsLine(len(runs)) as line:
        pages, failed = run_tables(wanted, out, crew, line, report_to)
    for page in pages:
        if table != "all":
            console.print(page.report.read_text("utf-8"), highlight=False, markup=False)
        for path in (page.report, *page.beside):
            console.print(f"wrote {path}", highlight=False, soft_wrap=True)
    if failed:
        first = failed[0]
        raise InputError(
            f"{len(failed)} of {len(runs)} runs failed, the first with: {first.failure} "
            f"(log: {first.folder / 'run.log'}); mend the cause and give the same command again"
        )


@app.command()
def evaluate(
    forecasts: Annotated[
        list[str],
        typer.Argument(help="`bundled`, checkpoints, forecasts (.nc, .zarr); each also NAME=PATH."),
    ],
    source: Annotated[
        str, typer.Option(help="Truth: `sample`, a folder, NetCDF, GRIB or Zarr, local or a URL.")
    ] = "sample",
    period: Annotated[
        str | None, typer.Option(help="START/STOP; the first model's test period if not given.")
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
    from weathersvq.data.workers import check_scheduler, start_workers
    from weathersvq.verification.plan import make_plan
    from weathersvq.verification.results import (
        OUTPUTS,
        REPORTS,
        Results,
        check_file,
        parse_by,
    )

    axes = parse_by(by)
    check_scheduler(scheduler)
    for path, suffixes in ((out, OUTPUTS), (report, REPORTS)):
        if path is not None:
            check_file(path, suffixes, overwrite=overwrite)
    plan = make_plan(
        forecasts, source=source, period=period, every=every, limit=limit, var=var, lead=lead,
        regions=region or [], climatology=climatology,
    )  # fmt: skip

    from weathersvq.progress import CountLine
    from weathersvq.tables import print_evaluation
    from weathersvq.verification.evaluation import evaluate as run

    who = "synchronous" if scheduler == "local" and workers == 1 else scheduler
    with start_workers(who, workers) as crew, CountLine("inits") as line:
        tally = run(plan, crew, line)
    results = Results(plan, tally, axes, seed)
    console = _console()
    print_evaluation(console, results)
    if out is not None:
        results.write(out)
        console.print(f"wrote {out}", highlight=False, soft_wrap=True)
    if report is not None:
        from weathersvq.verification.report import write_report

        write_report(results, report)
        console.print(f"wrote {report}", highlight=False, soft_wrap=True)


@app.command()
def inspect(
    path: Annotated[
        str, typer.Argument(help="`sample`, `bundled`, a store, a checkpoint or a forecast.")
    ],
) -> None:
    """Say what a store, a checkpoint or a forecast holds."""
    from weathersvq.inspect import describe
    from weathersvq.tables import print_rows

    print_rows(_console(), describe(path))


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="`bundled`, or a checkpoint (.safetensors).")],
    to: Annotated[str, typer.Option(help="torch-export (.pt2) or onnx (.onnx).")],
    out: Annotated[
        Path | None, typer.Option(help="The file; named as the checkpoint if not given.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Data to compare on; the sample if it fits the model.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Turn a model into a file for other programs: physical units in and out, any number of windows."""
    from weathersvq.export import export_model, export_target, real_inputs
    from weathersvq.tables import print_checks

    checkpoint = _open_model(model)
    path = export_target(checkpoint.name, to, out, overwrite=overwrite)
    real = real_inputs(checkpoint, source)
    checks = export_model(checkpoint, to, path, real=real, overwrite=overwrite)
    console = _console()
    print_checks(console, checks, checkpoint.units)
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)


@app.command()
def models(
    name: Annotated[
        str | None,
        typer.Argument(help="A model, translator or quantizer, to read about its options."),
    ] = None,
    benchmark: Annotated[
        str, typer.Option(help="Published benchmark whose models are listed.")
    ] = "weatherbench_s",
    case: Annotated[
        str | None, typer.Option(help="One of its shapes, such as uv10; the first if not given.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Experiment, YAML, whose benchmark and shape are taken.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every benchmark and shape.")] = False,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="For documents.")] = False,
) -> None:
    """List models with parameters and multiply-accumulates, beside the published ones."""
    from weathersvq import tables

    console = _console()
    if name is not None:
        from weathersvq.models.catalogue import find_part

        tables.print_part(console, find_part(name))
        return
    from weathersvq.models.catalogue import size_lists

    if config is not None:
        from weathersvq.checkpoint import model_shape
        from weathersvq.config import load_experiment

        experiment = load_experiment(config)
        data = experiment.fields
        shape = model_shape(data, data.target_grid, len(data.channels))
        lists = size_lists(experiment.benchmark or benchmark, shape=shape)
    else:
        lists = size_lists(None if all_ else benchmark, case=case)
    with console.status("counting"):
        counted = list(lists)
    if json:
        print(tables.sizes_json(counted))
    elif markdown:
        print(tables.sizes_markdown(counted))
    else:
        for each in counted:
            tables.print_sizes(console, each)


def _console() -> Console:
    from rich.console import Console

    return Console()


def _open_model(name: str) -> Checkpoint:
    from weathersvq.bundled import bundled_model
    from weathersvq.checkpoint import load_checkpoint

    return load_checkpoint(bundled_model() if name == "bundled" else name)


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
    from weathersvq.errors import InputError
    from weathersvq.frame_forecast import (
        check_frame_target,
        forecast_frames,
        open_frame_series,
        parse_windows,
        split_origins,
        write_frames,
    )
    from weathersvq.tables import print_frame_scores

    if lead is not None and not (lead.isdecimal() and int(lead) > 0):
        raise InputError(f"--lead {lead!r} is not a number of frames above zero")
    path = out or Path("forecasts") / f"{checkpoint.experiment.name}.zarr"
    check_frame_target(path, overwrite or out is None)
    series = open_frame_series(checkpoint, None if source == "sample" else source)
    origins = split_origins(series)
    chosen = origins[parse_windows(init, origins.size)]
    steps = None if lead is None else int(lead)
    result = forecast_frames(checkpoint, series, chosen, steps=steps, device=device)
    console = _console()
    print_frame_scores(console, result, series.channels, series.units)
    write_frames(result, path, overwrite=overwrite or out is None)
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def main() -> None:
    """Entry point: a user's mistake ends in one line and exit code 2, a fault of the world in 1."""
    # Imports make a million objects that stay; to look them through for garbage as often as Python
    # does takes a fifth of the start-up.
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 100)
    from weathersvq.errors import InputError

    try:
        app()
    except InputError as error:
        print(f"weathersvq: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"weathersvq: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
