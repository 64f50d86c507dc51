"""Swin Transformer: attention in shifted windows (arXiv 2103.14030), as a translator of SimVP."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from weathersvq.errors import InputError
from weathersvq.models.layers import (
    MLP,
    ChannelsLast,
    Residual,
    SelfAttention,
    initialize_truncated,
)
from weathersvq.models.translators.base import BlockStack, drop_path_rate
from weathersvq.schema import Section


class SwinConfig(Section):
    """Options of the Swin translator."""

    kind: Literal["swin"] = "swin"
    heads: int = Field(8, ge=1, description="heads of the attention; they divide the channels")
    window: int | None = Field(
        None,
        ge=1,
        description="cells along a window's side; none: 7 where that divides the latent map's rows, "
        "otherwise a sixteenth of them, within 4 and 8",
    )
    mlp_ratio: float = Field(8.0, gt=0, description="width of a block's MLP over its channels")
    drop: float = Field(0.0, ge=0, lt=1, description="dropout after attentions and in the MLPs")
    drop_path: float = Field(
        0.1, ge=0, lt=1, description="share of dropped residual paths in the last block"
    )


def published_window(rows: int) -> int:
    """Cells along a window's side on a map of so many rows, by the published rule."""
    return 7 if rows % 7 == 0 else min(8, max(4, rows // 16))


def to_windows(x: Tensor, window: tuple[int, int]) -> Tensor:
    """(..., H, W, C), multiples of the (h, w) of a window -> (..., H/h * W/w, h * w, C)."""
    height, width = window
    x = x.unflatten(-2, (-1, width)).unflatten(-4, (-1, height))
    return x.transpose(-3, -4).flatten(-5, -4).flatten(-3, -2)


def from_windows(x: Tensor, window: tuple[int, int], columns: int) -> Tensor:
    """Undoes `to_windows` on a map of `columns` columns, (..., N, h * w, C) -> (..., H, W, C)."""
    height, width = window
    x = x.unflatten(-2, (height, width)).unflatten(-4, (-1, columns // width))
    return x.transpose(-3, -4).flatten(-5, -4).flatten(-3, -2)


class WindowAttention(SelfAttention):
    """Self-attention inside windows, with a learnt bias for each relative position.

    Shifted windows go round the map's ends on both axes and are not masked there, as published: a
    window at the seam sees the first and the last rows or columns side by side. A map that windows
    do not tile is filled up after its last row and column with cells that nothing sees.

    Args:
        channels: C.
        resolution: (H, W).
        window: (h, w), rows and columns of a window.
        shift: rows and columns by which the windows are shifted.
        heads: among which the channels are shared out.
        drop: dropout after the output.

    Raises:
        InputError: heads that do not divide the channels.
    """

    def __init__(
        self,
        channels: int,
        resolution: tuple[int, int],
        window: tuple[int, int],
        shift: tuple[int, int],
        heads: int,
        drop: float,
    ) -> None:
        super().__init__(channels, heads, drop)
        self.resolution = resolution
        self.window = window
        self.shift = shift
        self.fill = (-resolution[0] % window[0], -resolution[1] % window[1])
        height, width = window
        self.position_bias = nn.Parameter(torch.empty(heads, 2 * height - 1, 2 * width - 1))
        nn.init.trunc_normal_(self.position_bias, std=0.02)

    def windows(self, x: Tensor, fill_value: float) -> Tensor:
        """(..., H, W, C) -> (..., N, h * w, C), filled up, shifted and cut into N windows."""
        if any(self.fill):
            x = F.pad(x, (0, 0, 0, self.fill[1], 0, self.fill[0]), value=fill_value)
        if any(self.shift):
            x = x.roll((-self.shift[0], -self.shift[1]), dims=(-3, -2))
        return to_windows(x, self.window)

    def bias(self) -> Tensor:
        """(heads, h * w, h * w), or (N, heads, h * w, h * w) where windows hold filled-up cells."""
        height, width = self.window
        device = self.position_bias.device
        rows = torch.arange(height, device=device).repeat_interleave(width)
        columns = torch.arange(width, device=device).repeat(height)
        bias = self.position_bias[
            :, rows[:, None] - rows + height - 1, columns[:, None] - columns + width - 1
        ]
        if any(self.fill):
            inside = torch.zeros(*self.resolution, 1, dtype=bias.dtype, device=device)
            bias = bias + self.windows(inside, fill_value=-torch.inf).mT[:, None]
        return bias

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        seen = self.attend(self.windows(x, fill_value=0.0), self.bias())
        rows, columns = self.resolution
        y = from_windows(seen, self.window, columns + self.fill[1])
        if any(self.shift):
            y = y.roll(self.shift, dims=(-3, -2))
        return y[:, :rows, :columns]


class Swin(BlockStack):
    """Blocks of window attention and MLP; in every second one the windows are shifted by half.

    Along an axis that one window covers there is no shift. (The published code then shifts along
    neither, so that windows side by side never exchange anything.)
    """

    Config = SwinConfig
    reference = "Liu et al. (2021), arXiv 2103.14030"

    def make_block(
        self, channels: int, index: int, depth: int, resolution: tuple[int, int], config: Section
    ) -> nn.Module:
        assert isinstance(config, SwinConfig)
        if config.window is not None and config.window > min(resolution):
            raise InputError(
                f"window {config.window} is larger than the latent map of {resolution[0]} x "
                f"{resolution[1]} cells; give at most {min(resolution)}, or none for the published "
                f"rule"
            )
        rows, columns = resolution
        side = config.window or published_window(rows)
        shift = side // 2 if index % 2 else 0
        attention = WindowAttention(
            channels,
            resolution,
            window=(min(side, rows), min(side, columns)),
            shift=(shift if rows > side else 0, shift if columns > side else 0),
            heads=config.heads,
            drop=config.drop,
        )
        drop_path = drop_path_rate(index, depth, config.drop_path)
        mlp = MLP(channels, int(channels * config.mlp_ratio), config.drop)
        block = ChannelsLast(
            OrderedDict(
                attention=Residual(nn.LayerNorm(channels), attention, drop_path),
                mlp=Residual(nn.LayerNorm(channels), mlp, drop_path),
            )
        )
        return block.apply(initialize_truncated)
