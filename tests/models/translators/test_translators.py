from __future__ import annotations

import math

import pytest
import torch

from weathersvq.models.translators import TRANSLATORS
from weathersvq.models.translators.base import drop_path_rate
from weathersvq.models.translators.gsta import GSTA, GatedAttention, GSTAConfig


@pytest.fixture(params=TRANSLATORS, ids=lambda each: each.__name__)
def translator_class(request):
    return request.param


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize(("channels", "hidden"), [(32, 16), (16, 16)])
def test_keeps_shape_and_every_parameter_learns(translator_class, channels, hidden, depth):
    torch.manual_seed(0)
    translator = translator_class(channels, hidden, depth, (6, 10), translator_class.Config())
    x = torch.randn(2, channels, 6, 10)
    y = translator.eval()(x)
    assert y.shape == x.shape
    y.square().sum().backward()
    idle = [name for name, each in translator.named_parameters() if not each.grad.any()]
    assert not idle


def test_batch_order_does_not_matter(translator_class):
    torch.manual_seed(0)
    translator = translator_class(8, 8, 2, (4, 6), translator_class.Config()).eval()
    x = torch.randn(3, 8, 4, 6)
    torch.testing.assert_close(translator(x.flip(0)), translator(x).flip(0))


def test_drop_path_rises_linearly():
    assert [drop_path_rate(i, 4, 0.1) for i in range(4)] == pytest.approx([0.01, 0.04, 0.07, 0.1])
    assert [drop_path_rate(i, 3, 0.0) for i in range(3)] == [0, 0, 0]
    assert drop_path_rate(0, 1, 0.2) == 0.2


@pytest.mark.parametrize(("kernel", "taps"), [(21, 7), (20, 5), (15, 5), (9, 3), (3, 1)])
def test_attention_taps(kernel, taps):
    attention = GatedAttention(4, kernel)
    assert attention.near.weight.shape == (4, 1, 5, 5)
    assert attention.far.weight.shape == (4, 1, taps, taps)
    assert attention(torch.randn(1, 4, 5, 6)).shape == (1, 4, 5, 6)


def test_gsta_reach():
    """A 5x5 and 7x7 taps 3 apart see 2 + 9 cells to each side."""
    torch.manual_seed(0)
    attention = GatedAttention(4, 21).double()
    x = torch.randn(1, 4, 1, 41, dtype=torch.float64)
    changed = x.clone()
    changed[..., 20] += 1
    moved = (attention(changed) - attention(x)).abs().amax(dim=(0, 1, 2)) > 0
    assert moved.nonzero().flatten().tolist() == list(range(20 - 11, 20 + 12))


def test_gsta_first_weights():
    torch.manual_seed(0)
    block = GSTA(64, 64, 1, (8, 8), GSTAConfig()).layers[0]
    assert (block.scale_attention == 0.01).all()
    assert (block.scale_mlp == 0.01).all()
    for layer, fan_out in (
        (block.attention.near, 5 * 5),
        (block.attention.far, 7 * 7),
        (block.attention.gate, 2 * 64),
        (block.mlp.widen, 8 * 64),
        (block.mlp.depthwise, 3 * 3),
        (block.mlp.narrow, 64),
    ):
        assert layer.weight.detach().std() == pytest.approx(math.sqrt(2 / fan_out), rel=0.06)
        assert not layer.bias.any()
