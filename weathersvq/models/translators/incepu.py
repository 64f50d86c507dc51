"""IncepU, the translator of the first SimVP (arXiv 2206.05099): a U of Inception blocks."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from weathersvq.errors import InputError
from weathersvq.models.translators.base import Translator
from weathersvq.schema import OddSize, Section


class IncepUConfig(Section):
    """Options of the IncepU translator."""

    kind: Literal["incepu"] = "incepu"
    kernels: tuple[OddSize, ...] = Field(
        (3, 5, 7, 11), min_length=1, description="sizes of a block's parallel convolutions, odd"
    )
    groups: int = Field(8, ge=1, description="groups of their channels and of the normalisation")


class InceptionBlock(nn.Module):
    """A 1x1 convolution, then grouped convolutions of several sizes side by side, added up.

    Args:
        channels_in: C_in.
        channels_middle: behind the first convolution.
        channels_out: C_out.
        config: sizes and groups.

    Raises:
        InputError: groups that do not divide C_out.
    """

    def __init__(
        self, channels_in: int, channels_middle: int, channels_out: int, config: IncepUConfig
    ) -> None:
        super().__init__()
        # As published: where the middle can't be shared out, there is one group.
        groups = config.groups if channels_middle % config.groups == 0 else 1
        if channels_out % groups:
            raise InputError(
                f"model.translator.groups: {groups} groups cannot share {channels_out} channels "
                "evenly; give groups that divide hid_temporal and input steps times hid_spatial"
            )
        self.before = nn.Conv2d(channels_in, channels_middle, kernel_size=1)
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(
                    channels_middle, channels_out, kernel, padding=kernel // 2, groups=groups
                ),
                nn.GroupNorm(groups, channels_out),
                nn.LeakyReLU(0.2),
            )
            for kernel in config.kernels
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, H, W)."""
        x = self.before(x)
        total = self.branches[0](x)
        for branch in self.branches[1:]:
            total = total + branch(x)
        return total


class IncepU(Translator):
    """`depth` blocks down and as many up, at one resolution, with a skip between each two.

    Works at any resolution.

    Raises:
        InputError: groups that do not divide the channels.
    """

    Config = IncepUConfig
    reference = "Gao et al. (2022), arXiv 2206.05099"

    def __init__(
        self,
        channels_in: int,
        channels_hidden: int,
        depth: int,
        resolution: tuple[int, int],
        config: Section,
    ) -> None:
        super().__init__(channels_in, channels_hidden, depth, resolution, config)
        assert isinstance(config, IncepUConfig)
        middle = max(1, channels_hidden // 2)

        def block(before: int, after: int) -> InceptionBlock:
            return InceptionBlock(before, middle, after, config)

        wide = 2 * channels_hidden  # what comes from below, beside the skip
        self.down = nn.ModuleList(
            block(channels_in if index == 0 else channels_hidden, channels_hidden)
            for index in range(depth)
        )
        self.up = nn.ModuleList(
            block(
                channels_hidden if index == 0 else wide,
                channels_in if index == depth - 1 else channels_hidden,
            )
            for index in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, T*D, H, W) -> (B, T*D, H, W)."""
        skips: list[Tensor] = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        skips.pop()  # the lowest block hands its output straight on
        for index, block in enumerate(self.up):
            x = block(x if index == 0 else torch.cat([x, skips.pop()], dim=1))
        return x
