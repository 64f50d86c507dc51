"""One command: the runs of one or several tables, then their reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from weathersvq.atomic import atomic_path
from weathersvq.data.workers import Workers
from weathersvq.maps import save_figure
from weathersvq.reproduce.figures import figures_csv
from weathersvq.reproduce.report import write_report
from weathersvq.reproduce.results import Finished
from weathersvq.reproduce.runner import Outcome, do_runs, read_result
from weathersvq.reproduce.tables import Run, Scale, TableConfig


@dataclass(frozen=True)
class Wanted:
    """A table that is to be reproduced.

    Attributes:
        name: of the table.
        table: its description.
        scale: of the runs.
        runs: of `plan_runs`; none for tables without runs.
    """

    name: str
    table: TableConfig
    scale: Scale
    runs: Sequence[Run]


@dataclass(frozen=True)
class Pages:
    """What was written of a table.

    Attributes:
        report: in Markdown, with pictures beside it.
        beside: the same as one HTML file, and all figures, a row a run, lead and channel.
    """

    report: Path
    beside: list[Path]


def reproduce(
    tables: Sequence[Wanted],
    folder: Path,
    workers: Workers,
    tell: Callable[[Outcome], None] = lambda _outcome: None,
    report_to: Path | None = None,
) -> tuple[list[Pages], list[Outcome]]:
    """Do the runs that are not yet done, and write the reports of all that are.

    Args:
        tables: what is wanted; an experiment that several ask for is done once.
        folder: of runs and reports.
        workers: who does the runs.
        tell: told of each run as it ends.
        report_to: folder of the reports, if another.

    Returns:
        The pages of each table, and the runs without a result.
    """
    runs = [run for each in tables for run in each.runs]
    failed = do_runs(runs, folder / "runs", workers, tell)
    target = report_to or folder
    return [write_pages(each, finished_of(each.runs, folder), target) for each in tables], failed


def write_pages(
    wanted: Wanted, finished: Sequence[Finished], target: Path, whole: bool = True
) -> Pages:
    """The report of the runs that have a result; see `reproduce`.

    Args:
        wanted: the table.
        finished: its runs with a result.
        target: folder of the report.
        whole: with the HTML page and the table of figures; otherwise Markdown and pictures alone.
    """
    report = write_report(wanted.name, wanted.table, wanted.scale, wanted.runs, finished)
    target.mkdir(parents=True, exist_ok=True)
    stem = f"{wanted.name}_{wanted.scale}"
    for file, figure in report.pictures.items():
        save_figure(figure, target / file)
    texts = {target / f"{stem}.md": report.markdown()}
    if whole:
        texts[target / f"{stem}.html"] = report.html()
        if wanted.table.studies:
            texts[target / f"{stem}.csv"] = figures_csv(finished)
    for path, text in texts.items():
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    first, *beside = texts
    return Pages(first, beside)


def finished_of(runs: Sequence[Run], folder: Path) -> list[Finished]:
    """Those with a result."""
    return [
        Finished(run, result, own)
        for run in runs
        if (result := read_result(own := folder / "runs" / run.folder_name)) is not None
    ]
