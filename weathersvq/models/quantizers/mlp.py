"""A control without a codebook: the function class that SVQ computes once it is folded.

What SVQ is better by than this, the codebook itself adds.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from weathersvq.models.quantizers.base import Quantized, Quantizer
from weathersvq.schema import Section


class PointwiseMLPConfig(Section):
    """Options of the control (default: the width of SVQ's projection)."""

    kind: Literal["mlp"] = "mlp"
    hidden: int = Field(128, ge=1, description="K, width between the two layers")


class PointwiseMLP(Quantizer):
    """Two layers with a ReLU between, for each latent vector."""

    Config = PointwiseMLPConfig
    reference = "none: what SVQ computes once it is folded"

    def __init__(self, channels: int, config: Section) -> None:
        super().__init__(channels, config)
        assert isinstance(config, PointwiseMLPConfig)
        self.layers = nn.Sequential(
            nn.Linear(channels, config.hidden), nn.ReLU(), nn.Linear(config.hidden, channels)
        )

    def forward(self, z: Tensor) -> Quantized:
        """(B, T, D, H, W) -> (B, T, D, H, W); no losses, no codes."""
        return Quantized(values=self.layers(z.movedim(2, -1)).movedim(-1, 2))
