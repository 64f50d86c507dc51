from __future__ import annotations

import pytest
import torch

from weathersvq.errors import InputError
from weathersvq.models.translators.hornet import HorNet, HorNetConfig, RecursiveGatedConvolution


@pytest.mark.parametrize("order", [1, 2, 4])
def test_degree_is_one_above_the_order(order):
    """Without biases, every gate multiplies by something linear: doubled input, 2^degree output."""
    torch.manual_seed(0)
    gating = RecursiveGatedConvolution(16, order, gate_scale=1.0).double()
    for name, parameter in gating.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.zeros_(parameter)
    x = torch.randn(1, 16, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(gating(2 * x), 2 ** (order + 1) * gating(x))


def test_gates_double_in_width():
    gating = RecursiveGatedConvolution(32, 4, gate_scale=1.0)
    assert gating.widths == [4, 8, 16, 32]
    assert gating.depthwise.weight.shape == (60, 1, 7, 7)
    # What is gated first, beside all gates: twice the channels.
    assert gating.before.weight.shape == (64, 32, 1, 1)


def test_gate_scale():
    """A factor of 2 on the convolution's biases and weights is one of 2 at every gate."""
    torch.manual_seed(0)
    gating = RecursiveGatedConvolution(8, 2, gate_scale=2.0).double()
    x = torch.randn(1, 8, 5, 6, dtype=torch.float64)
    y = gating(x)
    gating.gate_scale = 1.0
    with torch.no_grad():
        for parameter in gating.depthwise.parameters():
            parameter.mul_(2)
    torch.testing.assert_close(gating(x), y)


@pytest.mark.parametrize(("channels", "hidden"), [(12, 16), (16, 12)])
def test_channels_must_be_halved_often_enough(channels, hidden):
    with pytest.raises(InputError, match="order 4 halves 12 channels 3 times") as error:
        HorNet(channels, hidden, 3, (4, 4), HorNetConfig())
    assert "\n" not in str(error.value)
    HorNet(channels, hidden, 3, (4, 4), HorNetConfig(order=3))
