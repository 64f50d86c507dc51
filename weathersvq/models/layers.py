"""Layers that several models are made of."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from weathersvq.errors import InputError

# How far apart the taps of a large kernel's second convolution lie.
DILATION = 3


def fast_layout(x: Tensor) -> Tensor:
    """The same (B, C, H, W) values in the memory order in which convolutions run fastest.

    On a CPU that is channels-last, for the depthwise convolutions: SimVP's steps take 0.84 to 0.97
    of the time (measured with one and two threads). Elsewhere the order is left alone.
    """
    return x.contiguous(memory_format=torch.channels_last) if x.device.type == "cpu" else x


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Without autocast, for sums that reduced precision would spoil."""
    if device.type == "meta":  # has no autocast, and no numbers
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


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


def initialize_truncated(module: nn.Module) -> None:
    """Start linear layers from a normal distribution of deviation 0.02, biases from zero.

    As in the published transformers. For use with `nn.Module.apply`.
    """
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def large_kernel(channels: int, kernel: int) -> tuple[Depthwise, Depthwise]:
    """Two depthwise convolutions that together reach as far as one large one (arXiv 2202.09741).

    Args:
        channels: C.
        kernel: about the size of the large one.

    Returns:
        The near one (5x5) and the far one, with taps DILATION apart; both keep (B, C, H, W).
    """
    local = 2 * DILATION - 1
    # The nearest odd number of taps not above kernel / dilation.
    taps = kernel // DILATION - (1 - kernel // DILATION % 2)
    return Depthwise(channels, local), Depthwise(channels, taps, DILATION)


