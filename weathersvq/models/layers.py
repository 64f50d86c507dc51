"""Layers that several models are made of."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn


def fast_layout(x: Tensor) -> Tensor:
    """The same (B, C, H, W) values in the memory order in which convolutions run fastest.

    On a CPU that is channels-last, for the depthwise convolutions: SimVP's steps take 0.84 to 0.97
    of the time (measured with one and two threads). Elsewhere the order is left alone.
    """
    return x.contiguous(memory_format=torch.channels_last) if x.device.type == "cpu" else x


def initialize_fan_out(module: nn.Module) -> None:
    """Start convolutions from a normal distribution of variance 2 / fan-out, biases from zero.

    Fan-out is kernel area times output channels a group, as in the published translators. For use
    with `nn.Module.apply`.
    """
    if isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def padded_positions(
    size: int, before: int, after: int, wraps: bool, device: torch.device | None = None
) -> Tensor:
    """Which position of an axis each position of the padded axis shows.

    Args:
        size: of the axis.
        before: positions added before the first.
        after: positions added after the last.
        wraps: go on at the other end (a circle of longitudes); otherwise the edge is repeated.
        device: of the result.

    Returns:
        (before + size + after,) positions in 0..size-1; `before..before + size` are 0..size-1.
    """
    positions = torch.arange(-before, size + after, device=device)
    return positions % size if wraps else positions.clamp(0, size - 1)


class DropPath(nn.Module):
    """Stochastic depth (Huang et al., 2016): in training, a sample's branch is left out whole.

    What is kept is scaled up, so that the mean stays.

    Args:
        rate: share of samples whose branch is dropped.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B, ...)."""
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        kept = torch.rand(x.shape[0], *(1,) * (x.ndim - 1), device=x.device) < keep
        return x * (kept.to(x.dtype) / keep)

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3g}"


class ConvSC(nn.Module):
    """SimVP's spatial block: 3x3 convolution, GroupNorm of two groups, SiLU (Gao et al., 2022).

    `down` halves the grid by a stride of 2; `up` doubles it by a pixel shuffle.

    Args:
        channels_in: C.
        channels_out: C', even.
        resample: what happens to the grid.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        resample: Literal["none", "down", "up"] = "none",
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels_in,
            channels_out * 4 if resample == "up" else channels_out,
            kernel_size=3,
            stride=2 if resample == "down" else 1,
            padding=1,
        )
        self.shuffle = nn.PixelShuffle(2) if resample == "up" else nn.Identity()
        self.norm = nn.GroupNorm(2, channels_out)
        self.activation = nn.SiLU()
        nn.init.trunc_normal_(self.conv.weight, std=0.02)
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W), (B, C', H/2, W/2) or (B, C', 2H, 2W)."""
        return self.activation(self.norm(self.shuffle(self.conv(x))))


class MixMLP(nn.Module):
    """Pointwise MLP with a depthwise 3x3 convolution in its middle (the feed-forward part of VAN).

    Args:
        channels: C.
        hidden: width of the middle.
        drop: dropout after the activation and after the output.
    """

    def __init__(self, channels: int, hidden: int, drop: float = 0.0) -> None:
        super().__init__()
        self.widen = nn.Conv2d(channels, hidden, kernel_size=1)
        self.depthwise = nn.Conv2d(hidden, hidden, kernel_size=3, padding=1, groups=hidden)
        self.activation = nn.GELU()
        self.narrow = nn.Conv2d(hidden, channels, kernel_size=1)
        self.drop = nn.Dropout(drop)
        self.apply(initialize_fan_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        x = self.drop(self.activation(self.depthwise(self.widen(x))))
        return self.drop(self.narrow(x))
