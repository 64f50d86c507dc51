"""PredRNN: layers that pass a second memory upwards, and on to the next frame's first layer.

Wang et al. (2017), PredRNN: Recurrent neural networks for predictive learning using spatiotemporal
LSTMs, NeurIPS 30; PredRNN-V2 adds to it (`predrnnv2`).
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from weathersvq.models.baselines.recurrent import Recurrent, RecurrentConfig, convolve
from weathersvq.models.forecaster import Losses, Shape
from weathersvq.schema import Section

# Added to forget gates before the sigmoid: memories start out long.
FORGET_BIAS = 1.0


class PredRNNConfig(RecurrentConfig):
    """Options of PredRNN (defaults: the published ones for WeatherBench)."""

    kind: Literal["predrnn"] = "predrnn"


class Step(NamedTuple):
    """What a cell gives; all (B, hidden, H, W).

    Attributes:
        hidden: what the next layer reads, and this one at the next frame.
        cell: the layer's own memory.
        memory: the one that wanders through the layers.
        cell_gain, memory_gain: what was added to the two memories.
    """

    hidden: Tensor
    cell: Tensor
    memory: Tensor
    cell_gain: Tensor
    memory_gain: Tensor


class SpatioTemporalCell(nn.Module):
    """An LSTM cell with two memories: its own along time, and one from layer to layer.

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
        self.from_input = convolve(channels, 7 * hidden, kernel, normalized)
        self.from_hidden = convolve(hidden, 4 * hidden, kernel, normalized)
        self.from_memory = convolve(hidden, 3 * hidden, kernel, normalized)
        self.from_both = convolve(2 * hidden, hidden, kernel, normalized)
        self.merge = nn.Conv2d(2 * hidden, hidden, kernel_size=1, bias=False)

    def forward(self, x: Tensor, hidden: Tensor, cell: Tensor, memory: Tensor) -> Step:
        """(B, C, H, W) and states (B, hidden, H, W) -> the next states."""
        x_enter, x_forget, x_content, y_enter, y_forget, y_content, x_leave = self.from_input(
            x
        ).chunk(7, dim=1)
        h_enter, h_forget, h_content, h_leave = self.from_hidden(hidden).chunk(4, dim=1)
        m_enter, m_forget, m_content = self.from_memory(memory).chunk(3, dim=1)

        cell_gain = (x_enter + h_enter).sigmoid() * (x_content + h_content).tanh()
        cell = (x_forget + h_forget + FORGET_BIAS).sigmoid() * cell + cell_gain
        memory_gain = (y_enter + m_enter).sigmoid() * (y_content + m_content).tanh()
        memory = (y_forget + m_forget + FORGET_BIAS).sigmoid() * memory + memory_gain

        both = torch.cat([cell, memory], dim=1)
        leave = (x_leave + h_leave + self.from_both(both)).sigmoid()
        return Step(leave * self.merge(both).tanh(), cell, memory, cell_gain, memory_gain)


class State(NamedTuple):
    """Hidden and own memory of each layer, and the wandering memory."""

    hidden: list[Tensor]
    cells: list[Tensor]
    memory: Tensor


class PredRNN(Recurrent):
    """Layers of cells with a wandering memory; the last hidden state is read out."""

    Config: ClassVar[type[Section]] = PredRNNConfig
    reference = "Wang et al. (2017), PredRNN, NeurIPS 30"

    def __init__(self, config: Section, shape: Shape) -> None:
        assert isinstance(config, RecurrentConfig)
        super().__init__(config, shape, config.patch, config.sampling)
        channels, height, width = self.frame
        normalized = (height, width) if config.layer_norm else None
        self.hidden = config.hidden
        self.cells = nn.ModuleList(
            SpatioTemporalCell(
                channels if index == 0 else config.hidden, config.hidden, config.kernel, normalized
            )
            for index in range(config.depth)
        )
        self.read_out = nn.Conv2d(config.hidden, channels, kernel_size=1, bias=False)

    def start(self, frame: Tensor) -> State:
        zeros = frame.new_zeros(frame.shape[0], self.hidden, *frame.shape[2:])
        return State([zeros] * len(self.cells), [zeros] * len(self.cells), zeros)

    def advance_frame(self, frame: Tensor, state: State) -> tuple[Tensor, State, Losses]:
        steps: list[Step] = []
        x, memory = frame, state.memory
        for layer, hidden, cell in zip(self.cells, state.hidden, state.cells, strict=True):
            steps.append(layer(x, hidden, cell, memory))
            x, memory = steps[-1].hidden, steps[-1].memory
        after = State([step.hidden for step in steps], [step.cell for step in steps], memory)
        return self.read_out(x), after, self.losses(steps)

    def losses(self, steps: list[Step]) -> Losses:
        """Losses of one frame's steps through the layers."""
        return {}
