"""Every figure of every run as one table, and runs read back from it, wherever they were made."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from weathersvq.reproduce.results import Finished
from weathersvq.reproduce.tables import Run

# Columns of a run's result, the same in each of its rows: text, whole numbers, and numbers.
TEXTS = ("version", "device", "selection", "title", "step")
WHOLE = ("parameters", "peak_memory_mib", "test_windows")
CODEBOOK = ("perplexity", "perplexity_2", "perplexity_3", "usage", "usage_2", "usage_3")
# Columns of a lead and channel.
ERRORS = ("mse", "mae", "persistence_mse", "persistence_mae")
# Before the name of a score of frames.
FRAMES = {"model": "frame_", "persistence": "persistence_frame_"}


def figures_csv(finished: Sequence[Finished]) -> str:
    """Every figure of every run: one row a run, lead and channel.

    The run's name is the hash of its config; errors are in physical units, unweighted.
    """
    rows = list(_figure_rows(finished))
    text = io.StringIO()
    if rows:
        columns = dict.fromkeys(key for row in rows for key in row)
        writer = csv.DictWriter(text, fieldnames=list(columns), lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def _figure_rows(finished: Sequence[Finished]) -> Iterator[dict[str, Any]]:
    for each in finished:
        result = each.result
        about = {
            "run": result["name"],
            "study": each.run.study,
            **each.run.values,
            "seed": each.run.seed,
            **{name: result[name] for name in (*TEXTS, *WHOLE)},
            "training_seconds": result["training_seconds"],
            "best_epoch": result["scores"].get("best_epoch"),
            **result["codebook"],
        }
        for position, lead in enumerate(result["targets"]):
            frames = {
                f"{prefix}{metric}": values[position]
                for who, prefix in FRAMES.items()
                for metric, values in result["frames"].get(who, {}).items()
            }
            for place, (channel, unit) in enumerate(
                zip(result["channels"], result["units"], strict=True)
            ):
                errors = {name: result["errors"][name][position][place] for name in ERRORS}
                yield {
                    **about, "lead_steps": lead, "channel": channel, "unit": unit, **errors, **frames
                }  # fmt: skip


def read_figures(runs: Sequence[Run], text: str, folder: Path) -> list[Finished]:
    """Runs with their results out of a table that `figures_csv` wrote.

    Args:
        runs: those that are looked for, by their names.
        text: the table.
        folder: of runs; what a recorded run had there beside its result need not be there.
    """
    rows: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        rows.setdefault(row["run"], []).append(row)
    return [
        Finished(run, _result(rows[run.folder_name]), folder / run.folder_name)
        for run in runs
        if run.folder_name in rows
    ]


def _result(rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """A run's result, of its rows, which go through the channels of one lead after the other."""
    first = rows[0]
    units = {row["channel"]: row["unit"] for row in rows}
    leads = list(dict.fromkeys(int(row["lead_steps"]) for row in rows))
    width = len(units)
    frames: dict[str, dict[str, list[float]]] = {}
    for column in first:
        for who, prefix in FRAMES.items():
            if column.startswith(prefix) and first[column]:
                values = [float(row[column]) for row in rows[::width]]
                frames.setdefault(who, {})[column.removeprefix(prefix)] = values
    return {
        "name": first["run"],
        "seed": int(first["seed"]),
        **{name: first[name] for name in TEXTS},
        **{name: int(first[name]) for name in WHOLE},
        "training_seconds": float(first["training_seconds"]),
        "scores": {"best_epoch": int(first["best_epoch"])} if first["best_epoch"] else {},
        "codebook": {name: float(first[name]) for name in CODEBOOK if first.get(name)},
        "channels": list(units),
        "units": list(units.values()),
        "targets": leads,
        "errors": {
            name: [
                [float(row[name]) for row in rows[start : start + width]]
                for start in range(0, len(rows), width)
            ]
            for name in ERRORS
        },
        "frames": frames,
    }
