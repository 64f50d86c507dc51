"""PhyDNet: a physical course by learned derivatives, and a convolutional LSTM for the rest.

Le Guen and Thome (2020), Disentangling physical dynamics from unknown factors for unsupervised video
prediction, arXiv 2003.01460.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from weathersvq.models.baselines.recurrent import Recurrent, Sampling
from weathersvq.models.forecaster import Losses, Shape
from weathersvq.schema import OddSize, Section

# Widths that are the same in every published setting.
NARROW, LATENT = 32, 64
RESIDUAL_WIDTHS = (128, 128, 64)
GROUPS, SLOPE = 16, 0.2


class PhyDNetConfig(Section):
    """Options of PhyDNet (defaults: the published ones for WeatherBench, but for the output)."""

    kind: Literal["phydnet"] = "phydnet"
    shrink: Literal[2, 4] = Field(2, description="by what the encoder divides rows and columns")
    kernel: OddSize = Field(
        7, description="size of the derivative filters; there are as many as they have taps"
    )
    moment_weight: float = Field(
        1.0, ge=0, description="weight of the loss that makes each filter a derivative"
    )
    output: Literal["linear", "sigmoid"] = Field(
        "linear",
        description="sigmoid: published, for pictures from 0 to 1. It can't reach standardised "
        "fields, half of which are below 0: the published runs on weather diverged with it",
    )
    sampling: Sampling = Field(
        Sampling(per="window", decrease=1e-6, stop=1_000_000),
        description="true frames as inputs in training, for a whole window; published: the chance "
        "falls by 0.003 an epoch, here about as much in 3,000 steps",
    )


def moments(filters: Tensor) -> Tensor:
    """Moments of two-dimensional filters.

    Moment (i, j) is the sum of taps times y^i x^j / (i! j!), with y and x counted from the middle: a
    filter whose only moment is 1 at (i, j) is the derivative of that order.

    Args:
        filters: (..., k, k), k odd.

    Returns:
        (..., k, k).
    """
    size = filters.shape[-1]
    places = torch.arange(size, dtype=filters.dtype, device=filters.device) - size // 2
    powers = torch.stack([places**order / math.factorial(order) for order in range(size)])
    return powers @ filters @ powers.T


def moment_loss(weight: Tensor) -> Tensor:
    """How far filters are from derivatives, each of its own order.

    Args:
        weight: (k * k, C, k, k); of filter k * i + j all moments but (i, j) are to be 0, that one 1.

    Returns:
        Mean square over filters and moments, summed over the C input channels, as published.
    """
    count, channels, size, _ = weight.shape
    wanted = torch.eye(count, dtype=torch.float64, device=weight.device).view(count, 1, size, size)
    # Powers up to 3^6 / 6!: sums in double precision, as published.
    square = (moments(weight.double()) - wanted).square()
    return (square.mean() * channels).to(weight.dtype)


class PhysicalCell(nn.Module):
    """Prediction by a combination of derivatives, then correction by what is seen.

    Args:
        channels: of input and state.
        kernel: k, size of the k * k derivative filters.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.derivatives = nn.Conv2d(channels, kernel**2, kernel, padding=kernel // 2)
        self.combine = nn.Sequential(
            nn.GroupNorm(kernel, kernel**2), nn.Conv2d(kernel**2, channels, kernel_size=1)
        )
        self.trust = nn.Conv2d(2 * channels, channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """(B, C, H, W), twice -> the new state."""
        trust = self.trust(torch.cat([x, state], dim=1)).sigmoid()
        predicted = state + self.combine(self.derivatives(state))
        return predicted + trust * (x - predicted)


class ResidualCell(nn.Module):
    """A convolutional LSTM cell, one convolution for all gates.

    Args:
        channels: of the input.
        hidden: of the states.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(channels + hidden, 4 * hidden, kernel_size=3, padding=1)

    def forward(self, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) and states (B, hidden, H, W) -> new hidden and cell state."""
        gates = self.gates(torch.cat([x, hidden], dim=1))
        enter, forget, leave, content = gates.chunk(4, dim=1)
        cell = forget.sigmoid() * cell + enter.sigmoid() * content.tanh()
        return leave.sigmoid() * cell.tanh(), cell


def _down(channels: int, wider: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, wider, kernel_size=3, stride=stride, padding=1),
        nn.GroupNorm(GROUPS, wider),
        nn.LeakyReLU(SLOPE),
    )


def _transposed(channels: int, narrower: int, stride: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(
        channels, narrower, kernel_size=3, stride=stride, padding=1, output_padding=stride - 1
    )


def _up(channels: int, narrower: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        _transposed(channels, narrower, stride),
        nn.GroupNorm(GROUPS, narrower),
        nn.LeakyReLU(SLOPE),
    )


class State(NamedTuple):
    """State of the physical cell; hidden and cell state of each residual layer."""

    physical: Tensor
    residual: list[tuple[Tensor, Tensor]]


class PhyDNet(Recurrent):
    """Encoder, a physical and a residual branch, decoder of their sum."""

    Config = PhyDNetConfig
    reference = "Le Guen and Thome (2020), arXiv 2003.01460"
    config: PhyDNetConfig

    def __init__(self, config: Section, shape: Shape) -> None:
        assert isinstance(config, PhyDNetConfig)
        super().__init__(config, shape, 1, config.sampling, config.shrink)
        channels, second = shape.channels_in, config.shrink // 2
        self.encoder = nn.Sequential(
            _down(channels, NARROW, stride=2), _down(NARROW, NARROW), _down(NARROW, LATENT, second)
        )
        self.into_physical = nn.Sequential(_down(LATENT, LATENT), _down(LATENT, LATENT))
        self.into_residual = nn.Sequential(_down(LATENT, LATENT), _down(LATENT, LATENT))
        self.physical = PhysicalCell(LATENT, config.kernel)
        widths = (LATENT, *RESIDUAL_WIDTHS)
        self.residual = nn.ModuleList(
            ResidualCell(below, own) for below, own in zip(widths, RESIDUAL_WIDTHS, strict=False)
        )
        self.out_of_physical = nn.Sequential(_up(LATENT, LATENT), _up(LATENT, LATENT))
        self.out_of_residual = nn.Sequential(_up(LATENT, LATENT), _up(LATENT, LATENT))
        self.decoder = nn.Sequential(
            _up(LATENT, NARROW, stride=2),
            _up(NARROW, NARROW),
            _transposed(NARROW, channels, second),
        )

    def start(self, frame: Tensor) -> State:
        height, width = (length // self.config.shrink for length in frame.shape[2:])

        def zeros(channels: int) -> Tensor:
            return frame.new_zeros(frame.shape[0], channels, height, width)

        return State(zeros(LATENT), [(zeros(own), zeros(own)) for own in RESIDUAL_WIDTHS])

    def advance_frame(self, frame: Tensor, state: State) -> tuple[Tensor, State, Losses]:
        latent = self.encoder(frame)
        physical = self.physical(self.into_physical(latent), state.physical)
        x, residual = self.into_residual(latent), []
        for layer, (hidden, cell) in zip(self.residual, state.residual, strict=True):
            x, cell = layer(x, hidden, cell)
            residual.append((x, cell))
        y = self.decoder(self.out_of_physical(physical) + self.out_of_residual(x))
        if self.config.output == "sigmoid":
            y = y.sigmoid()
        return y, State(physical, residual), {}

    def weight_losses(self) -> Losses:
        """The moment loss, beside a loss that is summed over frames where published: hence / T_out."""
        if not self.training or self.config.moment_weight == 0:
            return {}
        loss = moment_loss(self.physical.derivatives.weight)
        return {"moments": self.config.moment_weight * loss / self.shape.out_steps}
