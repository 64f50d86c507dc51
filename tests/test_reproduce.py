"""The paper's tables: experiments as data, runs that are done once, reports beside the paper."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from weathersvq.config import Experiment
from weathersvq.data.workers import Workers
from weathersvq.errors import InputError
from weathersvq.reproduce import runner
from weathersvq.reproduce.report import Finished, paired, paper_value, report
from weathersvq.reproduce.reproduce import figures_csv, reproduce
from weathersvq.reproduce.runner import RESULT_FILE, Outcome, do_runs, read_result
from weathersvq.reproduce.tables import (
    Run,
    TableConfig,
    essence,
    load_table,
    parse_scale,
    plan_runs,
    table_names,
)

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "configs" / "tables"
Make = Callable[..., Experiment]

TABLE = TableConfig.model_validate(
    {
        "title": "losses",
        "paper": {"table": "7", "dataset": "WeatherBench-S", "variable": "t2m"},
        "scales": {"smoke": {"base": "base.yaml", "change": {"train.epochs": 1}, "seeds": 2}},
        "axes": {
            "quantizer": {
                "none": {"model.quantizer": "identity"},
                "SVQ": {"model.quantizer": {"kind": "svq", "codebook_size": 8}},
            },
            "loss": {"MAE": {"train.loss": "mae"}, "MSE": {"train.loss": "mse"}},
        },
        "baseline": {"quantizer": "none"},
        "names": {
            "quantizer": {"none": {"model": "SimVP ("}, "SVQ": {"model": "SimVP+SVQ (Learnable, "}},
            "loss": {"MAE": {"model": "MAE loss)"}, "MSE": {"model": "MSE loss)"}},
        },
    }
)


@pytest.fixture
def runs(make_experiment: Make, tmp_path: Path) -> list[Run]:
    experiment = make_experiment(train={"warmup_epochs": 0})
    (tmp_path / "base.yaml").write_text(experiment.to_yaml())
    return plan_runs(TABLE, "smoke", tmp_path)


@pytest.mark.parametrize("name", table_names(TABLES))
def test_every_table_can_be_planned(name: str) -> None:
    table = load_table(name, TABLES)
    for scale in table.scales:
        found = plan_runs(table, scale, ROOT)
        assert len({run.folder_name for run in found}) == len(found), "each run is another one"
        for axis, value in table.baseline.items():
            assert value in table.axes[axis]


def test_runs_are_all_combinations_of_all_seeds(runs: list[Run]) -> None:
    assert [(run.seed, *run.values.values()) for run in runs[:4]] == [
        (1, "none", "MAE"), (1, "none", "MSE"), (1, "SVQ", "MAE"), (1, "SVQ", "MSE")
    ]  # fmt: skip
    assert len(runs) == 8
    last = runs[-1].experiment
    assert (last.seed, last.train.loss, last.train.epochs) == (2, "mse", 1)
    assert last.model.quantizer.codebook_size == 8


def test_identity_of_a_run_is_what_it_does(make_experiment: Make, tmp_path: Path) -> None:
    def name_of(text: str, **changes: Any) -> str:
        document = yaml.safe_load(text) | changes
        (tmp_path / "base.yaml").write_text(yaml.safe_dump(document))
        return plan_runs(TABLE, "smoke", tmp_path)[0].folder_name

    text = make_experiment(train={"warmup_epochs": 0}).to_yaml()
    assert name_of(text) == name_of(text, name="other", description="other words")
    shorter = yaml.safe_load(text)
    del shorter["train"]["noise"]  # a default, said or unsaid
    assert name_of(yaml.safe_dump(shorter)) == name_of(text)
    shorter["train"]["noise"] = 0.1
    assert name_of(yaml.safe_dump(shorter)) != name_of(text)


def test_essence_keeps_kinds_and_what_is_not_default(make_experiment: Make) -> None:
    content = essence(make_experiment())
    assert content["model"]["quantizer"] == {"kind": "svq", "codebook_size": 16}
    assert "gradient_clip" not in content["train"]


def test_paired_by_hand() -> None:
    # Relative differences 0.1 and 0.3: mean 0.2, deviation sqrt(0.02), error 0.1; t(0.975, 1) = 12.706.
    found = paired([1.1, 2.6], [1.0, 2.0])
    assert found.mean == pytest.approx(0.2)
    assert (found.low, found.high) == (
        pytest.approx(0.2 - 1.2706, rel=1e-3), pytest.approx(0.2 + 1.2706, rel=1e-3)
    )  # fmt: skip
    assert found.verdict == "no difference shown"
    assert paired([0.9, 0.901, 0.899], [1, 1, 1]).verdict == "better"
    assert paired([1.1, 1.101, 1.099], [1, 1, 1]).verdict == "worse"
    assert paired([2.0], [1.0]).high == math.inf


def test_the_papers_own_figures() -> None:
    assert paper_value(TABLE, {"quantizer": "none", "loss": "MAE"}, "MSE") == 1.126
    assert paper_value(TABLE, {"quantizer": "other", "loss": "MAE"}, "MSE") is None


def result_of(run: Run, mse: float) -> dict[str, Any]:
    errors = {"mse": [[mse], [mse + 2]], "mae": [[1.0], [1.0]]}
    return {
        "name": run.folder_name, "seed": run.seed, "version": "0", "selection": "validation",
        "title": "a wave", "channels": ["t2m"], "units": ["K"], "step": "1h", "targets": [1, 2],
        "test_windows": 5, "parameters": 7, "scores": {"best_epoch": 1}, "codebook": {},
        "training_seconds": 1.0, "peak_memory_mib": 1,
        "errors": {**errors, **{f"persistence_{k}": v for k, v in errors.items()}},
    }  # fmt: skip


def test_report_sets_ours_beside_the_papers(runs: list[Run]) -> None:
    finished = [
        Finished(run, result_of(run, 9.0 if run.values["quantizer"] == "none" else 8.0 + run.seed))
        for run in runs
    ]
    text = report("table7", TABLE, "smoke", finished, failed=0)
    svq = next(line for line in text.splitlines() if line.startswith("| SVQ | MSE"))
    # MSE 10 and 11 by seed beside 10: 0 % and +10 %.
    assert "| 10.5 ± 0.71 |" in svq
    assert "+5.0 %" in svq.replace("%", " %")
    # The paper: 1.099 of SVQ with MSE beside SimVP with MSE.
    values = {"quantizer": "SVQ", "loss": "MSE"}
    own, other = (
        paper_value(TABLE, each, "MSE") for each in (values, values | {"quantizer": "none"})
    )
    assert own is not None
    assert other is not None
    assert f"{own / other - 1:+.1%}" in svq
    assert "8 runs finished, 0 did not" in text
    assert "chosen on: validation" in text
    rows = figures_csv(finished).splitlines()
    assert len(rows) == 1 + 8 * 2
    assert rows[0].startswith("run,quantizer,loss,seed")


def test_finished_runs_are_kept_and_failures_do_not_stop_the_rest(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def pretend(folder: str) -> Outcome:
        done.append(Path(folder).name)
        if len(done) == 3:
            return Outcome(Path(folder), "no luck")
        result = result_of(next(r for r in runs if r.folder_name == Path(folder).name), 1.0)
        (Path(folder) / RESULT_FILE).write_text(json.dumps(result))
        return Outcome(Path(folder))

    monkeypatch.setattr(runner, "do_run", pretend)
    first = reproduce("t", TABLE, "smoke", runs, tmp_path / "out", Workers())
    assert [outcome.failure for outcome in first.failed] == ["no luck"]
    assert "7 runs finished, 1 did not" in first.page.read_text()
    assert len(done) == 8
    # Repeated, only what failed is done, and then nothing.
    assert do_runs(runs, tmp_path / "out" / "runs", Workers(), lambda _: None) == []
    assert len(done) == 9
    assert do_runs(runs, tmp_path / "out" / "runs", Workers(), lambda _: None) == []
    assert len(done) == 9


def test_one_run_for_real(runs: list[Run], tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    assert do_runs(runs[2:3], folder, Workers(), lambda _: None) == []
    result = read_result(folder / runs[2].folder_name)
    assert result is not None
    assert result["units"] == ["K", "m s-1"]
    assert result["codebook"]["perplexity"] > 0
    errors = result["errors"]
    assert len(errors["mse"]) == 4
    assert all(mae**2 <= mse for mse, mae in zip(errors["mse"][0], errors["mae"][0], strict=True))
    assert result["training_seconds"] > 0


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no table 'controll'; did you mean 'control'"):
        load_table("controll", TABLES)
    with pytest.raises(InputError, match="run from the project's root"):
        table_names(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no scale 'smal'; did you mean 'small'"):
        parse_scale("smal")
    with pytest.raises(InputError, match="it has smoke"):
        plan_runs(TABLE, "full", tmp_path)
