"""Exported models: the same forecasts without this package, or nothing at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import weathersvq.forecasting.export as room
from weathersvq.bundled import bundled_model
from weathersvq.checkpoint import Checkpoint, load_checkpoint, model_shape
from weathersvq.config import Experiment
from weathersvq.data.normalize import Normalization
from weathersvq.data.sources import open_source
from weathersvq.errors import InputError
from weathersvq.forecasting.export import export_model, export_target, real_inputs
from weathersvq.forecasting.job import forecast, parse_inits
from weathersvq.grid import GLOBAL_5625
from weathersvq.models import build_model

Make = Callable[..., Experiment]

NORMALIZATION = Normalization(("t2m", "u10"), (285.0, 0.5), (20.0, 6.0))
LACKING = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
needs_onnx = pytest.mark.skipif(
    bool(LACKING), reason=f"{', '.join(LACKING)} not installed: pip install 'weathersvq[export]'"
)
FORMS = ["torch-export", pytest.param("onnx", marks=needs_onnx)]
MODELS: dict[str, dict[str, Any]] = {
    "svq": {"quantizer": {"kind": "svq", "codebook_size": 16}},
    "vq": {"quantizer": {"kind": "vq", "codebook_size": 16}},
    "swin": {"translator": {"kind": "swin", "heads": 4}, "depth_temporal": 1},
    "change": {"predict": "change", "halo": 2, "depth_temporal": 1},
    "convlstm": {"kind": "convlstm", "hidden": 4, "depth": 1},
    "climatology": {"kind": "climatology"},
}


def make_checkpoint(make_experiment: Make, options: dict[str, Any]) -> Checkpoint:
    document = make_experiment().to_dict()
    document["model"] = options if "kind" in options else document["model"] | options
    experiment = Experiment.model_validate(document)
    torch.manual_seed(0)
    model = build_model(experiment.model, model_shape(experiment.data, GLOBAL_5625, 2))
    return Checkpoint(
        experiment, GLOBAL_5625, NORMALIZATION, model.state_dict(), {"period": "2010"}, name="a.safetensors"
    )  # fmt: skip


def run_elsewhere(path: Path, fields: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """Forecasts and metadata with nothing but the file."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        text = session.get_modelmeta().custom_metadata_map["weathersvq"]
        return session.run(None, {"fields": fields})[0], json.loads(text)
    extra = {"weathersvq.json": ""}
    module = torch.export.load(path, extra_files=extra).module()
    with torch.no_grad():
        return module(torch.from_numpy(fields)).numpy(), json.loads(extra["weathersvq.json"])


@pytest.mark.parametrize("to", FORMS)
def test_the_bundled_model_forecasts_real_weather_elsewhere(to: str, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(bundled_model())
    path = tmp_path / f"model{room.SUFFIXES[to]}"
    checks = export_model(checkpoint, to, path, real=real_inputs(checkpoint))
    assert [check.windows for check in checks] == ["3 random windows", "3 windows of sample"]
    assert all(0 <= value <= 1e-4 for check in checks for value in check.apart)
    # Five windows, which no check has run, beside the forecasts of the ordinary road.
    sample = open_source("sample")
    inits = parse_inits(["2017-01-01/2017-01-02/6h"])
    usual = forecast(checkpoint, sample, inits)
    names = checkpoint.normalization.channels
    hours = np.arange(-11, 1) * np.timedelta64(1, "h")
    fields = np.stack(
        [[sample[n].sel(time=init + hours).values for n in names] for init in inits]
    ).swapaxes(1, 2)
    found, metadata = run_elsewhere(path, fields)
    for index, name in enumerate(names):
        np.testing.assert_allclose(found[:, :, index], usual[name], rtol=0, atol=1e-4)
    assert metadata["config"]["name"] == checkpoint.experiment.name
    assert metadata["normalization"]["mean"] == list(checkpoint.normalization.mean)
    assert metadata["interface"]["channels"] == list(names)
    assert metadata["interface"]["units"]["t2m"] == "K"
    assert metadata["interface"]["input"]["shape"] == ["any", 12, 5, 32, 64]
    assert metadata["interface"]["output"]["steps"] == list(range(1, 13))


@pytest.mark.parametrize(
    ("kind", "to"),
    [
        ("vq", "torch-export"),
        ("convlstm", "torch-export"),
        ("climatology", "torch-export"),
        pytest.param("swin", "onnx", marks=needs_onnx),
        pytest.param("change", "onnx", marks=needs_onnx),
    ],
)
def test_models_that_can_be_exported(
    kind: str, to: str, make_experiment: Make, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint(make_experiment, MODELS[kind])
    path = tmp_path / f"model{room.SUFFIXES[to]}"
    (check,) = export_model(checkpoint, to, path)
    assert len(check.apart) == 2
    found, _ = run_elsewhere(path, np.full((1, 4, 2, 32, 64), 280, np.float32))
    assert found.shape == (1, 4, 2, 32, 64)


def test_a_model_that_cannot_be_exported(make_experiment: Make, tmp_path: Path) -> None:
    raw = {"quantizer": {"kind": "svq_raw", "codebook_size": 32}}
    checkpoint = make_checkpoint(make_experiment, raw)
    with pytest.raises(
        InputError, match=r"cannot export the model a\.safetensors for any"
    ) as error:
        export_model(checkpoint, "torch-export", tmp_path / "a.pt2")
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["wave.zarr"]


def test_another_forecast_is_refused(
    make_experiment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = make_checkpoint(make_experiment, MODELS["svq"])
    write = room._write_torch

    def write_wrongly(*arguments: Any) -> room.Run:
        run = write(*arguments)
        return lambda fields: run(fields) + np.float32([0, 0.001]).reshape(2, 1, 1)

    monkeypatch.setattr(room, "_write_torch", write_wrongly)
    with pytest.raises(InputError, match=r"on 3 random windows .* is 0\.001 away .* in u10, more"):
        export_model(checkpoint, "torch-export", tmp_path / "a.pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["wave.zarr"]


def test_data_that_do_not_fit(make_experiment: Make, wave_store: Path) -> None:
    checkpoint = make_checkpoint(make_experiment, MODELS["svq"])
    (what,) = real_inputs(checkpoint, str(wave_store))
    assert what.startswith("3 windows of")
    joint = load_checkpoint(bundled_model())
    with pytest.raises(InputError, match="has no variable"):
        real_inputs(joint, str(wave_store))


@pytest.mark.parametrize(
    ("to", "out", "message"),
    [
        ("onix", None, "unknown form --to 'onix'; did you mean 'onnx'"),
        (
            "torch-export",
            "a.onnx",
            r"--out 'a.onnx' is no name for torch-export; expected NAME.pt2",
        ),
        ("torch-export", "there.pt2", "exists already"),
    ],
)
def test_targets_that_are_refused(
    to: str, out: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.pt2").touch()
    with pytest.raises(InputError, match=message):
        export_target("model.safetensors", to, None if out is None else Path(out))


def test_packages_that_lack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(room, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"needs onnx and onnxscript, .*'weathersvq\[export\]'"):
        export_target("model.safetensors", "onnx", tmp_path / "a.onnx")
    assert export_target("model.safetensors", "torch-export", None) == Path("model.pt2")
