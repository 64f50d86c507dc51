"""gSTA, gated spatiotemporal attention: the translator of SimVPv2 (arXiv 2211.12509)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from weathersvq.models.layers import DropPath, MixMLP, initialize_fan_out, large_kernel
from weathersvq.models.translators.base import BlockStack, drop_path_rate
from weathersvq.schema import Section

# Residual branches start almost closed.
LAYER_SCALE = 1e-2


class GSTAConfig(Section):
    """Options of the gSTA translator."""

    kind: Literal["gsta"] = "gsta"
    mlp_ratio: float = Field(8.0, gt=0, description="width of a block's MLP over its channels")
    drop: float = Field(0.0, ge=0, lt=1, description="dropout in the MLPs")
    drop_path: float = Field(
        0.1, ge=0, lt=1, description="share of dropped residual paths in the last block"
    )
    kernel: int = Field(
        21, ge=3, description="reach of the attention, made of a 5x5 and a dilated convolution"
    )


class GatedAttention(nn.Module):
    """Large-kernel attention whose other half of channels is its gate.

    Args:
        channels: C.
        kernel: reach of the two depthwise convolutions together.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.before = nn.Conv2d(channels, channels, kernel_size=1)
        self.activation = nn.GELU()
        self.near, self.far = large_kernel(channels, kernel)
        self.gate = nn.Conv2d(channels, 2 * channels, kernel_size=1)
        self.after = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W), with a shortcut round the whole."""
        attention = self.far(self.near(self.activation(self.before(x))))
        values, gate = self.gate(attention).chunk(2, dim=1)
        return x + self.after(torch.sigmoid(gate) * values)


class GSTABlock(nn.Module):
    """Attention and MLP, each normalised before, scaled after, and added to its input."""

    def __init__(self, channels: int, drop_path: float, config: GSTAConfig) -> None:
        super().__init__()
        self.norm_attention = nn.BatchNorm2d(channels)
        self.attention = GatedAttention(channels, config.kernel)
        self.scale_attention = nn.Parameter(torch.full((channels, 1, 1), LAYER_SCALE))
        self.norm_mlp = nn.BatchNorm2d(channels)
        self.mlp = MixMLP(channels, int(channels * config.mlp_ratio), config.drop)
        self.scale_mlp = nn.Parameter(torch.full((channels, 1, 1), LAYER_SCALE))
        self.drop_path = DropPath(drop_path)
        self.apply(initialize_fan_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        x = x + self.drop_path(self.scale_attention * self.attention(self.norm_attention(x)))
        return x + self.drop_path(self.scale_mlp * self.mlp(self.norm_mlp(x)))


class GSTA(BlockStack):
    """Blocks of gated attention and MLP; works at any resolution."""

    Config = GSTAConfig
    reference = "Tan et al. (2022), arXiv 2211.12509"

    def make_block(
        self, channels: int, index: int, depth: int, resolution: tuple[int, int], config: Section
    ) -> nn.Module:
        assert isinstance(config, GSTAConfig)
        return GSTABlock(channels, drop_path_rate(index, depth, config.drop_path), config)
