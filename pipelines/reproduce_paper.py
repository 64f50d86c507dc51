"""All that docs/reproduction reports: the runs of the small scale, most worth first, and their pages.

    python pipelines/reproduce_paper.py [--workers 2] [--until control] [--report-only]

A night on two cores. What is finished is kept in runs/reproduce and recorded in
docs/reproduction/results.csv; neither is done again: stopped at any moment, the same command goes on,
here or on another machine, and --report-only writes the pages from what is there. A page whose pictures
need a model that is recorded alone stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from running import run_script

from weathersvq.atomic import atomic_path
from weathersvq.cli.progress import RunsLine
from weathersvq.data.workers import start_workers
from weathersvq.reproduce.figures import figures_csv, read_figures
from weathersvq.reproduce.reproduce import Wanted, finished_of, write_pages
from weathersvq.reproduce.results import Finished
from weathersvq.reproduce.runner import do_runs
from weathersvq.reproduce.tables import Run, load_table, plan_runs, table_names

ROOT = Path(__file__).parents[1]
TABLES, PAGES, OUT = (
    ROOT / "configs" / "tables",
    ROOT / "docs" / "reproduction",
    Path("runs/reproduce"),
)


# Every figure of every run that was ever finished.
RECORD = "results.csv"
# Views that need nothing of a run but its result.
OF_RESULTS = {"errors"}


@dataclass(frozen=True)
class Step:
    """Runs of a table.

    Attributes:
        table: its name.
        study: one of its studies; all if empty.
        seeds: as the table says if None.
    """

    table: str
    study: str = ""
    seeds: int | None = None

    def runs(self) -> list[Run]:
        table = load_table(self.table, TABLES)
        return plan_runs(table, "small", ROOT, self.seeds, study=self.study or None)


INDEX = (
    "# What was reproduced here",
    "",
    "Written by `python pipelines/reproduce_paper.py`; every figure of every run is in "
    "[results.csv](results.csv), how to read the pages in [README.md](README.md).",
    "",
    "| page | what it shows | runs |",
    "| --- | --- | --- |",
)

# Most worth first: first seeds of everything before further seeds of anything but the control study.
PLAN = (
    Step("control", "NCEP temperature over North America"),
    Step("table4", "NCEP temperature over North America", 1),
    Step("control", "codebook size, NCEP"),
    Step("control", "learning rate, NCEP", 1),
    Step("control", "sample climate t2m"),
    Step("control", "ERA5 t2m over Britain"),
    Step("table15", seeds=1),
    Step("table8", seeds=1),
    Step("table6", seeds=1),
    Step("table5", seeds=1),
    Step("table1"),
    Step("table3"),
    Step("table13"),
    Step("figure7"),
    Step("figure4"),
    Step("figure2"),
    Step("table2"),
    Step("figure17"),
    Step("table4"),
    Step("control"),
    Step("table15"),
    Step("table8"),
    Step("table6"),
    Step("table5"),
)


def main(
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a core.")] = None,
    until: Annotated[str | None, typer.Option(help="The last table whose runs are done.")] = None,
    report_only: Annotated[bool, typer.Option("--report-only", help="No runs.")] = False,
) -> None:
    """Do the runs and write docs/reproduction."""
    console = Console(stderr=True)
    if not report_only:
        have = {each.run.folder_name for each in finished_or_recorded(list(planned(until)))}
        waiting = [run for run in planned(until) if run.folder_name not in have]
        with start_workers("local", workers) as crew, RunsLine(len(waiting)) as line:
            do_runs(waiting, OUT / "runs", crew, line)
    index = [*INDEX]
    for name in table_names(TABLES):
        table = load_table(name, TABLES)
        if table.has("small"):
            wanted = Wanted(name, table, "small", plan_runs(table, "small", ROOT))
            finished = finished_or_recorded(wanted.runs)
            page = PAGES / f"{name}_small.md"
            whole = all(each.folder.is_dir() for each in finished)
            if whole or set(table.views) <= OF_RESULTS or not page.is_file():
                write_pages(wanted, finished, PAGES, whole=False)
                console.print(f"wrote {page.name}", highlight=False)
            else:
                console.print(f"kept {page.name}", highlight=False)
            runs = f"{len(finished)} of {len(wanted.runs)}" if wanted.runs else "none needed"
            index.append(f"| [{name}]({page.name}) | {table.title} | {runs} |")
    with atomic_path(PAGES / "index.md") as temporary:
        temporary.write_text("\n".join([*index, ""]), encoding="utf-8")
    everything = finished_or_recorded(list(planned(None)))
    with atomic_path(PAGES / RECORD) as temporary:
        temporary.write_text(figures_csv(everything), encoding="utf-8")


def finished_or_recorded(runs: Sequence[Run]) -> list[Finished]:
    """Those with a result, in the order of `runs`: here, or else in the record."""
    record = PAGES / RECORD
    text = record.read_text(encoding="utf-8") if record.is_file() else ""
    here = finished_of(runs, OUT)
    own = {each.run.folder_name for each in here}
    recorded = read_figures([r for r in runs if r.folder_name not in own], text, OUT / "runs")
    # Several studies of a table may ask for the same run.
    places = {(run.study, run.folder_name): place for place, run in enumerate(runs)}
    return sorted([*here, *recorded], key=lambda each: places[each.run.study, each.run.folder_name])


def planned(until: str | None) -> Iterator[Run]:
    """Every run once, in the plan's order."""
    seen: set[str] = set()
    for step in PLAN:
        for run in step.runs():
            if run.folder_name not in seen:
                seen.add(run.folder_name)
                yield run
        if step.table == until:
            return


if __name__ == "__main__":
    run_script(main)