class Depthwise(nn.Conv2d):
    """Depthwise convolution that keeps the grid: `nn.Conv2d`'s weights and values.

    What it does otherwise, PyTorch's CPU kernels ask for (times for 256 channels of 16 x 32):

    - The fast ones are for taps that are neighbours. For others the map is parted into maps of
      every d-th row and column, in which they are: forward in a fifth of the time, with the
      backward pass in two fifths.
    - Gradients of bfloat16 weights take thrice as long as those of float32. Training does without
      autocast here; unless compiled, where float32 gradients come out in another memory order.

    Args:
        channels: C.
        taps: rows and columns of the kernel, odd.
        dilation: d, cells from tap to tap.

    Attributes:
        plain: forgo all that; parted maps are filled up, which a count of products should not see.
    """

    plain = False

    def __init__(self, channels: int, taps: int, dilation: int = 1) -> None:
        super().__init__(
            channels, channels, taps, padding="same", dilation=dilation, groups=channels
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if self.plain or x.device.type != "cpu":
            return super().forward(x)
        autocast = torch.is_autocast_enabled("cpu")
        if autocast and self.training and not torch.compiler.is_compiling():
            with full_precision(x.device):
                return self._of_neighbours(x.float())
        return self._of_neighbours(x)

    def _of_neighbours(self, x: Tensor) -> Tensor:
        (batch, channels, height, width), apart = x.shape, self.dilation[0]
        if apart == 1:
            return super().forward(x)
        rows, columns = -(-height // apart), -(-width // apart)
        # In the order of `fast_layout`, in which whole cells are copied.
        x = F.pad(
            x.permute(0, 2, 3, 1), (0, 0, 0, apart * columns - width, 0, apart * rows - height)
        )
        x = x.reshape(batch, rows, apart, columns, apart, channels).permute(0, 2, 4, 1, 3, 5)
        x = x.reshape(-1, rows, columns, channels).permute(0, 3, 1, 2)
        y = F.conv2d(x, self.weight, self.bias, padding="same", groups=channels)
        y = y.permute(0, 2, 3, 1).reshape(batch, apart, apart, rows, columns, channels)
        y = y.permute(0, 3, 1, 4, 2, 5).reshape(batch, apart * rows, apart * columns, channels)
        return fast_layout(y[:, :height, :width].permute(0, 3, 1, 2))


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


class Residual(nn.Module):
    """A branch beside a shortcut: x + drop_path(scale * branch(norm(x))).

    Args:
        norm: what stands before the branch.
        branch: gives the shape that it reads.
        drop_path: share of samples whose branch is dropped in training.
        scale: learnt factors of the branch at the start, such as (C, 1, 1); without them 1.
    """

    def __init__(
        self, norm: nn.Module, branch: nn.Module, drop_path: float, scale: Tensor | None = None
    ) -> None:
        super().__init__()
        self.norm = norm
        self.branch = branch
        self.scale = None if scale is None else nn.Parameter(scale)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape that norm and branch take -> the same shape."""
        change = self.branch(self.norm(x))
        return x + self.drop_path(change if self.scale is None else self.scale * change)


class ChannelsLast(nn.Sequential):
    """Layers that read and give (B, H, W, C), such as linear ones, among those of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        # Free of copies where `fast_layout` has been before.
        x = x.permute(0, 2, 3, 1).contiguous()
        return super().forward(x).permute(0, 3, 1, 2)


class ChannelNorm(nn.LayerNorm):
    """Normalises the channels of every cell by themselves."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


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
        self.depthwise = Depthwise(hidden, 3)
        self.activation = nn.GELU()
        self.narrow = nn.Conv2d(hidden, channels, kernel_size=1)
        self.drop = nn.Dropout(drop)
        self.apply(initialize_fan_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        x = self.drop(self.activation(self.depthwise(self.widen(x))))
        return self.drop(self.narrow(x))


class MLP(nn.Sequential):
    """Two linear layers over the last axis, with GELU between them.

    Args:
        channels: C.
        hidden: width of the middle.
        drop: dropout after the activation and after the output.
    """

    def __init__(self, channels: int, hidden: int, drop: float = 0.0) -> None:
        super().__init__(
            nn.Linear(channels, hidden),
            nn.GELU(),
            nn.Dropout(drop),
            nn.Linear(hidden, channels),
            nn.Dropout(drop),
        )


class SelfAttention(nn.Module):
    """Multi-head attention of every token to every token (arXiv 1706.03762).

    A subclass supplies `forward`, which says what the tokens are.

    Args:
        channels: C.
        heads: among which the channels are shared out.
        drop: dropout after the output.

    Raises:
        InputError: heads that do not divide the channels.
    """

    def __init__(self, channels: int, heads: int, drop: float = 0.0) -> None:
        super().__init__()
        if channels % heads:
            raise InputError(
                f"{heads} heads cannot share {channels} channels evenly; give heads that divide "
                f"both hid_temporal and input steps times hid_spatial"
            )
        self.heads = heads
        self.queries_keys_values = nn.Linear(channels, 3 * channels)
        self.after = nn.Linear(channels, channels)
        self.drop = nn.Dropout(drop)

    def attend(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """(..., N, C) -> (..., N, C).

        Args:
            x: N tokens.
            bias: added before the softmax, broadcast to (..., heads, N of queries, N of keys).
        """
        separate = self.queries_keys_values(x).unflatten(-1, (3, self.heads, -1))
        # (3, B, ..., heads, N, C / heads)
        separate = separate.movedim(-3, 0).transpose(-2, -3)
        groups = separate.shape[2:-2]
        if len(groups) > 1:
            # Attention knows one axis beside the samples: groups of tokens stand with the heads.
            separate = separate.flatten(2, -3)
            if bias is not None:
                bias = bias.expand(*groups, *bias.shape[-2:]).flatten(0, -3)
        queries, keys, values = separate.unbind(0)
        seen = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
        return self.drop(self.after(seen.unflatten(1, groups).transpose(-2, -3).flatten(-2)))


class GlobalAttention(SelfAttention):
    """Self-attention among all cells of a map, which it knows by what they hold, not where."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        return self.attend(x.flatten(1, 2)).view_as(x)


class CellMLP(nn.Sequential):
    """An MLP of every cell for itself: two 1x1 convolutions with GELU between them.

    Args:
        channels: C.
        hidden: width of the middle.
        drop: dropout after the activation and after the output.
    """

    def __init__(self, channels: int, hidden: int, drop: float = 0.0) -> None:
        super().__init__(
            nn.Conv2d(channels, hidden, kernel_size=1),
            nn.GELU(),
            nn.Dropout(drop),
            nn.Conv2d(hidden, channels, kernel_size=1),
            nn.Dropout(drop),
        )
