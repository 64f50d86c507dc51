from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from weathersvq.models.translators.tau import (
    TAU,
    TAUConfig,
    TemporalAttention,
    differential_divergence,
)


@pytest.mark.parametrize(
    ("channels", "middle"), [(384, 16), (256, 16), (100, 16), (40, 10), (16, 4), (3, 1)]
)
def test_width_of_the_dynamical_attention(channels, middle):
    attention = TemporalAttention(channels, 21, squeezed=16)
    assert attention.dynamical[0].weight.shape == (middle, channels)


def test_dynamical_attention_weighs_channels_by_their_means():
    """1x1 convolutions taken out and statical attention 1: x + weight * gelu(x), by hand."""
    attention = TemporalAttention(4, 21, squeezed=16).double()
    for convolution in (attention.before, attention.after):
        torch.nn.init.dirac_(convolution.weight)
        torch.nn.init.zeros_(convolution.bias)
    torch.nn.init.zeros_(attention.statical[-1].weight)
    torch.nn.init.ones_(attention.statical[-1].bias)
    with torch.no_grad():
        attention.dynamical[0].weight.copy_(torch.tensor([[2.0, 0, 0, 0]]))
        attention.dynamical[2].weight.copy_(torch.tensor([[0.0], [1.0], [-1.0], [0.0]]))
    x = torch.randn(1, 4, 5, 6, dtype=torch.float64)
    # Channel 0 alone decides, by the mean of what the activation lets through.
    for sign in (1, -1):
        x[0, 0] = sign * 3.0
        squeezed = max(2 * F.gelu(torch.tensor(sign * 3.0, dtype=torch.float64)).item(), 0)
        weights = [1 / (1 + math.exp(-factor * squeezed)) for factor in (0, 1, -1, 0)]
        expected = x + torch.tensor(weights, dtype=torch.float64).view(1, 4, 1, 1) * F.gelu(x)
        torch.testing.assert_close(attention(x), expected)


def frames(*values: list[float]) -> Tensor:
    """(1, T, 1, 1, W)."""
    return torch.tensor(values, dtype=torch.float64)[None, :, None, None]


def test_divergence_by_hand():
    """Changes of (0, ln 3) are shares of 1/4 and 3/4, equal ones of 1/2; the next step agrees."""
    predicted = frames([5.0, 7.0], [5.0, 7.0 + math.log(3)], [6.0, 7.0 + math.log(3)])
    target = frames([1.0, 2.0], [3.0, 4.0], [4.0, 4.0])
    first = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    loss = differential_divergence(predicted, target, temperature=1.0)
    assert loss.item() == pytest.approx(first / 2 / 2)  # steps, entries


def test_divergence_at_the_published_temperature():
    predicted, target = frames([0.0, 0.0], [0.0, 0.1 * math.log(3)]), frames([0, 0], [0, 0])
    expected = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert differential_divergence(predicted, target).item() == pytest.approx(expected / 2)


def test_divergence_of_changes_that_agree_but_for_a_constant():
    torch.manual_seed(0)
    target = torch.randn(2, 4, 3, 5, 6, dtype=torch.float64)
    predicted = target + torch.arange(4).view(4, 1, 1, 1) + torch.randn(3, 5, 6)
    assert differential_divergence(predicted, target).item() == pytest.approx(0, abs=1e-12)
    assert differential_divergence(predicted.flip(1), target) > 0


def test_divergence_is_bounded():
    """The truth excludes what is predicted: one entry of two at -ln(1e-12), and no infinity."""
    predicted = frames([0.0, 0.0], [1e3, 0.0]).float().requires_grad_()
    loss = differential_divergence(predicted, frames([0.0, 0.0], [0.0, 1e3]).float())
    assert loss.item() == pytest.approx(12 * math.log(10) / 2)
    loss.backward()
    assert predicted.grad.isfinite().all()


def test_divergence_of_a_single_frame():
    x = torch.randn(2, 1, 3, 4, 5, requires_grad=True)
    assert differential_divergence(x, torch.randn(2, 1, 3, 4, 5)).item() == 0


def test_loss_is_the_weighted_divergence():
    torch.manual_seed(0)
    predicted, targets = torch.randn(2, 2, 3, 1, 4, 5).unbind(0)
    translator = TAU(8, 8, 1, (4, 4), TAUConfig(divergence_weight=0.3))
    losses = translator.output_losses(predicted, targets)
    assert set(losses) == {"divergence"}
    expected = 0.3 * differential_divergence(predicted, targets)
    torch.testing.assert_close(losses["divergence"], expected)
