from __future__ import annotations

import math

import pytest
import torch

from weathersvq.models.translators.gsta import GSTA, GatedAttention, GSTAConfig


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
