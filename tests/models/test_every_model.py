"""What must hold for every model, translator and quantizer that a config can choose."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save
from torch.nn import functional

from weathersvq.data.sources import open_source
from weathersvq.models import MODELS, build_model, validate_model_config
from weathersvq.models.forecaster import Shape
from weathersvq.models.quantizers import QUANTIZERS
from weathersvq.models.translators import TRANSLATORS
from weathersvq.schema import kind_of
from weathersvq.variables import parse_channels

SIMVP = {"kind": "simvp", "hid_spatial": 8, "hid_temporal": 16, "depth_temporal": 2}
# Options that make a model of each kind small; SimVP's parts are gone through one by one.
SMALL = {
    "convlstm": {"hidden": 8, "depth": 2},
    "predrnn": {"hidden": 8, "depth": 2},
    "predrnnpp": {"hidden": 8, "depth": 2},
    "predrnnv2": {"hidden": 8, "depth": 2},
    "mim": {"hidden": 8, "depth": 2, "patch": 2},
    "e3dlstm": {"hidden": 8, "depth": 2, "patch": 2},
    "mau": {"hidden": 8, "depth": 2},
    "phydnet": {},
    "prednet": {},
    "dmvfn": {},
    "persistence": {},
    "climatology": {},
    "autoregression": {},
}
SMALL_PARTS = {
    "vq": {"codebook_size": 32},
    "residual_vq": {"codebook_size": 32, "quantizers": 3},
    "grouped_residual_vq": {"codebook_size": 32, "quantizers": 2},
    "multi_headed_vq": {"codebook_size": 32},
    "residual_vq_stochastic": {"codebook_size": 32, "quantizers": 3},
    "residual_fsq": {"quantizers": 3},
    "lfq": {"codebook_size": 64},
    "residual_lfq": {"codebook_size": 64, "quantizers": 2},
    "svq_raw": {"codebook_size": 32},
    "svq": {"codebook_size": 64},
}

TRANSLATOR_KINDS = [kind_of(each.Config) for each in TRANSLATORS]
QUANTIZER_KINDS = [kind_of(each.Config) for each in QUANTIZERS]
CONFIGS = {
    **{
        kind: {"kind": kind, **SMALL[kind]}
        for kind in (kind_of(each.Config) for each in MODELS)
        if kind != "simvp"
    },
    **{f"simvp-{kind}": {**SIMVP, "translator": kind} for kind in TRANSLATOR_KINDS},
    **{
        f"simvp-gsta-{kind}": {**SIMVP, "quantizer": {"kind": kind, **SMALL_PARTS.get(kind, {})}}
        for kind in QUANTIZER_KINDS
    },
}
# Mean absolute output and one value of it, from seeded and shifted weights, in double precision: a
# change that alters a model is seen. Translators have pins of their own.
PINNED = {
    "convlstm": (0.00403259228, 0.00502671547),
    "predrnn": (0.00678468375, -0.00148455008),
    "predrnnpp": (0.000201268406, -2.75510768e-05),
    "predrnnv2": (0.00678468375, -0.00148455008),
    "mim": (0.00520998669, -0.00200898084),
    "e3dlstm": (0.0992526355, 0.0248329011),
    "mau": (0.192357489, -0.256794571),
    "phydnet": (1.39412207, -1.49393016),
    "prednet": (0.025270177, 0.0507538986),
    "dmvfn": (0.25578575, 0.15898429),
    "persistence": (0.636239747, -0.38767049),
    "climatology": (0, 0),
    "autoregression": (0.631001234, -0.419855582),
    "simvp-gsta-identity": (0.33110564, -0.221539124),
    "simvp-gsta-vq": (0.301871005, 0.107753776),
    "simvp-gsta-residual_vq": (0.397211471, -1.30635126),
    "simvp-gsta-grouped_residual_vq": (0.276004513, -0.924893057),
    "simvp-gsta-multi_headed_vq": (0.315898281, -0.759730042),
    "simvp-gsta-residual_vq_stochastic": (0.397211471, -1.30635126),
    "simvp-gsta-residual_fsq": (0.217545069, -0.457060494),
    "simvp-gsta-lfq": (0.257219861, -0.0436842267),
    "simvp-gsta-residual_lfq": (0.253814006, 0.0111559719),
    "simvp-gsta-svq_raw": (0.256549627, 0.902485522),
    "simvp-gsta-svq": (0.262094861, -0.477106188),
    "simvp-gsta-mlp": (0.187488184, 0.27897299),
}
NOT_LEARNING = {"persistence", "climatology"}


def make(name, shape, seed=0):
    torch.manual_seed(seed)
    return build_model(validate_model_config(CONFIGS[name]), shape)


@pytest.fixture(params=CONFIGS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def weather():
    """Eight windows of 2 m temperature, every fourth cell: (8, 8, 1, 8, 16), normalised."""
    dataset = open_source("sample", parse_channels("t2m")).isel(
        time=slice(0, 15), latitude=slice(None, None, 4), longitude=slice(None, None, 4)
    )
    frames = torch.from_numpy(dataset["t2m"].values.copy())
    frames = (frames - frames.mean()) / frames.std()
    return frames.unfold(0, 8, 1).movedim(-1, 1)[:, :, None].contiguous()


def test_learns_the_sample(name, weather):
    if name in NOT_LEARNING:
        pytest.skip("has nothing to learn")
    inputs, targets = weather[:, :4], weather[:, 4:]
    model = make(name, Shape(4, 4, 1, 1, 8, 16, longitude_wraps=True))
    model.calibrate([(inputs, targets)])
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    course = []
    for step in range(14):
        y, losses = model.forward_in_training(inputs, targets, step, functional.mse_loss)
        loss = functional.mse_loss(y, targets)
        assert all(each.shape == () and each.isfinite() for each in losses.values())
        optimizer.zero_grad()
        (loss + sum(losses.values())).backward()
        optimizer.step()
        course.append(float(loss.detach()))
    assert min(course[-3:]) < 0.9 * course[0]


def test_gradients_reach_what_learns(name):
    shape = Shape(4, 4, 2, 2, 16, 16)
    model, x = make(name, shape), torch.randn(3, *shape.inputs)
    targets = torch.randn(3, 4, 2, 16, 16)
    reached = dict.fromkeys((key for key, _ in model.named_parameters()), False)
    # More than once: a layer may be dropped by chance in one step.
    for step in range(6):
        model.zero_grad()
        y, losses = model.forward_in_training(x, targets, step, functional.mse_loss)
        total = functional.mse_loss(y, targets) + sum(losses.values())
        if total.requires_grad:
            total.backward()
        for key, parameter in model.named_parameters():
            assert parameter.requires_grad or parameter.grad is None
            if parameter.grad is not None and parameter.grad.any():
                reached[key] = True
    assert [key for key, seen in reached.items() if not seen] == []


def test_saved_and_loaded_it_is_the_same(name):
    shape = Shape(3, 3, 1, 1, 8, 16, longitude_wraps=True)
    model, x = make(name, shape), torch.randn(2, *shape.inputs)
    model(x)  # in training mode: running averages and codebooks move
    expected = model.eval()(x)
    content = save({key: value.contiguous() for key, value in model.state_dict().items()})
    again = make(name, shape, seed=1)
    again.load_state_dict(load(content))
    assert torch.equal(again.eval()(x), expected)


def test_forecasts_are_deterministic_and_each_for_itself(name):
    shape = Shape(3, 3, 1, 1, 8, 16, longitude_wraps=True)
    model, x = make(name, shape).eval(), torch.randn(3, *shape.inputs)
    y = model(x)
    assert torch.equal(model(x), y)
    torch.testing.assert_close(model(x.flip(0)).flip(0), y)
    torch.testing.assert_close(model(x[1:2]), y[1:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("in_steps", "out_steps", "channels", "size"),
    [(4, 1, 1, (7, 9)), (4, 4, 5, (10, 6)), (4, 10, 2, (9, 13))],
)
def test_any_size(name, in_steps, out_steps, channels, size):
    shape = Shape(in_steps, out_steps, channels, channels, *size, longitude_wraps=True)
    y = make(name, shape).eval()(torch.randn(2, *shape.inputs))
    assert y.shape == (2, out_steps, channels, *size)
    assert y.isfinite().all()


@pytest.mark.parametrize("name", [name for name in CONFIGS if not name.startswith("simvp-")])
def test_fewer_steps_are_the_first_of_more(name):
    if name in NOT_LEARNING | {"autoregression"}:
        pytest.skip("has weights or figures for each lead")
    few, many = (make(name, Shape(4, steps, 1, 1, 8, 16)).eval() for steps in (3, 9))
    x = torch.randn(2, 4, 1, 8, 16)
    torch.testing.assert_close(few(x), many(x)[:, :3])


def test_bf16(name):
    shape = Shape(3, 3, 1, 1, 8, 16)
    model, x = make(name, shape).eval(), torch.randn(2, *shape.inputs)
    exact = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        y = model(x)
    # A code that changes for another is as wrong as it can be: most values are what counts.
    off = (y.float() - exact).abs()
    assert y.isfinite().all()
    assert off.median() <= 0.05 * exact.abs().max()


@pytest.mark.parametrize("translator", TRANSLATOR_KINDS)
def test_simvp_compiles_with_each_translator(translator):
    shape = Shape(3, 3, 1, 1, 8, 16, longitude_wraps=True)
    model, x = make(f"simvp-{translator}", shape).eval(), torch.randn(2, *shape.inputs)
    torch.compiler.reset()  # each translator anew: many of them would exceed a limit
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), model(x))


@pytest.mark.parametrize("name", PINNED)
def test_outputs_are_what_they_were(name):
    model = make(name, Shape(3, 4, 2, 2, 8, 16, longitude_wraps=True)).double().eval()
    x = torch.sin(torch.arange(2 * 3 * 2 * 8 * 16, dtype=torch.float64)).view(2, 3, 2, 8, 16)
    with torch.no_grad():
        for index, parameter in enumerate(model.parameters()):
            wave = torch.cos(torch.arange(parameter.numel(), dtype=torch.float64) + index)
            parameter.add_(0.05 * wave.view_as(parameter))
        y = model(x)
    found = (float(y.abs().mean()), float(y[1, 3, 1, 5, 7]))
    assert found == pytest.approx(PINNED[name], rel=1e-6, abs=1e-12)


def test_every_model_is_pinned():
    assert {name for name in CONFIGS if name.partition("-")[0] != "simvp"} <= set(PINNED)
