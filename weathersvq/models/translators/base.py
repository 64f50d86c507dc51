"""What a translator is: the part of SimVP that turns past latent maps into future ones."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from weathersvq.models.forecaster import Losses
from weathersvq.schema import Section


class Translator(nn.Module, ABC):
    """(B, T*D, H, W) -> (B, T*D, H, W), past latent maps to future ones.

    A subclass supplies its `Config` (a section with a `kind`), the `reference` to its paper and a
    constructor with the arguments `(channels_in, channels_hidden, depth, resolution, config)`:

    Args:
        channels_in: T*D, channels read and given.
        channels_hidden: channels between the first block and the last.
        depth: number of blocks.
        resolution: (H, W) of the latent maps, padding included.
        config: options of this translator.

    Raises:
        InputError: sizes that cannot work.
    """

    Config: ClassVar[type[Section]]
    reference: ClassVar[str]
    config: Section

    @abstractmethod
    def __init__(
        self,
        channels_in: int,
        channels_hidden: int,
        depth: int,
        resolution: tuple[int, int],
        config: Section,
    ) -> None:
        super().__init__()
        self.config = config

    def output_losses(self, predicted: Tensor, targets: Tensor) -> Losses:
        """Losses of the whole model's output that belong to this translator, already weighted.

        Args:
            predicted: (B, T_out, C_out, H, W).
            targets: of the same shape, the truth.
        """
        return {}


class BlockStack(Translator):
    """A translator made of residual blocks in a row, as all of the MetaFormer kind are.

    The first block sees the T*D channels of the maps, the others `channels_hidden`; a 1x1
    convolution stands after each block that is followed by another width. A subclass supplies
    `make_block`.
    """

    def __init__(
        self,
        channels_in: int,
        channels_hidden: int,
        depth: int,
        resolution: tuple[int, int],
        config: Section,
    ) -> None:
        super().__init__(channels_in, channels_hidden, depth, resolution, config)
        # What each block sees, and what follows the last.
        self.widths = [channels_in, *[channels_hidden] * (depth - 1), channels_in]
        layers: list[nn.Module] = []
        for index, (width, following) in enumerate(itertools.pairwise(self.widths)):
            layers.append(self.make_block(width, index, depth, resolution, config))
            if width != following:
                layers.append(nn.Conv2d(width, following, kernel_size=1))
        self.layers = nn.Sequential(*layers)

    @abstractmethod
    def make_block(
        self, channels: int, index: int, depth: int, resolution: tuple[int, int], config: Section
    ) -> nn.Module:
        """Block `index` of `depth`, (B, channels, H, W) -> the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, T*D, H, W) -> (B, T*D, H, W)."""
        return self.layers(x)


def drop_path_rate(index: int, depth: int, last: float) -> float:
    """Share of dropped paths in block `index` of `depth`: linear from 0.01 to `last`.

    The published rule starts at 0.01; a smaller `last` holds throughout, so that 0 means none.
    """
    first = min(1e-2, last)
    return last if depth == 1 else first + (last - first) * index / (depth - 1)
