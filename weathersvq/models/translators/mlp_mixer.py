"""MLP-Mixer (arXiv 2105.01601): one MLP mixes all cells of a map, another all channels of a cell."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from weathersvq.models.layers import MLP, DropPath, initialize_truncated
from weathersvq.models.translators.base import BlockStack, drop_path_rate
from weathersvq.schema import Section


class MLPMixerConfig(Section):
    """Options of the MLP-Mixer translator."""

    kind: Literal["mlp_mixer"] = "mlp_mixer"
    mlp_ratio: float = Field(8.0, gt=0, description="width of the channels' MLP over the channels")
    cell_ratio: float = Field(0.5, gt=0, description="width of the cells' MLP over the channels")
    drop: float = Field(0.0, ge=0, lt=1, description="dropout in the MLPs")
    drop_path: float = Field(
        0.1, ge=0, lt=1, description="share of dropped residual paths in the last block"
    )


class MixerBlock(nn.Module):
    """Two MLPs, each normalised before and added to its input; made for maps of `cells` cells."""

    def __init__(self, channels: int, cells: int, drop_path: float, config: MLPMixerConfig) -> None:
        super().__init__()
        self.norm_cells = nn.LayerNorm(channels, eps=1e-6)
        self.cells = MLP(cells, max(1, int(config.cell_ratio * channels)), config.drop)
        self.norm_channels = nn.LayerNorm(channels, eps=1e-6)
        self.channels = MLP(channels, int(config.mlp_ratio * channels), config.drop)
        self.drop_path = DropPath(drop_path)
        self.apply(initialize_truncated)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        tokens = x.flatten(2).transpose(1, 2)
        mixed = self.cells(self.norm_cells(tokens).transpose(1, 2)).transpose(1, 2)
        tokens = tokens + self.drop_path(mixed)
        tokens = tokens + self.drop_path(self.channels(self.norm_channels(tokens)))
        return tokens.transpose(1, 2).reshape(x.shape)


class MLPMixer(BlockStack):
    """Blocks of two MLPs; each model is made for one resolution."""

    Config = MLPMixerConfig
    reference = "Tolstikhin et al. (2021), arXiv 2105.01601"

    def make_block(
        self, channels: int, index: int, depth: int, resolution: tuple[int, int], config: Section
    ) -> nn.Module:
        assert isinstance(config, MLPMixerConfig)
        cells = resolution[0] * resolution[1]
        rate = drop_path_rate(index, depth, config.drop_path)
        return MixerBlock(channels, cells, rate, config)
