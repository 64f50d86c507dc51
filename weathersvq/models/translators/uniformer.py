"""UniFormer: local, then global relations of cells (arXiv 2201.09450), as a translator of SimVP."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from weathersvq.models.layers import (
    MLP,
    CellMLP,
    ChannelsLast,
    Depthwise,
    GlobalAttention,
    Residual,
    initialize_fan_out,
    initialize_truncated,
)
from weathersvq.models.translators.base import BlockStack, drop_path_rate
from weathersvq.schema import Section

# Size of a local block's convolution.
KERNEL = 5
# Residual branches of the global blocks start all but closed.
LAYER_SCALE = 1e-6


class UniFormerConfig(Section):
    """Options of the UniFormer translator."""

    kind: Literal["uniformer"] = "uniformer"
    heads: int = Field(
        8, ge=1, description="heads of the attention in global blocks; they divide the channels"
    )
    mlp_ratio: float = Field(8.0, gt=0, description="width of a block's MLP over its channels")
    drop: float = Field(0.0, ge=0, lt=1, description="dropout after attentions and in the MLPs")
    drop_path: float = Field(
        0.1, ge=0, lt=1, description="share of dropped residual paths in the last block"
    )


def position(channels: int) -> Residual:
    """A depthwise 3x3 convolution, whose zeros at the border tell where a cell lies."""
    return Residual(nn.Identity(), Depthwise(channels, 3), drop_path=0.0)


def local_block(channels: int, drop_path: float, config: UniFormerConfig) -> nn.Module:
    """Relations by a depthwise convolution, (B, C, H, W) -> (B, C, H, W)."""
    relations = nn.Sequential(
        nn.Conv2d(channels, channels, kernel_size=1),
        Depthwise(channels, KERNEL),
        nn.Conv2d(channels, channels, kernel_size=1),
    )
    mlp = CellMLP(channels, int(channels * config.mlp_ratio), config.drop)
    block = nn.Sequential(
        OrderedDict(
            position=position(channels),
            relations=Residual(nn.BatchNorm2d(channels), relations, drop_path),
            mlp=Residual(nn.BatchNorm2d(channels), mlp, drop_path),
        )
    )
    return block.apply(initialize_fan_out)


def global_block(channels: int, drop_path: float, config: UniFormerConfig) -> nn.Module:
    """Relations by attention among all cells, (B, C, H, W) -> (B, C, H, W)."""

    def residual(branch: nn.Module) -> Residual:
        scale = torch.full((channels,), LAYER_SCALE)
        return Residual(nn.LayerNorm(channels), branch, drop_path, scale)

    attention = GlobalAttention(channels, config.heads, config.drop)
    mlp = MLP(channels, int(channels * config.mlp_ratio), config.drop)
    tokens = ChannelsLast(OrderedDict(relations=residual(attention), mlp=residual(mlp)))
    block = nn.Sequential(OrderedDict(position=position(channels), tokens=tokens))
    return block.apply(initialize_truncated)


class UniFormer(BlockStack):
    """Local blocks where the width changes, global ones between them; works at any resolution.

    That is the published order: the first block is local; the last one too, unless T*D is the
    hidden width.
    """

    Config = UniFormerConfig
    reference = "Li et al. (2022), arXiv 2201.09450"

    def make_block(
        self, channels: int, index: int, depth: int, resolution: tuple[int, int], config: Section
    ) -> nn.Module:
        assert isinstance(config, UniFormerConfig)
        drop_path = drop_path_rate(index, depth, config.drop_path)
        is_global = index > 0 and self.widths[index + 1] == channels
        return (global_block if is_global else local_block)(channels, drop_path, config)
