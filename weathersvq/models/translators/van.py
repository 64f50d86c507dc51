"""VAN, the visual attention network (arXiv 2202.09741): attention is a large kernel's product."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from weathersvq.models.layers import MixMLP, Residual, initialize_fan_out, large_kernel
from weathersvq.models.translators.base import BlockStack, drop_path_rate
from weathersvq.schema import Section

# Residual branches start almost closed.
LAYER_SCALE = 1e-2


class VANConfig(Section):
    """Options of the VAN translator."""

    kind: Literal["van"] = "van"
    mlp_ratio: float = Field(8.0, gt=0, description="width of a block's MLP over its channels")
    drop: float = Field(0.0, ge=0, lt=1, description="dropout in the MLPs")
    drop_path: float = Field(
        0.1, ge=0, lt=1, description="share of dropped residual paths in the last block"
    )
    kernel: int = Field(
        21, ge=3, description="reach of the attention, made of a 5x5 and a dilated convolution"
    )


class LargeKernelAttention(nn.Module):
    """What a large kernel sees weighs the values themselves.

    Args:
        channels: C.
        kernel: reach of the two depthwise convolutions together.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.Conv2d(channels, channels, kernel_size=1), nn.GELU())
        self.weights = nn.Sequential(
            *large_kernel(channels, kernel), nn.Conv2d(channels, channels, kernel_size=1)
        )
        self.after = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W), with a shortcut round the whole."""
        values = self.before(x)
        return x + self.after(values * self.weights(values))


class VAN(BlockStack):
    """Blocks of large-kernel attention and MLP; works at any resolution."""

    Config = VANConfig
    reference = "Guo et al. (2022), arXiv 2202.09741"

    def make_block(
        self, channels: int, index: int, depth: int, resolution: tuple[int, int], config: Section
    ) -> nn.Module:
        assert isinstance(config, VANConfig)
        rate = drop_path_rate(index, depth, config.drop_path)
        attention = LargeKernelAttention(channels, config.kernel)
        mlp = MixMLP(channels, int(channels * config.mlp_ratio), config.drop)

        def residual(branch: nn.Module) -> Residual:
            scale = torch.full((channels, 1, 1), LAYER_SCALE)
            return Residual(nn.BatchNorm2d(channels), branch, rate, scale)

        return nn.Sequential(residual(attention), residual(mlp)).apply(initialize_fan_out)
