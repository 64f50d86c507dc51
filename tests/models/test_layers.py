from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from weathersvq.models.layers import (
    ConvSC,
    Depthwise,
    DropPath,
    MixMLP,
    fast_layout,
    initialize_fan_out,
)


@pytest.mark.parametrize(
    ("resample", "size"), [("none", (8, 12)), ("down", (4, 6)), ("up", (16, 24))]
)
def test_conv_sc_sizes_and_first_weights(resample, size):
    torch.manual_seed(0)
    block = ConvSC(64, 32, resample)
    assert block(torch.randn(2, 64, 8, 12)).shape == (2, 32, *size)
    # Cut at +-2, a hundred standard deviations away: a normal distribution.
    assert block.conv.weight.detach().std() == pytest.approx(0.02, rel=0.03)
    assert not block.conv.bias.any()


@pytest.mark.parametrize(("taps", "dilation"), [(5, 1), (7, 3), (5, 2), (1, 3)])
@pytest.mark.parametrize("size", [(16, 32), (5, 7), (2, 2)])
def test_depthwise_is_the_plain_convolution(taps, dilation, size):
    torch.manual_seed(0)
    layer = Depthwise(6, taps, dilation).double()
    plain = nn.Conv2d(6, 6, taps, padding="same", dilation=dilation, groups=6).double()
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, 6, *size, dtype=torch.float64)
    weight = torch.randn_like(x)
    outcomes = []
    for each in (layer, plain):
        inputs = x.clone().requires_grad_()
        y = each(inputs)
        (y * weight).sum().backward()
        outcomes.append((y, inputs.grad, each.weight.grad, each.bias.grad))
    for ours, theirs in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert layer.to("meta")(x.to("meta")).shape == x.shape


def test_depthwise_trains_in_float32_and_forecasts_in_bfloat16():
    layer, x = Depthwise(4, 3, 2), torch.randn(1, 4, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        trained, forecast = layer(x), layer.eval()(x)
    assert torch.equal(trained, layer(x))
    assert forecast.dtype == torch.bfloat16


def test_initialize_fan_out():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(64, 256, 1), nn.Conv2d(512, 512, 5, groups=512))
    layers.apply(initialize_fan_out)
    # Fan-out: 1 * 1 * 256, and 5 * 5 * 512 / 512.
    assert layers[0].weight.detach().std() == pytest.approx(math.sqrt(2 / 256), rel=0.03)
    assert layers[1].weight.detach().std() == pytest.approx(math.sqrt(2 / 25), rel=0.03)
    assert not layers[0].bias.any()
    assert not layers[1].bias.any()


def test_mix_mlp_is_local_and_keeps_shape():
    torch.manual_seed(0)
    mlp = MixMLP(4, 8).eval()
    x = torch.randn(1, 4, 7, 7)
    changed = x.clone()
    changed[..., 3, 3] += 1
    moved = (mlp(changed) - mlp(x)).abs().amax(dim=(0, 1)) > 0
    expected = torch.zeros(7, 7, dtype=torch.bool)
    expected[2:5, 2:5] = True
    assert torch.equal(moved, expected)


def test_mix_mlp_drops_in_the_middle_and_at_the_end():
    torch.manual_seed(0)
    mlp, x = MixMLP(4, 8, drop=0.5), torch.randn(1, 4, 50, 50)
    # Standard error of the share is sqrt(0.5 * 0.5 / 10000) = 0.005.
    assert (mlp(x) == 0).float().mean() == pytest.approx(0.5, abs=0.02)
    # Of the other half, some differ from run to run by what was dropped before them.
    first, second = mlp(x), mlp(x)
    both = (first != 0) & (second != 0)
    assert not torch.allclose(first[both], second[both])
    assert torch.equal(mlp.eval()(x), mlp(x))


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    layer, x = DropPath(0.25), torch.ones(4000, 2, 1, 3)
    y = layer(x)
    kept = y[:, 0, 0, 0] != 0
    assert torch.equal(y, kept[:, None, None, None] * x / 0.75)
    # Standard error of the share is sqrt(0.25 * 0.75 / 4000) = 0.007.
    assert kept.float().mean() == pytest.approx(0.75, abs=0.03)
    assert layer.eval()(x) is x
    assert DropPath(0.0)(x) is x


def test_fast_layout_keeps_values():
    x = torch.randn(2, 3, 4, 5)
    assert torch.equal(fast_layout(x), x)
    assert fast_layout(x).is_contiguous(memory_format=torch.channels_last)
