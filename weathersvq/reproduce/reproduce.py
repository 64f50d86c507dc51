"""One command: the runs of a table, then its report."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weathersvq.atomic import atomic_path
from weathersvq.data.workers import Workers
from weathersvq.reproduce.report import Finished, report
from weathersvq.reproduce.runner import Outcome, do_runs, read_result
from weathersvq.reproduce.tables import Run, Scale, TableConfig


@dataclass(frozen=True)
class Reproduction:
    """What became of a table.

    Attributes:
        page: its report.
        figures: all figures, a row a run, lead and channel.
        failed: runs without a result.
    """

    page: Path
    figures: Path
    failed: list[Outcome]


def reproduce(
    name: str,
    table: TableConfig,
    scale: Scale,
    runs: Sequence[Run],
    folder: Path,
    workers: Workers,
    tell: Callable[[Outcome], None] = lambda _outcome: None,
) -> Reproduction:
    """Do the runs that are not yet done, and write the report of all that are.

    Args:
        name: of the table.
        table: its description.
        scale: of the runs.
        runs: of `plan_runs`.
        folder: of runs and reports.
        workers: who does the runs.
        tell: told of each run as it ends.
    """
    failed = do_runs(runs, folder / "runs", workers, tell)
    finished = [
        Finished(run, result)
        for run in runs
        if (result := read_result(folder / "runs" / run.folder_name)) is not None
    ]
    page, figures = (folder / f"{name}_{scale}{suffix}" for suffix in (".md", ".csv"))
    for path, text in (
        (page, report(name, table, scale, finished, len(runs) - len(finished))),
        (figures, figures_csv(finished)),
    ):
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return Reproduction(page, figures, failed)


def figures_csv(finished: Sequence[Finished]) -> str:
    """Every figure of every run: one row a run, lead and channel."""
    rows = list(_figure_rows(finished))
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def _figure_rows(finished: Sequence[Finished]) -> Iterator[dict[str, Any]]:
    for each in finished:
        result = each.result
        about = {
            "run": result["name"],
            **each.run.values,
            "seed": each.run.seed,
            "version": result["version"],
            "parameters": result["parameters"],
            "training_seconds": result["training_seconds"],
            "peak_memory_mib": result["peak_memory_mib"],
            "best_epoch": result["scores"].get("best_epoch"),
            "perplexity": result["codebook"].get("perplexity", ""),
        }
        for position, lead in enumerate(result["targets"]):
            for place, channel in enumerate(result["channels"]):
                errors = {
                    name: by_lead[position][place] for name, by_lead in result["errors"].items()
                }
                yield {**about, "lead_steps": lead, "channel": channel, **errors}
