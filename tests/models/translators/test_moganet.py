from __future__ import annotations

import pytest
import torch

from weathersvq.errors import InputError
from weathersvq.models.translators.moganet import (
    ChannelAggregationMLP,
    GatedAggregation,
    MogaNet,
    MogaNetConfig,
    MultiOrderConvolution,
)


def test_orders_reach_further_and_further():
    """5x5, after it 5 taps 2 apart for three eighths, 7 taps 3 apart for the last half."""
    torch.manual_seed(0)
    orders = MultiOrderConvolution(8, (1, 2, 3), (1, 3, 4)).double()
    x = torch.randn(1, 8, 1, 41, dtype=torch.float64)
    changed = x.clone()
    changed[..., 20] += 1
    moved = (orders(changed) - orders(x)).abs() > 0
    reaches = [20 - each[0].nonzero().min().item() for each in moved[0]]
    assert reaches == [2] + 3 * [2 + 4] + 4 * [2 + 9]


def test_deviation_from_the_mean_is_strengthened():
    torch.manual_seed(0)
    layer = GatedAggregation(8, MogaNetConfig()).double()
    torch.nn.init.constant_(layer.deviation_scale, 1.0)
    seen = []
    layer.activation.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    x = torch.randn(1, 8, 4, 5, dtype=torch.float64)
    layer(x)
    plain = layer.before(x)
    torch.testing.assert_close(seen[0], 2 * plain - plain.mean(dim=(2, 3), keepdim=True))


def test_mlp_without_aggregation_is_the_plain_one():
    torch.manual_seed(0)
    mlp = ChannelAggregationMLP(4, 8).double()
    torch.nn.init.zeros_(mlp.deviation_scale)
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(mlp(x), super(ChannelAggregationMLP, mlp).forward(x))


@pytest.mark.parametrize(("channels", "hidden"), [(12, 16), (16, 12)])
def test_channels_must_be_shared_out(channels, hidden):
    message = r"channel_split \(1, 3, 4\) cannot share out 12 channels; .* multiples of 8"
    with pytest.raises(InputError, match=message) as error:
        MogaNet(channels, hidden, 3, (4, 4), MogaNetConfig())
    assert "\n" not in str(error.value)
    MogaNet(channels, hidden, 3, (4, 4), MogaNetConfig(channel_split=(1, 1, 2)))
