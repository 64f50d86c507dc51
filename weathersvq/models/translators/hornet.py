"""HorNet: recursive gated convolutions (arXiv 2207.14284), as a translator of SimVP."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from weathersvq.errors import InputError
from weathersvq.models.layers import (
    MLP,
    ChannelNorm,
    ChannelsLast,
    Depthwise,
    Residual,
    initialize_fan_out,
    initialize_truncated,
)
from weathersvq.models.translators.base import BlockStack, drop_path_rate
from weathersvq.schema import Section

NORM_EPSILON = 1e-6
# Size of the depthwise convolution.
KERNEL = 7
# Residual branches start all but closed.
LAYER_SCALE = 1e-6


class HorNetConfig(Section):
    """Options of the HorNet translator."""

    kind: Literal["hornet"] = "hornet"
    mlp_ratio: float = Field(8.0, gt=0, description="width of a block's MLP over its channels")
    drop_path: float = Field(
        0.1, ge=0, lt=1, description="share of dropped residual paths in the last block"
    )
    order: int = Field(
        4, ge=1, description="gates in a row; 2^(order - 1) divides the channels of every block"
    )
    gate_scale: float = Field(1.0, gt=0, description="factor of what the gates are multiplied by")


class RecursiveGatedConvolution(nn.Module):
    """Features that are gated again and again, by ever more channels of one depthwise convolution.

    Each gate multiplies by something linear in the input, so that the result is a polynomial in it
    whose degree is one above the number of gates.

    Args:
        channels: C, a multiple of 2^(order - 1).
        order: number of gates; the first has C / 2^(order - 1) channels, the last C.
        gate_scale: factor of the convolution's output.

    Raises:
        InputError: channels that cannot be halved that often.
    """

    def __init__(self, channels: int, order: int, gate_scale: float) -> None:
        super().__init__()
        if channels % 2 ** (order - 1):
            raise InputError(
                f"order {order} halves {channels} channels {order - 1} times, which leaves a rest; "
                f"give a lower order, or hid_temporal and input steps times hid_spatial that are "
                f"multiples of {2 ** (order - 1)}"
            )
        self.gate_scale = gate_scale
        self.widths = [channels // 2**halvings for halvings in reversed(range(order))]
        gates = sum(self.widths)
        self.before = nn.Conv2d(channels, self.widths[0] + gates, kernel_size=1)
        self.depthwise = Depthwise(gates, KERNEL)
        self.widen = nn.ModuleList(
            nn.Conv2d(narrow, wide, kernel_size=1)
            for narrow, wide in itertools.pairwise(self.widths)
        )
        self.after = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        x, gates = self.before(x).split([self.widths[0], sum(self.widths)], dim=1)
        first, *others = (self.gate_scale * self.depthwise(gates)).split(self.widths, dim=1)
        x = x * first
        for widen, gate in zip(self.widen, others, strict=True):
            x = widen(x) * gate
        return self.after(x)


class HorNet(BlockStack):
    """Blocks of recursive gated convolution and MLP; works at any resolution."""

    Config = HorNetConfig
    reference = "Rao et al. (2022), arXiv 2207.14284"

    def make_block(
        self, channels: int, index: int, depth: int, resolution: tuple[int, int], config: Section
    ) -> nn.Module:
        assert isinstance(config, HorNetConfig)

        def residual(branch: nn.Module) -> Residual:
            return Residual(
                ChannelNorm(channels, eps=NORM_EPSILON),
                branch,
                drop_path_rate(index, depth, config.drop_path),
                torch.full((channels, 1, 1), LAYER_SCALE),
            )

        gating = RecursiveGatedConvolution(channels, config.order, config.gate_scale)
        mlp = ChannelsLast(MLP(channels, int(channels * config.mlp_ratio)))
        block = nn.Sequential(OrderedDict(gating=residual(gating), mlp=residual(mlp)))
        return block.apply(initialize_fan_out).apply(initialize_truncated)
