"""Runs are done once, go on after a break, and do not stop each other."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weathersvq.data.workers import Workers
from weathersvq.reproduce import runner
from weathersvq.reproduce.reproduce import Wanted, reproduce
from weathersvq.reproduce.runner import (
    MAPS_FILE,
    RESULT_FILE,
    RESULT_FORMAT,
    VISIBLE_GPUS,
    Outcome,
    do_run,
    do_runs,
    gpu_count,
    own_gpu,
    prepare_folder,
    read_result,
)
from weathersvq.reproduce.tables import Run, TableConfig

MakeResult = Callable[[Run, float], dict[str, Any]]


def test_finished_runs_are_kept_and_failures_do_not_stop_the_rest(
    runs: list[Run], table: TableConfig, tmp_path: Path, result_of: MakeResult,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    done: list[str] = []

    def pretend(folder: str) -> Outcome:
        done.append(Path(folder).name)
        if len(done) == 3:
            return Outcome(Path(folder), "no luck")
        result = result_of(next(r for r in runs if r.folder_name == Path(folder).name), 1.0)
        (Path(folder) / RESULT_FILE).write_text(json.dumps(result))
        return Outcome(Path(folder))

    monkeypatch.setattr(runner, "do_run", pretend)
    out = tmp_path / "out"
    wanted = Wanted("t", table, "smoke", runs)
    pages, failed = reproduce([wanted, wanted], out, Workers(), report_to=tmp_path / "pages")
    assert [outcome.failure for outcome in failed] == ["no luck"]
    assert "7 runs, 1 more not done" in pages[0].report.read_text()
    assert pages[0].report.parent == tmp_path / "pages"
    assert [path.suffix for path in pages[0].beside] == [".html", ".csv"]
    assert len(done) == 8
    # Repeated, only what failed is done, and then nothing.
    assert do_runs(runs, out / "runs", Workers(), lambda _: None) == []
    assert len(done) == 9
    assert do_runs(runs, out / "runs", Workers(), lambda _: None) == []
    assert len(done) == 9


def test_results_of_another_form_are_made_again(
    runs: list[Run], tmp_path: Path, result_of: MakeResult
) -> None:
    own = prepare_folder(runs[0], tmp_path)
    old = result_of(runs[0], 1.0) | {"format": RESULT_FORMAT - 1}
    (own / RESULT_FILE).write_text(json.dumps(old))
    assert read_result(own) is None


def test_a_run_that_ends_without_a_result_has_failed(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = prepare_folder(runs[0], tmp_path)
    monkeypatch.setattr(sys, "executable", "true")  # ends at once, with 0
    assert do_run(str(own)).failure == "ended with 0, no result"


def test_a_folder_with_another_config_is_kept_and_named(runs: list[Run], tmp_path: Path) -> None:
    own = prepare_folder(runs[0], tmp_path)
    text = (own / "experiment.yaml").read_text().replace("lr: 0.005", "lr: 0.5")
    assert "lr: 0.5" in text
    (own / "experiment.yaml").write_text(text)
    failed = do_runs(runs[:1], tmp_path, Workers(), lambda _: None)
    assert "train.lr: 0.5 -> 0.005" in failed[0].failure
    assert runs[0].folder_name in failed[0].failure
    assert (own / "experiment.yaml").read_text() == text


def test_one_run_for_real(runs: list[Run], tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    assert do_runs(runs[2:3], folder, Workers(), lambda _: None) == []
    own = folder / runs[2].folder_name
    result = read_result(own)
    assert result is not None
    assert result["units"] == ["K", "m s-1"]
    assert result["codebook"]["perplexity"] > 0
    errors = result["errors"]
    assert len(errors["mse"]) == 4
    assert all(mae**2 <= mse for mse, mae in zip(errors["mse"][0], errors["mae"][0], strict=True))
    assert result["training_seconds"] > 0
    with np.load(own / MAPS_FILE) as maps:
        assert maps["model"].shape == (4, 2, 32, 64)
        # Errors by cell average to those by lead.
        assert maps["model"].mean(axis=(2, 3)).tolist() == [
            pytest.approx(each, rel=1e-5) for each in errors["mse"]
        ]


def test_a_gpu_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VISIBLE_GPUS, raising=False)
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert gpu_count(tmp_path) == 2
    assert [own_gpu(n, 2)[VISIBLE_GPUS] for n in range(3)] == ["0", "1", "0"]
    # One GPU needs no choice, and workers elsewhere have theirs already.
    assert own_gpu(0, 1) == own_gpu("tcp://host:1", 2) == {}
    monkeypatch.setenv(VISIBLE_GPUS, "3,5")
    assert gpu_count(tmp_path) == 2
    assert own_gpu(1, 2) == {VISIBLE_GPUS: "5"}
    monkeypatch.setenv(VISIBLE_GPUS, "")
    assert gpu_count(tmp_path) == 0
