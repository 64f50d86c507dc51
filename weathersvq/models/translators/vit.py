"""ViT: attention among all cells of the map (arXiv 2010.11929), as a translator of SimVP."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from pydantic import Field
from torch import nn

from weathersvq.models.layers import (
    MLP,
    ChannelsLast,
    GlobalAttention,
    Residual,
    initialize_truncated,
)
from weathersvq.models.translators.base import BlockStack, drop_path_rate
from weathersvq.schema import Section


class ViTConfig(Section):
    """Options of the ViT translator."""

    kind: Literal["vit"] = "vit"
    heads: int = Field(8, ge=1, description="heads of the attention; they divide the channels")
    mlp_ratio: float = Field(8.0, gt=0, description="width of a block's MLP over its channels")
    drop: float = Field(0.0, ge=0, lt=1, description="dropout after attentions and in the MLPs")
    drop_path: float = Field(
        0.1, ge=0, lt=1, description="share of dropped residual paths in the last block"
    )


class ViT(BlockStack):
    """Blocks of global attention and MLP; works at any resolution, at quadratic cost.

    Nothing tells the cells' places: without position embeddings, as published, the same cells in
    another order give the same outputs in that order. What the encoder's border left in the latent
    maps is all that the translator knows of where it is.
    """

    Config = ViTConfig
    reference = "Dosovitskiy et al. (2020), arXiv 2010.11929"

    def make_block(
        self, channels: int, index: int, depth: int, resolution: tuple[int, int], config: Section
    ) -> nn.Module:
        assert isinstance(config, ViTConfig)
        drop_path = drop_path_rate(index, depth, config.drop_path)
        attention = GlobalAttention(channels, config.heads, config.drop)
        mlp = MLP(channels, int(channels * config.mlp_ratio), config.drop)
        block = ChannelsLast(
            OrderedDict(
                attention=Residual(nn.LayerNorm(channels), attention, drop_path),
                mlp=Residual(nn.LayerNorm(channels), mlp, drop_path),
            )
        )
        return block.apply(initialize_truncated)
