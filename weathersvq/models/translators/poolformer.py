"""PoolFormer (arXiv 2111.11418): averaging over neighbours takes the place of attention."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from weathersvq.models.layers import CellMLP, Residual
from weathersvq.models.translators.base import BlockStack, drop_path_rate
from weathersvq.schema import OddSize, Section

# Residual branches start almost closed.
LAYER_SCALE = 1e-5


class PoolFormerConfig(Section):
    """Options of the PoolFormer translator."""

    kind: Literal["poolformer"] = "poolformer"
    mlp_ratio: float = Field(8.0, gt=0, description="width of a block's MLP over its channels")
    drop: float = Field(0.0, ge=0, lt=1, description="dropout in the MLPs")
    drop_path: float = Field(
        0.1, ge=0, lt=1, description="share of dropped residual paths in the last block"
    )
    pool: OddSize = Field(3, description="width of the square that is averaged, odd")


class Pooling(nn.AvgPool2d):
    """How far the mean over a cell's neighbours lies from the cell; nothing to learn."""

    def __init__(self, size: int) -> None:
        super().__init__(size, stride=1, padding=size // 2, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return super().forward(x) - x


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class PoolFormer(BlockStack):
    """Blocks of pooling and MLP; works at any resolution."""

    Config = PoolFormerConfig
    reference = "Yu et al. (2021), arXiv 2111.11418"

    def make_block(
        self, channels: int, index: int, depth: int, resolution: tuple[int, int], config: Section
    ) -> nn.Module:
        assert isinstance(config, PoolFormerConfig)
        rate = drop_path_rate(index, depth, config.drop_path)
        mlp = CellMLP(channels, int(channels * config.mlp_ratio), config.drop).apply(_initialize)

        def residual(branch: nn.Module) -> Residual:
            # One group: a map is normalised over all its channels and cells together.
            scale = torch.full((channels, 1, 1), LAYER_SCALE)
            return Residual(nn.GroupNorm(1, channels), branch, rate, scale)

        return nn.Sequential(residual(Pooling(config.pool)), residual(mlp))
