"""Linear autoregression: each cell's future as a weighted sum of its own past."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from weathersvq.models.forecaster import Forecaster, Losses, Shape
from weathersvq.schema import Section


class AutoregressionConfig(Section):
    """Options of the linear autoregression."""

    kind: Literal["autoregression"] = "autoregression"
    weights: Literal["shared", "own"] = Field(
        "shared",
        description="shared: the same weights everywhere; own: each cell has weights of its own, "
        "which can follow its daily cycle (H x W times as many)",
    )


class Autoregression(Forecaster):
    """y[lead, channel] = sum over inputs and channels of weight * x + a constant of the cell.

    It starts as persistence where as many channels are given as read, else from zero.
    """

    Config = AutoregressionConfig
    reference = "none"

    def __init__(self, config: Section, shape: Shape) -> None:
        super().__init__(config, shape)
        assert isinstance(config, AutoregressionConfig)
        cells = (shape.height, shape.width)
        weight = torch.zeros(shape.out_steps, shape.channels_out, shape.in_steps, shape.channels_in)
        if shape.channels_in == shape.channels_out:
            weight[:, :, -1] = torch.eye(shape.channels_in)
        # (T_out, C_out, T_in, C_in, 1 | H, 1 | W)
        self.weight = nn.Parameter(
            weight[..., None, None].repeat(1, 1, 1, 1, *cells)
            if config.weights == "own"
            else weight[..., None, None]
        )
        self.constant = nn.Parameter(torch.zeros(shape.out_steps, shape.channels_out, *cells))

    def advance(self, x: Tensor) -> tuple[Tensor, Losses]:
        """(B, T_in, C_in, H, W) -> (B, T_out, C_out, H, W)."""
        if self.weight.shape[-1] == 1 == self.weight.shape[-2]:
            y = torch.einsum("btchw,oktc->bokhw", x, self.weight[..., 0, 0])
        else:
            y = torch.einsum("btchw,oktchw->bokhw", x, self.weight)
        return y + self.constant, {}
