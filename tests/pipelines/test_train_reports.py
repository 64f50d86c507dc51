"""The pages of the trained models, made of models that are hardly trained."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import xarray as xr
import yaml

from weathersvq.checkpoint import load_checkpoint
from weathersvq.config import Experiment
from weathersvq.training.train import train

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "pipelines"))

Make = Callable[..., Experiment]


@pytest.fixture
def models(make_experiment: Make, tmp_path: Path) -> dict[str, Path]:
    """SimVP with and without SVQ on the wave, an epoch each."""
    brief = {"epochs": 1, "warmup_epochs": 0}
    twin = {"quantizer": {"kind": "identity"}}
    return {
        kind: train(
            make_experiment(train=brief, model=model), tmp_path / f"{kind}_1", progress=False
        )
        for kind, model in {"svq": {}, "simvp": twin}.items()
    }


def test_the_page_of_the_bundled_model(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import train_bundled

    checkpoints = {name: load_checkpoint(path) for name, path in models.items()}
    scores, inits = train_bundled.evaluated(checkpoints["svq"], models)
    # Three days hold 72 - 4 - 4 + 1 windows, from 3 h on; every fifth hour from 5 h to 65 h.
    assert inits == 13
    assert scores["forecast"].values.tolist() == list(train_bundled.LABELS)
    assert scores["t2m"].dims == ("metric", "forecast", "lead_time")
    page = train_bundled.report(checkpoints, scores, inits)
    assert "## 2 metre temperature [K] by lead: RMSE (area-weighted)" in page
    assert "| u10 [m s-1] | persistence |" in page
    assert "of 4 leads" in page
    train_bundled.draw(scores, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 5000
    bundled = tmp_path / "bundled.safetensors"
    monkeypatch.setattr(train_bundled, "bundled_model", lambda: bundled)
    train_bundled.bundle(checkpoints["svq"], scores, inits)
    kept = load_checkpoint(bundled).scores
    rmse = scores["t2m"].sel(forecast="svq", metric="rmse")
    assert kept["test_rmse_t2m_K_by_lead"] == [round(float(v), 5) for v in rmse]
    assert kept["test_inits"] == inits


def test_the_page_of_real_weather(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import train_examples

    (tmp_path / "docs" / "pictures").mkdir(parents=True)
    (tmp_path / "configs" / "examples").mkdir(parents=True)
    config = load_checkpoint(models["svq"]).experiment.model_dump(mode="json", exclude_none=True)
    (tmp_path / "configs" / "examples" / "wave.yaml").write_text(yaml.safe_dump(config))
    for kind, path in models.items():
        # A second seed, though it is the first one's twin.
        shutil.copytree(path.parent, tmp_path / "runs" / f"wave_{kind}_1")
        shutil.copytree(path.parent, tmp_path / "runs" / f"wave_{kind}_2")
    monkeypatch.setattr(train_examples, "ROOT", tmp_path)
    monkeypatch.setattr(train_examples, "RUNS", tmp_path / "runs")
    example = replace(
        train_examples.EXAMPLES[0], name="wave", title="A wave", picture_init="2017-01-05"
    )
    monkeypatch.setattr(train_examples, "EXAMPLES", (example,))
    runs = {key[1:]: run for key, run in train_examples.example_runs(2).items()}
    page = "\n".join(train_examples.report(example, runs))
    assert "| lead [h] | SimVP+SVQ | SimVP | persistence | climatology |" in page
    # 72 hours, windows of 8; means by hour, as five days have no annual course.
    assert "(65 initial times, step 1h)" in page
    assert "(mean by hour of day)" in page
    assert "in 0 of 2 pairs" in page or "in 2 of 2 pairs" in page
    drawn = {path.name for path in (tmp_path / "docs" / "pictures").iterdir()}
    assert drawn == {"real_wave.png", "real_wave_map.png"}


def test_seeds_are_told_from_kinds() -> None:
    import train_examples

    names = ["svq_1", "simvp_1", "svq_2", "simvp_2", "persistence", "climatology"]
    scores = xr.DataArray(range(6), {"forecast": names}, ("forecast",))
    found = train_examples.by_seed(scores)
    assert found["forecast"].values.tolist() == ["svq", "simvp", "persistence", "climatology"]
    assert found.values.tolist() == [[0, 1, 4, 5], [2, 3, 4, 5]]
