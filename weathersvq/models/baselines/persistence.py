"""Persistence: the weather stays as it is. What every forecast must beat."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from weathersvq.models.forecaster import Forecaster, Losses, Shape
from weathersvq.schema import Section


class PersistenceConfig(Section):
    """No options: the last input is repeated."""

    kind: Literal["persistence"] = "persistence"


class Persistence(Forecaster):
    """Repeats the last input frame; nothing to learn.

    Raises:
        InputError: other channels out than in.
    """

    Config = PersistenceConfig
    reference = "none"

    def __init__(self, config: Section, shape: Shape) -> None:
        super().__init__(config, shape)
        assert isinstance(config, PersistenceConfig)
        shape.require_same_channels("persistence repeats its input")

    def advance(self, x: Tensor) -> tuple[Tensor, Losses]:
        """(B, T_in, C, H, W) -> (B, T_out, C, H, W)."""
        return x[:, -1:].expand(-1, self.shape.out_steps, -1, -1, -1), {}
