"""ConvLSTM: long short-term memory whose gates are convolutions (arXiv 1506.04214)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from weathersvq.models.baselines.recurrent import (
    Recurrent,
    RecurrentConfig,
    convolve,
)
from weathersvq.models.forecaster import Losses, Shape
from weathersvq.schema import Section

# Hidden and cell state of each layer.
State = list[tuple[Tensor, Tensor]]


class ConvLSTMConfig(RecurrentConfig):
    """Options of ConvLSTM (defaults: the published ones for WeatherBench)."""

    kind: Literal["convlstm"] = "convlstm"


class ConvLSTMCell(nn.Module):
    """One layer: input, forget and output gates and new content from input and hidden state.

    Args:
        channels: of the input.
        hidden: of the states.
        kernel: size of the convolutions.
        normalized: (h, w) of the map where gates are normalised.
    """

    def __init__(
        self, channels: int, hidden: int, kernel: int, normalized: tuple[int, int] | None
    ) -> None:
        super().__init__()
        self.from_input = convolve(channels, 4 * hidden, kernel, normalized)
        self.from_hidden = convolve(hidden, 4 * hidden, kernel, normalized)

    def forward(self, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) and states (B, hidden, H, W) -> new hidden and cell state."""
        gates = self.from_input(x) + self.from_hidden(hidden)
        enter, forget, content, leave = gates.chunk(4, dim=1)
        cell = forget.sigmoid() * cell + enter.sigmoid() * content.tanh()
        return leave.sigmoid() * cell.tanh(), cell


class ConvLSTM(Recurrent):
    """Layers of ConvLSTM cells, the last one's hidden state read out as the next frame."""

    Config = ConvLSTMConfig
    reference = "Shi et al. (2015), arXiv 1506.04214"

    def __init__(self, config: Section, shape: Shape) -> None:
        assert isinstance(config, ConvLSTMConfig)
        super().__init__(config, shape, config.patch, config.sampling)
        channels, *size = self.frame
        normalized = (size[0], size[1]) if config.layer_norm else None
        self.hidden = config.hidden
        self.cells = nn.ModuleList(
            ConvLSTMCell(
                channels if index == 0 else config.hidden,
                config.hidden,
                config.kernel,
                normalized,
            )
            for index in range(config.depth)
        )
        self.read_out = nn.Conv2d(config.hidden, channels, kernel_size=1, bias=False)

    def start(self, frame: Tensor) -> State:
        zeros = frame.new_zeros(frame.shape[0], self.hidden, *frame.shape[2:])
        return [(zeros, zeros)] * len(self.cells)

    def advance_frame(self, frame: Tensor, state: State) -> tuple[Tensor, State, Losses]:
        x, after = frame, []
        for cell, (hidden, memory) in zip(self.cells, state, strict=True):
            x, memory = cell(x, hidden, memory)
            after.append((x, memory))
        return self.read_out(x), after, {}
