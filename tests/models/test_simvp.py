from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from weathersvq.errors import InputError
from weathersvq.models import simvp as simvp_module
from weathersvq.models.forecaster import Losses, Shape, rollout
from weathersvq.models.quantizers.base import Quantized, Quantizer
from weathersvq.models.simvp import SimVP, SimVPConfig
from weathersvq.models.size import measure

SVQ = {"kind": "svq", "codebook_size": 20, "hidden": 8}
WEATHERBENCH_S = Shape(12, 12, 1, 1, 32, 64, longitude_wraps=True)


def make(shape: Shape, seed=0, **options) -> SimVP:
    torch.manual_seed(seed)
    options = {"hid_spatial": 4, "hid_temporal": 8, "depth_temporal": 2, **options}
    return SimVP(SimVPConfig(**options), shape)


def fields(shape: Shape, batch=2, dtype=torch.float32) -> Tensor:
    return torch.randn(batch, *shape.inputs, dtype=dtype)


@pytest.mark.parametrize(
    ("quantizer", "parameters"), [("identity", 12_758_305), ("svq", 14_372_529)]
)
def test_published_parameters(quantizer, parameters):
    model = SimVP(SimVPConfig(quantizer=quantizer), WEATHERBENCH_S)
    assert sum(each.numel() for each in model.parameters()) == parameters


@pytest.mark.parametrize(("quantizer", "giga"), [("identity", 6.988), ("svq", 7.080)])
def test_multiply_accumulates(quantizer, giga):
    """Published: 7.01 G without SVQ, 16.8 G with it; the fold itself is 0.041 G of ours."""
    macs = measure(SimVPConfig(quantizer=quantizer), WEATHERBENCH_S).macs
    assert macs / 1e9 == pytest.approx(giga, abs=0.001)


def test_multiply_accumulates_are_the_same_where_numbers_are_needed():
    """A lookup is counted on the CPU, whose convolutions compute more than they have to."""
    without, vq = (
        measure(SimVPConfig(quantizer=q), WEATHERBENCH_S).macs for q in ("identity", "vq")
    )
    tokens, dimensions, codes = 12 * 16 * 32, 32, 512
    assert vq - without == tokens * dimensions * codes


def test_values_of_the_published_implementation():
    """Weights by a rule, and what the published SimVP gSTA gives with the same ones."""
    shape = Shape(2, 2, 1, 1, 8, 12)
    translator = {"kind": "gsta", "mlp_ratio": 2}
    model = make(shape, hid_temporal=6, depth_temporal=3, translator=translator).double().eval()
    with torch.no_grad():
        for number, each in enumerate(model.parameters()):
            index = torch.arange(each.numel(), dtype=torch.float64).view(each.shape)
            each.copy_(0.3 * torch.sin(1.7 * index + number))
        x = torch.cos(0.37 * torch.arange(2 * 8 * 12, dtype=torch.float64)).view(1, 2, 1, 8, 12)
        y = model(x)[0, :, 0]
    found = [float(each) for each in (y[0, 0, 0], y[0, 4, 7], y[1, 7, 11], y.mean(), y.std())]
    expected = [-0.2057145644, -0.2219540165, -0.2152582095, -0.2185622216, 0.0065037075]
    assert found == pytest.approx(expected, abs=2e-10)


@pytest.mark.parametrize("quantizer", ["identity", SVQ])
@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize("depth_spatial", [1, 2, 3, 4])
def test_every_parameter_learns(quantizer, position, depth_spatial):
    shape = Shape(3, 3, 2, 2, 8, 12)
    options = {"quantizer_position": position, "depth_spatial": depth_spatial}
    model = make(shape, quantizer=quantizer, **options).eval()
    model(fields(shape)).square().sum().backward()
    idle = [name for name, each in model.named_parameters() if not each.grad.any()]
    assert not idle


def test_frozen_codebook_stays():
    shape = Shape(2, 2, 1, 1, 8, 8)
    model = make(shape, quantizer={**SVQ, "frozen": "both"})
    model(fields(shape)).square().sum().backward()
    still = {name for name, each in model.named_parameters() if each.grad is None}
    assert still == {f"quantizer.{name}" for name, _ in model.quantizer.named_parameters()}


