"""What a quantizer is: the part of SimVP that puts latent vectors together from a codebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from weathersvq.schema import Section


@dataclass(frozen=True)
class Quantized:
    """What every quantizer gives.

    Attributes:
        values: (B, T, D, H, W) quantized latent maps.
        losses: scalar terms that training adds to its loss, by name, each already weighted.
        codes: integer codes (B, T, H, W, heads) of quantizers that look codes up; else None.
        diagnostics: scalars worth showing, by name, such as a perplexity.
    """

    values: Tensor
    losses: Mapping[str, Tensor] = field(default_factory=dict)
    codes: Tensor | None = None
    diagnostics: Mapping[str, Tensor] = field(default_factory=dict)


class Quantizer(nn.Module, ABC):
    """(B, T, D, H, W) -> `Quantized`, each of the B*T*H*W latent vectors for itself.

    A subclass supplies its `Config` (a section with a `kind`), the `reference` to its paper, a
    constructor with the arguments `(channels, config)`, and `forward`.

    Args:
        channels: D, length of the latent vectors.
        config: options of this quantizer.
    """

    Config: ClassVar[type[Section]]
    reference: ClassVar[str]

    @abstractmethod
    def __init__(self, channels: int, config: Section) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, z: Tensor) -> Quantized: ...

    def for_inference(self) -> Quantizer:
        """What gives the same values in evaluation mode, made for that alone; itself by default."""
        return self

    def diagnose(self, z: Tensor) -> dict[str, Tensor]:
        """How the codebook is used for `z` (B, T, D, H, W), in bounded memory and nothing changed.

        Scalars by name, `perplexity` and `usage` among them; none where there is no codebook.
        """
        return {}
