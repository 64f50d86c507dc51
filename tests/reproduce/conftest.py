"""A small table, and its runs done once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weathersvq.config import Experiment
from weathersvq.reproduce.results import Finished
from weathersvq.reproduce.run import run
from weathersvq.reproduce.runner import RESULT_FORMAT, prepare_folder, read_result
from weathersvq.reproduce.tables import Run, TableConfig, plan_runs

TABLE = {
    "title": "losses",
    "differs": "nothing is real here",
    "studies": {
        "wave": {
            "paper": {"table": "7", "dataset": "WeatherBench-S", "variable": "t2m"},
            "scales": {"smoke": {"base": "base.yaml", "change": {"train.epochs": 1}, "seeds": 2}},
            "axes": {
                "quantizer": {
                    "none": {"model.quantizer": "identity"},
                    "SVQ": {"model.quantizer": {"kind": "svq", "codebook_size": 8}},
                },
                "loss": {"MAE": {"train.loss": "mae"}, "MSE": {"train.loss": "mse"}},
            },
            "against": [{"quantizer": "none"}],
            "names": {
                "quantizer": {
                    "none": {"model": "SimVP ("},
                    "SVQ": {"model": "SimVP+SVQ (Learnable, "},
                },
                "loss": {"MAE": {"model": "MAE loss)"}, "MSE": {"model": "MSE loss)"}},
            },
        }
    },
}


@pytest.fixture
def table() -> TableConfig:
    return TableConfig.model_validate(TABLE)


@pytest.fixture
def runs(
    make_experiment: Callable[..., Experiment], tmp_path: Path, table: TableConfig
) -> list[Run]:
    experiment = make_experiment(train={"warmup_epochs": 0})
    (tmp_path / "base.yaml").write_text(experiment.to_yaml())
    return plan_runs(table, "smoke", tmp_path)


@pytest.fixture(scope="session")
def results_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def finished(runs: list[Run], results_folder: Path) -> list[Finished]:
    """The table's runs with MAE loss, trained and scored; each once in a session."""
    done = []
    for each in runs:
        if each.values["loss"] == "MSE":
            continue
        name = f"{each.values['quantizer']}_{each.seed}"
        if not (results_folder / name).exists():
            own = prepare_folder(each, results_folder / "making")
            run(own)
            shutil.move(own, results_folder / name)
        result = read_result(results_folder / name)
        assert result is not None
        done.append(Finished(each, result, results_folder / name))
    return done


@pytest.fixture
def result_of() -> Callable[[Run, float], dict[str, Any]]:
    """What a run might have given, with an MSE at the first lead, and 2 more at the second."""

    def make(run: Run, mse: float) -> dict[str, Any]:
        errors = {"mse": [[mse], [mse + 2]], "mae": [[1.0], [1.0]]}
        return {
            "format": RESULT_FORMAT, "name": run.folder_name, "seed": run.seed, "version": "0",
            "selection": "validation", "title": "a wave", "channels": ["t2m"], "units": ["K"],
            "step": "1h", "targets": [1, 2], "test_windows": 5, "parameters": 7, "device": "cpu",
            "scores": {"best_epoch": 1}, "codebook": {}, "frames": {}, "training_seconds": 1.0,
            "peak_memory_mib": 1, "errors": {**errors, **{f"persistence_{k}": v for k, v in errors.items()}},
        }  # fmt: skip

    return make
