"""Checkpoints: everything comes back, nothing foreign or broken gets in, nothing runs on loading."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from weathersvq.checkpoint import Checkpoint, load_checkpoint, model_shape
from weathersvq.config import Experiment
from weathersvq.data.normalize import Normalization
from weathersvq.errors import InputError
from weathersvq.grid import GLOBAL_5625
from weathersvq.models import build_model

Make = Callable[..., Experiment]


@pytest.fixture
def saved(make_experiment: Make, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    experiment = make_experiment()
    model = build_model(
        experiment.model, model_shape(experiment.data, GLOBAL_5625, len(experiment.data.channels))
    )
    path = tmp_path / "model.safetensors"
    Checkpoint(
        experiment,
        GLOBAL_5625,
        Normalization(("t2m", "u10"), (280.0, 0.5), (20.0, 6.0)),
        model.state_dict(),
        {"source": "somewhere", "period": "2010"},
        {"best_epoch": 3, "validation_loss": 0.25},
    ).save(path)
    return path


def test_everything_comes_back(saved: Path, make_experiment: Make) -> None:
    checkpoint = load_checkpoint(saved)
    assert checkpoint.experiment == make_experiment()
    assert checkpoint.grid.matches(GLOBAL_5625)
    assert checkpoint.normalization.std == (20.0, 6.0)
    assert checkpoint.scores == {"best_epoch": 3, "validation_loss": 0.25}
    model, again = checkpoint.build(), load_checkpoint(saved).build()
    x = torch.randn(2, 4, 2, 32, 64)
    with torch.inference_mode():
        assert not model.training
        assert torch.equal(model(x), again(x))


def test_the_metadata_are_what_the_contract_names(saved: Path) -> None:
    checkpoint = load_checkpoint(saved, weights=False)
    assert all(tensor.is_meta for tensor in checkpoint.weights.values())
    header = saved.read_bytes()
    length = int.from_bytes(header[:8], "little")
    metadata = json.loads(json.loads(header[8 : 8 + length])["__metadata__"]["weathersvq"])
    assert set(metadata) == {
        "format", "version", "config", "variables", "grid", "step", "offsets", "normalization",
        "training_data", "scores",
    }  # fmt: skip


@pytest.mark.parametrize("keep", [0, 5, 300, -10], ids=["empty", "length", "header", "weights"])
def test_truncated_files(saved: Path, keep: int) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(InputError, match="may be truncated") as caught:
        load_checkpoint(saved)
    assert "\n" not in str(caught.value)


def test_foreign_files(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.safetensors"
    save_file({"w": torch.zeros(2)}, foreign)
    with pytest.raises(InputError, match="no weathersvq metadata"):
        load_checkpoint(foreign)
    foreign.write_bytes(pickle.dumps({"w": 1}))
    with pytest.raises(InputError, match="not a readable checkpoint"):
        load_checkpoint(foreign)
    with pytest.raises(InputError, match="no checkpoint at"):
        load_checkpoint(tmp_path)


def rewritten(path: Path, change: Callable[[dict], None], drop: str = "") -> None:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    text = json.loads(content[8 : 8 + length])["__metadata__"]["weathersvq"]
    metadata = json.loads(text)
    change(metadata)
    tensors = {k: v for k, v in load_file(path).items() if k != drop}
    save_file(tensors, path, {"weathersvq": json.dumps(metadata)})


def test_newer_formats_missing_metadata_and_missing_weights(saved: Path) -> None:
    original = saved.read_bytes()
    rewritten(saved, lambda metadata: metadata.update(format=99))
    with pytest.raises(InputError, match="format 99"):
        load_checkpoint(saved)
    saved.write_bytes(original)
    rewritten(saved, lambda metadata: metadata.pop("scores"))
    with pytest.raises(InputError, match="lacks 'scores'"):
        load_checkpoint(saved)
    saved.write_bytes(original)
    rewritten(saved, lambda _: None, drop="quantizer.codebook")
    with pytest.raises(InputError, match="do not fit its config"):
        load_checkpoint(saved).build()
