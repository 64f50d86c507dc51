"""Climatology: the mean of the training period, cell by cell, whatever the weather was before.

A model sees fields and no calendar, so this is the mean over all seasons and hours. The one by day
of the year and hour, which forecasts are verified against, is made in `data.climatology`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from weathersvq.models.forecaster import Forecaster, Losses, Shape
from weathersvq.schema import Section


class ClimatologyConfig(Section):
    """No options: the training targets' mean."""

    kind: Literal["climatology"] = "climatology"


class Climatology(Forecaster):
    """Gives the same maps for every input: means over the training windows' targets, by lead."""

    Config = ClimatologyConfig
    reference = "none"
    mean: Tensor

    def __init__(self, config: Section, shape: Shape) -> None:
        super().__init__(config, shape)
        assert isinstance(config, ClimatologyConfig)
        size = (shape.out_steps, shape.channels_out, shape.height, shape.width)
        self.register_buffer("mean", torch.zeros(size))

    @torch.no_grad()
    def calibrate(self, windows: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Average the targets of all windows."""
        total, count = torch.zeros_like(self.mean, dtype=torch.float64), 0
        for _, targets in windows:
            total += targets.sum(dim=0, dtype=torch.float64)
            count += len(targets)
        self.mean.copy_(total / count)

    def advance(self, x: Tensor) -> tuple[Tensor, Losses]:
        """(B, T_in, C_in, H, W) -> (B, T_out, C_out, H, W)."""
        return self.mean.expand(x.shape[0], *self.mean.shape), {}