@pytest.mark.parametrize("size", [(8, 12), (7, 9), (5, 5), (1, 3)])
@pytest.mark.parametrize("halo", [0, 3])
@pytest.mark.parametrize("depth_spatial", [2, 4])
def test_any_size(size, halo, depth_spatial):
    shape = Shape(2, 2, 1, 3, *size, longitude_wraps=True)
    model = make(shape, halo=halo, depth_spatial=depth_spatial)
    padded = model.border.pad(fields(shape))
    assert all(length % 2 ** (depth_spatial // 2) == 0 for length in padded.shape[-2:])
    assert model(fields(shape)).shape == (2, 2, 3, *size)


@pytest.mark.parametrize(("wraps", "mode"), [(True, "wrap"), (False, "edge")])
def test_padding_goes_round_in_longitude_only(wraps, mode):
    shape = Shape(2, 2, 1, 1, 5, 7, longitude_wraps=wraps)
    model, x = make(shape, halo=2, depth_spatial=4), fields(shape)
    # 5 + 4 rows fill up to 12, 7 + 4 columns to 12.
    expected = np.pad(x.numpy(), [(0, 0)] * 4 + [(2, 3)], mode=mode)
    expected = np.pad(expected, [(0, 0)] * 3 + [(2, 5), (0, 0)], mode="edge")
    np.testing.assert_array_equal(model.border.pad(x).numpy(), expected)
    assert torch.equal(model.border.crop(model.border.pad(x)), x)


def test_published_grid_is_not_padded():
    model, x = make(WEATHERBENCH_S), fields(WEATHERBENCH_S)
    assert model.border.pad(x) is x


def test_padding_has_no_state_that_averaging_could_blur():
    model = make(Shape(2, 2, 1, 1, 5, 7), halo=2)
    assert {name.rpartition(".")[2] for name, _ in model.named_buffers()} == {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }


def test_halo_removes_the_seam():
    """Fields that are the same at all longitudes give forecasts that are.

    Pixel shuffle tells even columns from odd ones, so columns are compared with those two further.
    Beyond the network's reach from its zero-padded border, nothing tells columns apart.
    """
    differences = {}
    for halo in (0, 24):
        shape = Shape(2, 2, 1, 1, 8, 12, longitude_wraps=True)
        # Reach: attention 2 + 3 and MLP 1 latent cells (times 2), codec 2 * 3.
        model = make(
            shape, depth_temporal=1, translator={"kind": "gsta", "kernel": 9}, halo=halo
        ).double()
        x = torch.randn(1, 2, 1, 8, 1, dtype=torch.float64).expand(-1, -1, -1, -1, 12)
        y = model.eval()(x).detach()
        differences[halo] = float((y - y.roll(2, dims=-1)).abs().max() / y.abs().max())
    assert differences[0] > 1e-3
    assert differences[24] < 1e-12


@pytest.mark.parametrize("quantizer", ["identity", SVQ])
def test_output_shorter_and_longer_than_input(quantizer):
    """KittiCaltech cuts 10 -> 1, KTH feeds back 10 -> 20; here 4 -> 1, 4 and 10."""
    models = {
        steps: make(Shape(4, steps, 1, 1, 6, 8), quantizer=quantizer).eval() for steps in (1, 4, 10)
    }
    x = fields(Shape(4, 4, 1, 1, 6, 8))
    same = models[4](x)
    torch.testing.assert_close(models[1](x), same[:, :1])
    second = models[4](same)
    third = models[4](second)
    expected = torch.cat([same, second, third[:, :2]], dim=1)
    torch.testing.assert_close(models[10](x), expected)
    torch.testing.assert_close(rollout(models[4], x, 10), expected)
    # A model trained on one step goes on step by step.
    by_step = rollout(models[1], x, 2)
    torch.testing.assert_close(by_step[:, 1:], models[1](torch.cat([x[:, 1:], same[:, :1]], 1)))


def test_change_is_added_to_the_last_frame():
    shape = Shape(3, 3, 2, 2, 6, 8)
    state, change = make(shape).eval(), make(shape, predict="change").eval()
    x = fields(shape)
    torch.testing.assert_close(change(x), state(x) + x[:, -1:])
    torch.nn.init.zeros_(change.decoder.readout.weight)
    torch.nn.init.zeros_(change.decoder.readout.bias)
    assert torch.equal(rollout(change, x, 7), x[:, -1:].expand(-1, 7, -1, -1, -1))


def test_eval_is_deterministic_and_samples_are_independent():
    shape = Shape(3, 3, 1, 1, 8, 8)
    model = make(shape, quantizer=SVQ, translator={"kind": "gsta", "drop": 0.3, "drop_path": 0.5})
    x = fields(shape, batch=4)
    assert not torch.equal(model(x), model(x))
    model.eval()
    y = model(x)
    assert torch.equal(model(x), y)
    torch.testing.assert_close(model(x.flip(0)), y.flip(0))
    torch.testing.assert_close(model(x[2:3]), y[2:3])


def test_weights_saved_and_loaded_give_the_same():
    shape = Shape(2, 2, 1, 1, 7, 8)
    first, second = (make(shape, seed, quantizer=SVQ, halo=1).eval() for seed in (0, 1))
    x = fields(shape)
    with torch.no_grad():
        assert not torch.allclose(first(x), second(x))
        second.load_state_dict(first.state_dict())
        assert torch.equal(first(x), second(x))


@pytest.mark.parametrize("position", ["before", "after"])
def test_memory_order_does_not_change_results(position, monkeypatch):
    shape = Shape(3, 2, 2, 2, 8, 12)
    model, x = make(shape, quantizer=SVQ, quantizer_position=position), fields(shape)
    model.eval()
    fast = model(x)
    monkeypatch.setattr(simvp_module, "fast_layout", lambda x: x)
    torch.testing.assert_close(model(x), fast)
    torch.testing.assert_close(model(x.flip(-1).contiguous().flip(-1)), fast)


def test_quantizer_stands_where_it_is_told():
    """A quantizer that gives zeros hides the input's latent maps, before or after."""

    class Zeros(Quantizer):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)

        def forward(self, z: Tensor) -> Quantized:
            self.seen = z
            return Quantized(z * 0, losses={"commitment": z.square().mean()})

    shape = Shape(2, 2, 1, 1, 8, 8)
    x = fields(shape)
    seen = {}
    for position in ("before", "after"):
        model = make(shape, quantizer_position=position).eval()
        model.quantizer = Zeros()
        y, losses = model.forward_with_losses(x)
        assert losses["commitment"] == model.quantizer.seen.square().mean()
        seen[position] = model.quantizer.seen
        given = {
            "before": model.translator(torch.zeros(2, 8, 4, 4)).unflatten(1, (2, 4)),
            "after": torch.zeros(2, 2, 4, 4, 4),
        }[position]
        _, skip = model.encoder(x.flatten(0, 1))
        expected = model.decoder(given.flatten(0, 1), skip).unflatten(0, (2, 2))
        torch.testing.assert_close(y, expected)
    torch.testing.assert_close(
        seen["after"].flatten(1, 2), model.translator(seen["before"].flatten(1, 2))
    )


def test_no_losses_without_a_quantizer():
    shape = Shape(2, 2, 1, 1, 8, 8)
    losses: Losses = make(shape).forward_with_losses(fields(shape))[1]
    assert losses == {}


@pytest.mark.parametrize(
    ("options", "out_steps", "message"),
    [({"predict": "change"}, 2, "predict: change"), ({}, 3, "at most 2 output steps")],
)
def test_channels_that_cannot_be_fed_back(options, out_steps, message):
    with pytest.raises(InputError, match=message):
        make(Shape(2, out_steps, 1, 3, 8, 8), **options)


@pytest.mark.parametrize("predict", ["state", "change"])
def test_bf16(predict):
    shape = Shape(3, 3, 1, 1, 8, 12)
    model, x = make(shape, quantizer=SVQ, predict=predict), fields(shape)
    with torch.autocast("cpu", torch.bfloat16):
        y = model(x)
        loss = (y - x).abs().mean()
    loss.backward()
    assert all(each.grad.isfinite().all() for each in model.parameters())
    exact = model.eval()(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert (model(x) - exact).abs().max() < 0.05 * exact.abs().max()


def test_compiles_without_graph_breaks():
    shape = Shape(2, 3, 1, 1, 5, 6, longitude_wraps=True)
    model = make(shape, quantizer=SVQ, halo=1, predict="change").eval()
    x = fields(shape)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), model(x))


def test_changes_are_given_in_units_of_what_is_usual_at_each_lead() -> None:
    torch.manual_seed(0)
    config = SimVPConfig(hid_spatial=4, hid_temporal=8, depth_temporal=2, predict="change")
    model = SimVP(config, Shape(3, 2, 2, 2, 8, 8)).eval()
    inputs = torch.randn(5, 3, 2, 8, 8)
    change = torch.randn(5, 2, 2, 8, 8) * torch.tensor([[0.01, 0.1], [0.02, 0.4]])[:, :, None, None]
    with torch.no_grad():
        before = model(inputs) - inputs[:, -1:]
        model.calibrate([(inputs, inputs[:, -1:] + change)])
        after = model(inputs) - inputs[:, -1:]
    usual = change.square().mean(dim=(0, 3, 4)).sqrt()
    torch.testing.assert_close(model.change_scale[:, :, 0, 0], usual, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(after, before * usual[:, :, None, None], rtol=1e-3, atol=1e-5)
    assert "change_scale" in model.state_dict()
