"""No quantization: what makes SimVP plain."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from weathersvq.models.quantizers.base import Quantized, Quantizer
from weathersvq.schema import Section


class IdentityConfig(Section):
    """No options: latent maps pass unchanged."""

    kind: Literal["identity"] = "identity"


class Identity(Quantizer):
    """Gives what it gets."""

    Config = IdentityConfig
    reference = "none"

    def __init__(self, channels: int, config: Section) -> None:
        super().__init__(channels, config)

    def forward(self, z: Tensor) -> Quantized:
        """(B, T, D, H, W), unchanged."""
        return Quantized(values=z)
