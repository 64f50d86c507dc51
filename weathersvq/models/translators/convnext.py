"""ConvNeXt (arXiv 2201.03545): a depthwise 7x7 convolution and an MLP behind one normalisation."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from weathersvq.models.layers import CellMLP, ChannelNorm, Depthwise, DropPath, initialize_fan_out
from weathersvq.models.translators.base import BlockStack, drop_path_rate
from weathersvq.schema import OddSize, Section

# Residual branches start almost closed.
LAYER_SCALE = 1e-6


class ConvNeXtConfig(Section):
    """Options of the ConvNeXt translator."""

    kind: Literal["convnext"] = "convnext"
    mlp_ratio: float = Field(8.0, gt=0, description="width of a block's MLP over its channels")
    drop_path: float = Field(
        0.1, ge=0, lt=1, description="share of dropped residual paths in the last block"
    )
    kernel: OddSize = Field(7, description="size of the depthwise convolution, odd")


class ConvNeXtBlock(nn.Module):
    """Convolution, normalisation and MLP in a row, scaled and added to the input."""

    def __init__(self, channels: int, drop_path: float, config: ConvNeXtConfig) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            Depthwise(channels, config.kernel),
            ChannelNorm(channels, eps=1e-6),
            CellMLP(channels, int(channels * config.mlp_ratio)),
        )
        self.scale = nn.Parameter(torch.full((channels, 1, 1), LAYER_SCALE))
        self.drop_path = DropPath(drop_path)
        self.apply(initialize_fan_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x + self.drop_path(self.scale * self.branch(x))


class ConvNeXt(BlockStack):
    """Blocks of one branch; works at any resolution."""

    Config = ConvNeXtConfig
    reference = "Liu et al. (2022), arXiv 2201.03545"

    def make_block(
        self, channels: int, index: int, depth: int, resolution: tuple[int, int], config: Section
    ) -> nn.Module:
        assert isinstance(config, ConvNeXtConfig)
        return ConvNeXtBlock(channels, drop_path_rate(index, depth, config.drop_path), config)
