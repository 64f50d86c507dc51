"""Fields to latent maps and back: SimVP's encoder and decoder, frame by frame."""

from __future__ import annotations

from torch import Tensor, nn

from weathersvq.models.layers import ConvSC


def halvings(depth: int) -> list[bool]:
    """Which of the encoder's blocks halve the grid: every second one."""
    return [index % 2 == 1 for index in range(depth)]


def shrink_factor(depth: int) -> int:
    """By how much the encoder shrinks H and W, which must be multiples of it."""
    return 2 ** sum(halvings(depth))


class Encoder(nn.Module):
    """Fields to latent maps.

    Args:
        channels: C, fields.
        hidden: D, latent channels.
        depth: number of blocks.
    """

    def __init__(self, channels: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.first = ConvSC(channels, hidden)
        self.others = nn.Sequential(
            *(ConvSC(hidden, hidden, "down" if half else "none") for half in halvings(depth)[1:])
        )

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> latent maps (B, D, H/f, W/f), first block's output (B, D, H, W)."""
        skip = self.first(frames)
        return self.others(skip), skip


class Decoder(nn.Module):
    """Latent maps to fields; mirrors the encoder, whose first output joins before the last block.

    Args:
        hidden: D, latent channels.
        channels: C, fields.
        depth: number of blocks.
    """

    def __init__(self, hidden: int, channels: int, depth: int) -> None:
        super().__init__()
        *doublings, _ = reversed(halvings(depth))
        self.others = nn.Sequential(
            *(ConvSC(hidden, hidden, "up" if double else "none") for double in doublings)
        )
        self.last = ConvSC(hidden, hidden)
        self.readout = nn.Conv2d(hidden, channels, kernel_size=1)

    def forward(self, latent: Tensor, skip: Tensor) -> Tensor:
        """(B, D, H/f, W/f) and (B, D, H, W) -> (B, C, H, W)."""
        return self.readout(self.last(self.others(latent) + skip))
