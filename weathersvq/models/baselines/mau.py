"""MAU, motion-aware unit: attention over past states says what of the present will go on.

Chang et al. (2021), MAU: A motion-aware unit for video prediction and beyond, NeurIPS 34.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from weathersvq.models.baselines.recurrent import Recurrent, Sampling
from weathersvq.models.forecaster import Losses, Shape
from weathersvq.schema import OddSize, Section

SLOPE = 0.2  # of the leaky ReLU


class MAUConfig(Section):
    """Options of MAU (defaults: the published ones for WeatherBench)."""

    kind: Literal["mau"] = "mau"
    hidden: int = Field(64, ge=1, description="channels of every layer's state")
    depth: int = Field(4, ge=1, description="layers of cells")
    kernel: OddSize = Field(5, description="size of the cells' convolutions, odd")
    patch: int = Field(
        1, ge=1, description="cells along the side of the square patches that a frame is cut into"
    )
    shrink: int = Field(
        2, ge=1, description="by what the encoder divides rows and columns, a power of two"
    )
    history: int = Field(5, ge=1, description="tau, past states that attention looks at")
    residual: bool = Field(False, description="whether a cell adds its spatial input to its output")
    recall: bool = Field(
        False, description="whether the decoder also reads what the encoder made of the input frame"
    )
    sampling: Sampling = Field(Sampling(), description="true frames as inputs in training")

    @field_validator("shrink")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError(f"{value} is not a power of two, by which the encoder halves")
        return value


class MAUCell(nn.Module):
    """One layer: a temporal state that is fused with past ones, and a spatial one.

    Args:
        hidden: channels.
        kernel: size of the convolutions.
        size: (h, w) of the map, over which gates are normalised.
        residual: whether the spatial input is added to the spatial output.
    """

    def __init__(self, hidden: int, kernel: int, size: tuple[int, int], residual: bool) -> None:
        super().__init__()
        self.residual = residual

        def gates(count: int) -> nn.Module:
            convolution = nn.Conv2d(hidden, count * hidden, kernel, padding=kernel // 2)
            return nn.Sequential(convolution, nn.LayerNorm([count * hidden, *size]))

        self.from_temporal = gates(3)
        self.from_spatial = gates(3)
        self.fuse = gates(1)
        self.query = gates(1)

    def forward(
        self,
        temporal: Tensor,
        spatial: Tensor,
        past_temporal: Sequence[Tensor],
        past_spatial: Sequence[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """One step of one layer.

        Args:
            temporal, spatial: (B, hidden, H, W).
            past_temporal, past_spatial: tau of (B, hidden, H, W), the oldest first.

        Returns:
            New temporal and spatial state.
        """
        # Like past spatial states vouch for the temporal states that came with them. One after the
        # other: side by side they would be copied, and the copies kept for the gradients (in
        # training a quarter of all memory).
        query = self.query(spatial)
        alike = torch.stack([(past * query).flatten(1).sum(dim=1) for past in past_spatial])
        shares = (alike / math.sqrt(query[0].numel())).softmax(dim=0)[..., None, None, None]
        trend = torch.zeros_like(temporal)
        for share, past in zip(shares, past_temporal, strict=True):
            trend = torch.addcmul(trend, share, past)
        keep = self.fuse(temporal).sigmoid()
        fused = keep * temporal + (1 - keep) * trend

        t_gate, t_own, t_other = self.from_temporal(fused).chunk(3, dim=1)
        s_gate, s_other, s_own = self.from_spatial(spatial).chunk(3, dim=1)
        t_gate, s_gate = t_gate.sigmoid(), s_gate.sigmoid()
        new_temporal = t_gate * t_own + (1 - t_gate) * s_other
        new_spatial = s_gate * s_own + (1 - s_gate) * t_other
        return new_temporal, new_spatial + spatial if self.residual else new_spatial


class State(NamedTuple):
    """Of each layer: the temporal state, and the last tau (temporal, spatial) ones before it."""

    temporal: list[Tensor]
    past_temporal: list[list[Tensor]]
    past_spatial: list[list[Tensor]]


class MAU(Recurrent):
    """An encoder, layers of motion-aware units and a decoder; works at its own resolution."""

    Config = MAUConfig
    reference = "Chang et al. (2021), MAU, NeurIPS 34"
    config: MAUConfig

    def __init__(self, config: Section, shape: Shape) -> None:
        assert isinstance(config, MAUConfig)
        super().__init__(config, shape, config.patch, config.sampling, config.shrink)
        channels, height, width = self.frame
        hidden, halvings = config.hidden, config.shrink.bit_length() - 1
        self.size = (height // config.shrink, width // config.shrink)
        self.encoders = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(channels, hidden, kernel_size=1), nn.LeakyReLU(SLOPE))]
        )
        self.decoders = nn.ModuleList()
        for index in range(halvings):
            down = nn.Conv2d(hidden, hidden, kernel_size=3, stride=2, padding=1)
            self.encoders.append(nn.Sequential(down, nn.LeakyReLU(SLOPE)))
            up = nn.ConvTranspose2d(
                hidden, hidden, kernel_size=3, stride=2, padding=1, output_padding=1
            )
            last = index == halvings - 1
            self.decoders.append(up if last else nn.Sequential(up, nn.LeakyReLU(SLOPE)))
        self.cells = nn.ModuleList(
            MAUCell(hidden, config.kernel, self.size, config.residual) for _ in range(config.depth)
        )
        self.read_out = nn.Conv2d(hidden, channels, kernel_size=1)

    def start(self, frame: Tensor) -> State:
        zeros = frame.new_zeros(frame.shape[0], self.config.hidden, *self.size)
        layers, past = range(len(self.cells)), [zeros] * self.config.history
        return State([zeros for _ in layers], [past for _ in layers], [past for _ in layers])

    def advance_frame(self, frame: Tensor, state: State) -> tuple[Tensor, State, Losses]:
        encoded = [frame]
        for encoder in self.encoders:
            encoded.append(encoder(encoded[-1]))
        spatial = encoded[-1]
        temporal, past_temporal, past_spatial = [], [], []
        for index, cell in enumerate(self.cells):
            before_t, before_s = state.past_temporal[index], state.past_spatial[index]
            past_spatial.append([*before_s[1:], spatial])
            new, spatial = cell(state.temporal[index], spatial, before_t, before_s)
            temporal.append(new)
            past_temporal.append([*before_t[1:], new])
        y = spatial
        for index, decoder in enumerate(self.decoders):
            y = decoder(y)
            if self.config.recall:
                y = y + encoded[-2 - index]
        return self.read_out(y), State(temporal, past_temporal, past_spatial), {}
