"""The verb `reproduce`: the paper's tables and figures, run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from weathersvq.cli.common import make_console


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

    console = make_console()
    if list_ or table is None:
        for name in table_names(tables):
            console.print(
                f"{name}: {load_table(name, tables).title}", highlight=False, markup=False
            )
        return
    from weathersvq.cli.progress import RunsLine
    from weathersvq.data.workers import check_scheduler, start_workers
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
