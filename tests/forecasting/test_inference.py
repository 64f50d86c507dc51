"""The inference form: the same forecasts as step by step, whatever the model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from weathersvq.checkpoint import Checkpoint, model_shape
from weathersvq.config import Experiment
from weathersvq.data.normalize import Normalization
from weathersvq.device import check_compiler
from weathersvq.errors import InputError
from weathersvq.forecasting.inference import (
    Difference,
    differences,
    inference_form,
    parse_precision,
)
from weathersvq.grid import GLOBAL_5625
from weathersvq.models import build_model
from weathersvq.models.forecaster import rollout
from weathersvq.models.layers import DropPath
from weathersvq.models.quantizers import QUANTIZERS
from weathersvq.models.quantizers.svq import SVQ, FoldedSVQ
from weathersvq.schema import kind_of

Make = Callable[..., Experiment]

NORMALIZATION = Normalization(("t2m", "u10"), (285.0, 0.5), (20.0, 6.0))
# Kelvin: single precision has steps of 3e-5 K near 285 K.
CLOSE = 1e-4
# Of PhyDNet, single precision gives no more than 5e-4 K, whichever the road.
BASELINES: dict[str, dict[str, Any]] = {
    "persistence": {},
    "climatology": {},
    "autoregression": {},
    "convlstm": {"hidden": 8, "depth": 2},
    "predrnn": {"hidden": 8, "depth": 2},
    "mim": {"hidden": 8, "depth": 2, "patch": 2},
}
SVQ_VARIANTS = [
    {"kind": "svq", "codebook_size": 40, "hidden": 16, "variant": variant}
    for variant in ("two_layer", "one_layer", "bucket", "post_relu")
]
SMALL: dict[str, dict[str, Any]] = {"svq_raw": {"codebook_size": 32}, "lfq": {"codebook_size": 64}}


def make_checkpoint(make_experiment: Make, model: dict[str, Any]) -> Checkpoint:
    """A model that has seen other data: statistics of its normalisation layers are not 0 and 1."""
    experiment = Experiment.model_validate(make_experiment().to_dict() | {"model": model})
    torch.manual_seed(0)
    built = build_model(experiment.model, model_shape(experiment.data, GLOBAL_5625, 2))
    for part in built.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
            part.running_mean.normal_()  # type: ignore[union-attr]
            part.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return Checkpoint(experiment, GLOBAL_5625, NORMALIZATION, built.state_dict(), name="a model")


def simvp(make_experiment: Make, **changes: Any) -> dict[str, Any]:
    return make_experiment().to_dict()["model"] | changes


def weather(count: int = 3) -> np.ndarray:
    """(count, 4, 2, 32, 64) in K and m/s."""
    noise = np.random.default_rng(1).normal(size=(count, 4, 2, 32, 64))
    mean, std = NORMALIZATION.scale()
    return (mean + std * noise).astype(np.float32)


def step_by_step(checkpoint: Checkpoint, fields: np.ndarray, steps: int) -> np.ndarray:
    """Normalise, run, denormalise."""
    mean, std = checkpoint.normalization.scale()
    with torch.inference_mode():
        y = rollout(checkpoint.build(), torch.from_numpy((fields - mean) / std), steps)
    return y.numpy() * std + mean


def assert_same(checkpoint: Checkpoint, steps: int = 6) -> None:
    fields = weather()
    form = inference_form(checkpoint, steps)
    forecast = form.predict(fields, batch_size=2)
    assert forecast.shape == (3, steps, 2, 32, 64)
    assert forecast.dtype == np.float32
    np.testing.assert_allclose(
        forecast, step_by_step(checkpoint, fields, steps), rtol=0, atol=CLOSE
    )


@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=lambda each: kind_of(each.Config))
def test_same_forecasts_with_every_quantizer(quantizer: Any, make_experiment: Make) -> None:
    kind = kind_of(quantizer.Config)
    options = {"kind": kind, **SMALL.get(kind, {})}
    assert_same(make_checkpoint(make_experiment, simvp(make_experiment, quantizer=options)))


@pytest.mark.parametrize("options", SVQ_VARIANTS, ids=lambda each: each["variant"])
def test_every_variant_of_svq_is_folded_where_it_can_be(
    options: dict[str, Any], make_experiment: Make
) -> None:
    checkpoint = make_checkpoint(make_experiment, simvp(make_experiment, quantizer=options))
    assert_same(checkpoint)
    parts = list(inference_form(checkpoint).modules())
    unfolded = options["variant"] == "post_relu"
    assert any(isinstance(part, SVQ) for part in parts) == unfolded
    assert any(isinstance(part, FoldedSVQ) for part in parts) != unfolded


@pytest.mark.parametrize("kind", BASELINES)
def test_same_forecasts_of_baselines(kind: str, make_experiment: Make) -> None:
    assert_same(make_checkpoint(make_experiment, {"kind": kind, **BASELINES[kind]}))


def test_changes_halo_and_quantizer_behind_the_translator(make_experiment: Make) -> None:
    model = simvp(make_experiment, predict="change", halo=2, quantizer_position="after")
    assert_same(make_checkpoint(make_experiment, model))


def test_nothing_of_training_is_left(make_experiment: Make) -> None:
    translator = {"kind": "gsta", "mlp_ratio": 2, "drop": 0.2, "drop_path": 0.3}
    quantizer = {"kind": "svq", "codebook_size": 77, "hidden": 16}
    model = simvp(make_experiment, translator=translator, quantizer=quantizer)
    checkpoint = make_checkpoint(make_experiment, model)
    assert any(isinstance(part, DropPath) for part in checkpoint.build().modules())
    form = inference_form(checkpoint)
    assert not any(isinstance(part, (DropPath, nn.Dropout)) for part in form.modules())
    assert not any(each.requires_grad for each in form.parameters())
    # Neither the 77 codes nor the layer that gives their weights are there.
    assert any(77 in each.shape for each in checkpoint.build().parameters())
    assert not any(77 in each.shape for each in form.parameters())


@pytest.mark.parametrize(
    "model",
    ["simvp", *BASELINES, *(kind_of(each.Config) for each in QUANTIZERS)],
)
def test_bfloat16_is_near_for_every_model(model: str, make_experiment: Make) -> None:
    options: dict[str, Any]
    if model == "simvp":
        options = simvp(make_experiment)
    elif model in BASELINES:
        options = {"kind": model, **BASELINES[model]}
    else:
        quantizer = {"kind": model, **SMALL.get(model, {})}
        options = simvp(make_experiment, quantizer=quantizer, predict="change")
    checkpoint = make_checkpoint(make_experiment, options)
    fields = weather(2)
    full, reduced = (inference_form(checkpoint, precision=p) for p in ("fp32", "bf16"))
    found = differences(reduced, full, fields)
    assert len(found) == 2
    # bfloat16 has 8 bits: 2^-8 = 0.4%, of 20 K and of 6 m/s; codes may flip where one is nearest.
    for each, std in zip(found, NORMALIZATION.std, strict=True):
        assert each.mean <= 0.05 * std
        assert each.mean <= each.largest
    if model == "persistence":
        assert found == [Difference(0.0, 0.0)] * 2


def test_differences_by_hand(make_experiment: Make) -> None:
    form = inference_form(make_checkpoint(make_experiment, {"kind": "persistence"}))
    warmer = copy.deepcopy(form)
    # Persistence gives (x - m) / s * s' + m': with m' = m + 2 K for channel 0 it is 2 K warmer.
    warmer.forward = lambda x: form.forward(x) + torch.tensor([2.0, 0.0]).view(2, 1, 1)  # type: ignore[method-assign]
    temperature, wind = differences(warmer, form, weather(2))
    assert (temperature.largest, temperature.mean) == pytest.approx((2.0, 2.0), abs=1e-4)
    assert (wind.largest, wind.mean) == (0.0, 0.0)


def test_unknown_precision() -> None:
    assert parse_precision("bf16") == "bf16"
    with pytest.raises(InputError, match=r"unknown precision 'bf61'; did you mean 'bf16'"):
        parse_precision("bf61")


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")  # torch's own
def test_compiled_it_gives_the_same(make_experiment: Make) -> None:
    try:
        check_compiler(torch.device("cpu"), "--compile")
    except InputError as error:
        pytest.skip(str(error))
    # Small, as compiling takes long; SimVP is compiled in benchmarks/forecasting.py.
    checkpoint = make_checkpoint(make_experiment, {"kind": "autoregression"})
    form = inference_form(checkpoint, compiled=True)
    sizes: list[int] = []
    form.network.register_forward_pre_hook(lambda _, x: sizes.append(len(x[0])))
    fields = weather(3)
    np.testing.assert_allclose(
        form.predict(fields, batch_size=2), step_by_step(checkpoint, fields, 4), rtol=0, atol=CLOSE
    )
    # The last window was filled up to a batch of two: no second size was compiled.
    assert set(sizes) == {2}


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match=r"needs a C\+\+ compiler and found no g\+\+ or clang"):
        check_compiler(torch.device("cpu"), "--compile")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match="found no no-such-compiler"):
        check_compiler(torch.device("cpu"), "--compile")
