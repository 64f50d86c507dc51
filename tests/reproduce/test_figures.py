"""The table of all figures, and runs read back from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weathersvq.reproduce.figures import figures_csv, read_figures
from weathersvq.reproduce.results import Finished
from weathersvq.reproduce.tables import Run


@pytest.fixture
def recorded(runs: list[Run], result_of: Callable[[Run, float], dict[str, Any]]) -> list[Finished]:
    """The first of two runs has a codebook, scores of frames and two channels."""
    done = [
        Finished(run, result_of(run, 10.0 + place), Path("kept") / run.folder_name)
        for place, run in enumerate(runs)
    ]
    rich = {
        "channels": ["t2m", "u10"],
        "units": ["K", "m s-1"],
        "codebook": {"perplexity": 3.5, "usage_2": 0.25},
        "errors": {
            name: [[1.0, 2.0], [3.0, 4.0]]
            for name in ("mse", "mae", "persistence_mse", "persistence_mae")
        },
        "frames": {"model": {"ssim": [0.5, 0.25]}, "persistence": {"ssim": [0.75, 0.125]}},
    }
    one = done[0]
    return [Finished(one.run, {**one.result, **rich}, one.folder), *done[1:]]


def test_one_row_a_run_lead_and_channel(recorded: list[Finished]) -> None:
    rows = figures_csv(recorded).splitlines()
    # Two leads each; the first run has two channels.
    assert len(rows) == 1 + len(recorded) * 2 + 2
    assert rows[0].startswith("run,study,quantizer,loss,seed,version")


def test_what_is_read_back_is_what_was_written(runs: list[Run], recorded: list[Finished]) -> None:
    again = read_figures(runs, figures_csv(recorded), Path("kept"))
    assert [each.run for each in again] == runs
    assert [each.folder for each in again] == [each.folder for each in recorded]
    for mine, theirs in zip(again, recorded, strict=True):
        # The form belongs to the file, not to what it says.
        assert mine.result == {k: v for k, v in theirs.result.items() if k != "format"}
        assert mine.error("mse", "t2m") == theirs.error("mse", "t2m")


def test_runs_that_are_not_recorded_are_not_made_up(
    runs: list[Run], recorded: list[Finished]
) -> None:
    text = figures_csv(recorded[:2])
    assert [each.run for each in read_figures(runs, text, Path())] == runs[:2]
    assert read_figures(runs, "", Path()) == []
