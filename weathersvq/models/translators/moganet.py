"""MogaNet: multi-order gated aggregation (arXiv 2211.03295), as a translator of SimVP."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from weathersvq.errors import InputError
from weathersvq.models.layers import Depthwise, MixMLP, Residual, initialize_fan_out
from weathersvq.models.translators.base import BlockStack, drop_path_rate
from weathersvq.schema import Section

# Residual branches, and what decomposition adds, start all but closed.
LAYER_SCALE = 1e-5
DECOMPOSITION_SCALE = 1e-5
# Taps along a side of the convolutions of low, middle and high order.
KERNELS = (5, 5, 7)


class MogaNetConfig(Section):
    """Options of the MogaNet translator."""

    kind: Literal["moganet"] = "moganet"
    mlp_ratio: float = Field(8.0, gt=0, description="width of a block's MLP over its channels")
    drop: float = Field(0.0, ge=0, lt=1, description="dropout in the MLPs")
    drop_path: float = Field(
        0.1, ge=0, lt=1, description="share of dropped residual paths in the last block"
    )
    dilations: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(
        (1, 2, 3), description="how far apart taps lie at low, middle and high order"
    )
    channel_split: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(
        (1, 3, 4), description="parts of the channels that end at low, middle and high order"
    )


class MultiOrderConvolution(nn.Module):
    """Depthwise convolutions of three reaches, each for its share of the channels.

    All channels pass the one of low order; the middle and the last share pass a wider one after it.

    Args:
        channels: C, a multiple of the sum of the shares.
        dilations: of low, middle and high order.
        channel_split: shares of the channels in parts of their sum.

    Raises:
        InputError: channels that cannot be shared out so.
    """

    def __init__(
        self,
        channels: int,
        dilations: tuple[int, int, int],
        channel_split: tuple[int, int, int],
    ) -> None:
        super().__init__()
        parts = sum(channel_split)
        if channels % parts:
            raise InputError(
                f"channel_split {channel_split} cannot share out {channels} channels; give "
                f"hid_temporal and input steps times hid_spatial that are multiples of {parts}"
            )
        self.shares = [channels * part // parts for part in channel_split]
        self.low, self.middle, self.high = (
            Depthwise(width, kernel, dilation)
            for width, kernel, dilation in zip(
                (channels, *self.shares[1:]), KERNELS, dilations, strict=True
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        low, middle, high = self.low(x).split(self.shares, dim=1)
        return torch.cat([low, self.middle(middle), self.high(high)], dim=1)


class GatedAggregation(nn.Module):
    """Convolutions of several orders beside their gate, with a shortcut round the whole.

    Before them, each channel's deviation from its mean over the map is strengthened by a learnt
    factor.
    """

    def __init__(self, channels: int, config: MogaNetConfig) -> None:
        super().__init__()
        self.before = nn.Conv2d(channels, channels, kernel_size=1)
        self.deviation_scale = nn.Parameter(torch.full((channels, 1, 1), DECOMPOSITION_SCALE))
        self.activation = nn.SiLU()
        self.gate = nn.Conv2d(channels, channels, kernel_size=1)
        self.orders = MultiOrderConvolution(channels, config.dilations, config.channel_split)
        self.value = nn.Conv2d(channels, channels, kernel_size=1)
        self.after = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        y = self.before(x)
        deviation = y - y.mean(dim=(-2, -1), keepdim=True)
        y = self.activation(y + self.deviation_scale * deviation)
        values = self.activation(self.value(self.orders(y)))
        return x + self.after(self.activation(self.gate(y)) * values)


class ChannelAggregationMLP(MixMLP):
    """MixMLP whose middle also strengthens what one channel that sums up all does not tell."""

    def __init__(self, channels: int, hidden: int, drop: float = 0.0) -> None:
        super().__init__(channels, hidden, drop)
        self.aggregate = nn.Conv2d(hidden, 1, kernel_size=1)
        self.deviation_scale = nn.Parameter(torch.full((hidden, 1, 1), DECOMPOSITION_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        x = self.drop(self.activation(self.depthwise(self.widen(x))))
        deviation = x - self.activation(self.aggregate(x))
        return self.drop(self.narrow(x + self.deviation_scale * deviation))


class MogaNet(BlockStack):
    """Blocks of gated aggregation and MLP; works at any resolution."""

    Config = MogaNetConfig
    reference = "Li et al. (2022), arXiv 2211.03295"

    def make_block(
        self, channels: int, index: int, depth: int, resolution: tuple[int, int], config: Section
    ) -> nn.Module:
        assert isinstance(config, MogaNetConfig)

        def residual(branch: nn.Module) -> Residual:
            return Residual(
                nn.BatchNorm2d(channels),
                branch,
                drop_path_rate(index, depth, config.drop_path),
                torch.full((channels, 1, 1), LAYER_SCALE),
            )

        hidden = int(channels * config.mlp_ratio)
        block = nn.Sequential(
            OrderedDict(
                aggregation=residual(GatedAggregation(channels, config)),
                mlp=residual(ChannelAggregationMLP(channels, hidden, config.drop)),
            )
        )
        return block.apply(initialize_fan_out)
