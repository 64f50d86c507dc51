"""ConvMixer (arXiv 2201.09792): depthwise convolutions mix places, pointwise ones mix channels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from weathersvq.models.layers import Depthwise, initialize_fan_out
from weathersvq.models.translators.base import BlockStack
from weathersvq.schema import OddSize, Section


class ConvMixerConfig(Section):
    """Options of the ConvMixer translator; its blocks have neither MLP nor dropped paths."""

    kind: Literal["convmixer"] = "convmixer"
    kernel: OddSize = Field(11, description="size of the depthwise convolution, odd")


class ConvMixerBlock(nn.Module):
    """Each convolution is followed by GELU and batch normalisation; the first has a shortcut."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.places = nn.Sequential(
            Depthwise(channels, kernel),
            nn.GELU(),
            nn.BatchNorm2d(channels),
        )
        self.mixer = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size=1), nn.GELU(), nn.BatchNorm2d(channels)
        )
        self.apply(initialize_fan_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.mixer(x + self.places(x))


class ConvMixer(BlockStack):
    """Blocks of two convolutions; works at any resolution."""

    Config = ConvMixerConfig
    reference = "Trockman and Kolter (2022), arXiv 2201.09792"

    def make_block(
        self, channels: int, index: int, depth: int, resolution: tuple[int, int], config: Section
    ) -> nn.Module:
        assert isinstance(config, ConvMixerConfig)
        return ConvMixerBlock(channels, config.kernel)
