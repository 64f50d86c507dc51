"""The plan of all runs, and the pages that are made of what is there."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "pipelines"))

import reproduce_paper  # noqa: E402

from weathersvq.reproduce.tables import load_table, plan_runs, table_names  # noqa: E402


def test_the_plan_holds_every_run_of_the_small_scale_once() -> None:
    plan = [run.folder_name for run in reproduce_paper.planned(None)]
    assert len(plan) == len(set(plan))
    asked: set[str] = set()
    for name in table_names(reproduce_paper.TABLES):
        table = load_table(name, reproduce_paper.TABLES)
        if table.has("small"):
            asked |= {run.folder_name for run in plan_runs(table, "small", ROOT)}
    assert asked == set(plan)
    first = [run.folder_name for run in reproduce_paper.planned("control")]
    # The control study on NCEP: four quantizers, two losses, five seeds.
    assert len(first) == 40
    assert plan[:40] == first


def test_pages_and_index_of_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduce_paper, "PAGES", tmp_path / "docs")
    monkeypatch.setattr(reproduce_paper, "OUT", tmp_path / "runs")
    monkeypatch.setattr(reproduce_paper, "table_names", lambda _folder: ("table10", "table15"))
    (tmp_path / "docs").mkdir()
    reproduce_paper.main(report_only=True)
    index = (tmp_path / "docs" / "index.md").read_text()
    assert "| [table15](table15_small.md) | What of SVQ is learnt | 0 of 8 |" in index
    assert "| [table10](table10_small.md) | Settings of the models | none needed |" in index
    assert "0 runs, 8 more not done" in (tmp_path / "docs" / "table15_small.md").read_text()
    assert (tmp_path / "docs" / "results.csv").read_text() == ""


def test_the_record_serves_where_the_runs_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine without a single run: nothing is lost, and pages that need models are kept."""
    pages, landed = tmp_path / "docs", reproduce_paper.PAGES
    shutil.copytree(landed, pages)
    for name in ("control", "table15"):
        (pages / f"{name}_small.md").write_text("to be written anew")
    (pages / "figure5_small.md").write_text("needs models")
    before = (pages / "results.csv").read_text()
    monkeypatch.setattr(reproduce_paper, "PAGES", pages)
    monkeypatch.setattr(reproduce_paper, "OUT", tmp_path / "runs")
    monkeypatch.setattr(
        reproduce_paper, "table_names", lambda _folder: ("control", "figure5", "table15")
    )
    reproduce_paper.main(report_only=True)
    assert (pages / "figure5_small.md").read_text() == "needs models"
    # Pages of errors alone are what they were when the runs were there.
    for name in ("control", "table15"):
        page = f"{name}_small.md"
        assert (pages / page).read_text() == (landed / page).read_text()
    assert "| What of SVQ is learnt | 8 of 8 |" in (pages / "index.md").read_text()
    assert sorted((pages / "results.csv").read_text().splitlines()) == sorted(before.splitlines())
